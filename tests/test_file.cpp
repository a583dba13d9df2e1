#include "tensor/file.h"

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>

#include "tests/folder.h"
#include "tests/support.h"

using namespace poph;
using test::Folder;
using test::message_of;
using test::write_plainly;
using Names = std::set<std::string>;

BOOST_AUTO_TEST_SUITE(file)

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_cut_off_again) {
  const Folder folder;
  const std::string path = folder / "log";
  AppendFile(path).append("one\n");
  if (const pid_t child = fork(); child == 0) {  // it may spoil its limits
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10, 10};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
    AppendFile log(path);
    log.append("two\n");
    const bool told = message_of([&] { log.append("three\n"); }) == "cannot write " + path + ": File too large";
    log.append("4\n");
    _exit(told ? 0 : 1);
  } else {
    int status = -1;
    waitpid(child, &status, 0);
    BOOST_TEST(status == 0);
  }
  BOOST_TEST(read_file(path) == "one\ntwo\n4\n");
  BOOST_TEST(message_of([&] { AppendFile(folder / "gone/log"); }) ==
             "cannot write " + (folder / "gone/log") + ": No such file or directory");
}

BOOST_AUTO_TEST_CASE(a_torn_line_is_cut) {
  const Folder folder;
  const std::string path = folder / "log";
  for (const auto& [before, after] :
       {std::pair{"one\ntwo\nthr", "one\ntwo\n"}, {"one\ntwo\n", "one\ntwo\n"}, {"on", ""}, {"", ""}}) {
    write_plainly(path, before);
    cut_torn_line(path);
    BOOST_TEST(read_file(path) == after);
  }
  cut_torn_line(folder / "none");
  BOOST_TEST((folder.names() == Names{"log"}));
}

BOOST_AUTO_TEST_CASE(temporaries_of_the_living_stay) {
  const Folder folder;
  for (const char* name : {"a.json", "a.json.tmp-1-0", "b.tmp-2.oga", "my.tmp-notes", "my.tmp-1-x", "my.tmp-1", ".tmp-1-0"}) write_plainly(folder / name, "x");
  const LockedFile sound(folder / "c.tmp-3.oga");
  PendingFile pending(folder / "d.json", "y");
  remove_temporaries(folder.path.string());
  pending.commit();
  BOOST_TEST((folder.names() == Names{".tmp-1-0", "a.json", "c.tmp-3.oga", "d.json", "my.tmp-1", "my.tmp-1-x", "my.tmp-notes"}));
  BOOST_TEST(read_file(folder / "d.json") == "y");
  remove_temporaries(folder / "none");
}

BOOST_AUTO_TEST_CASE(a_folder_takes_anothers_place) {
  const Folder folder;
  for (const char* name : {"new", "old"}) {
    std::filesystem::create_directory(folder.path / name);
    write_plainly((folder / name) + "/" + name, name);
  }
  replace_folder(folder / "new", folder / "old");
  BOOST_TEST((folder.names() == Names{"old"}));
  BOOST_TEST(read_file(folder / "old/new") == "new");
  BOOST_TEST(message_of([&] { replace_folder(folder / "new", folder / "other"); }) ==
             "cannot write " + (folder / "other") + ": No such file or directory");
}

BOOST_AUTO_TEST_SUITE_END()
