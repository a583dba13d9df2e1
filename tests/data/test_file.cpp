#include "data/files/file.h"

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>

#include "tests/support/folder.h"
#include "tests/support/support.h"

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
    const bool reported = message_of([&] { log.append("three\n"); }) == "cannot write " + path + ": File too large";
    log.append("4\n");
    _exit(reported ? 0 : 1);
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

BOOST_AUTO_TEST_CASE(a_buffer_serves_file_after_file) {
  const Folder folder;
  write_plainly(folder / "long", "12345");
  write_plainly(folder / "short", "abc");
  std::vector<uint8_t> buffer;
  const auto text = [&](const char* name, uint64_t max_bytes) {
    const auto bytes = read_file(folder / name, buffer, max_bytes);
    return std::string(bytes.begin(), bytes.end());
  };
  BOOST_TEST(text("long", 5) == "12345");
  const auto* before = buffer.data();
  BOOST_TEST(text("short", 3) == "abc");
  BOOST_TEST(buffer.data() == before);
  const auto refused = [&](const std::string& path, int code, const std::string& reason) {
    BOOST_CHECK_EXCEPTION(read_file(path, buffer, 4), FileError, [&](const FileError& error) {
      return error.code == code && error.reason == reason && error.what() == "cannot read " + path + ": " + reason;
    });
  };
  refused(folder / "long", EFBIG, "it has 5 bytes, expected at most 4");
  refused(folder / "none", ENOENT, "No such file or directory");
  refused(folder.path.string(), EISDIR, "Is a directory");
  refused("/dev/zero", 0, "a device, not a regular file");
}

BOOST_AUTO_TEST_CASE(temporaries_of_the_living_stay) {
  const Folder folder;
  for (const char* name :
       {"a.json", "a.json.tmp-1-0", "b.tmp-2.oga", "my.tmp-notes", "my.tmp-1-x", "my.tmp-1", ".tmp-1-0"})
    write_plainly(folder / name, "x");
  const LockedFile sound(folder / "c.tmp-3.oga");
  PendingFile pending(folder / "d.json", "y");
  remove_temporaries(folder.path.string());
  pending.commit();
  BOOST_TEST((folder.names() ==
              Names{".tmp-1-0", "a.json", "c.tmp-3.oga", "d.json", "my.tmp-1", "my.tmp-1-x", "my.tmp-notes"}));
  BOOST_TEST(read_file(folder / "d.json") == "y");
  remove_temporaries(folder / "none");
}

BOOST_AUTO_TEST_CASE(a_name_that_is_taken_is_left_alone) {
  const Folder folder;
  write_plainly(folder / "1", "mine");
  std::filesystem::create_symlink("nowhere", folder / "2");
  {
    PendingFile pending(folder / "1", "new");
    BOOST_TEST(!pending.commit_new(folder / "1"));
    BOOST_TEST(!pending.commit_new(folder / "2"));
    BOOST_TEST(pending.commit_new(folder / "3"));
  }
  BOOST_TEST((folder.names() == Names{"1", "2", "3"}));
  BOOST_TEST(read_file(folder / "1") == "mine");
  BOOST_TEST(read_file(folder / "3") == "new");
  { PendingFile never(folder / "1", "new"); }
  BOOST_TEST((folder.names() == Names{"1", "2", "3"}));
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
