#include "nn/checkpoint.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <set>

#include "data/files/file.h"
#include "tests/support/folder.h"
#include "tests/support/support.h"

namespace {

namespace fs = std::filesystem;
using namespace poph;
using test::Folder;
using test::message_of;
using test::write_plainly;

using Names = std::set<std::string>;
const Names first_pair = {"last.safetensors", "last.state.safetensors"};
const Names two_pairs = {"last.previous.safetensors", "last.previous.state.safetensors", "last.safetensors",
                         "last.state.safetensors"};

TensorFile weights_of(double value) {
  return {{{"w", Tensor::full({3, 5}, value, Dtype::f32)}}, {{"config", "name = \"x\""}}};
}
TensorFile state_of(double value) {
  return {{{"step", Tensor::full({}, value, Dtype::i32)}}, {{"epoch", std::to_string(value)}}};
}
void save(const std::string& stem, double value) { save_checkpoint(stem, weights_of(value), state_of(value)); }

// The value that both files hold, or -1 when they are of two saves.
double loaded_value(const Checkpoint& checkpoint) {
  const double value = checkpoint.weights.tensors.at("w").values()[14];
  const bool whole = value == checkpoint.state.tensors.at("step").item();
  return whole && checkpoint.weights.metadata.at("config") == "name = \"x\"" ? value : -1;
}

// Runs the action in a child process that may spoil its own limits and mounts; its message comes back through a file.
template <class Action>
std::string message_in_child(const Folder& folder, const Action& action) {
  const std::string report = (folder.path.string() + ".report");
  if (const pid_t child = fork(); child == 0) {
    const int descriptor = open(report.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);  // before the disk is made full
    const std::string message = message_of(action);
    const bool written = write(descriptor, message.data(), message.size()) == static_cast<ssize_t>(message.size());
    _exit(written ? 0 : 1);
  } else {
    int status = 0;
    waitpid(child, &status, 0);
    BOOST_TEST(status == 0);
  }
  const std::string message = read_file(report);
  fs::remove(report);
  return message;
}

BOOST_AUTO_TEST_SUITE(checkpoint)

// ---- files and disks

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_named) {
  const Folder folder;
  BOOST_TEST(message_of([&] { read_safetensors(folder / "none"); }) ==
             "cannot read " + (folder / "none") + ": No such file or directory");
  BOOST_TEST(message_of([&] { read_file(folder.path); }) == "cannot read " + folder.path.string() + ": Is a directory");
  BOOST_TEST(message_of([] { read_file("/dev/zero"); }) == "cannot read /dev/zero: a device, not a regular file");
  BOOST_REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);  // without a writer: opening it must not wait
  BOOST_TEST(message_of([&] { read_file(folder / "pipe"); }) ==
             "cannot read " + (folder / "pipe") + ": a pipe, not a regular file");
  write_plainly(folder / "five", "12345");
  BOOST_TEST(read_file(folder / "five", 5) == "12345");
  BOOST_TEST(message_of([&] { read_file(folder / "five", 4); }) ==
             "cannot read " + (folder / "five") + ": it has 5 bytes, expected at most 4");
  // a terabyte of hole costs nothing to make, and nothing to refuse
  fs::resize_file(folder / "five", uint64_t{1} << 40);
  BOOST_TEST(message_of([&] { read_file(folder / "five"); }).find("expected at most 1073741824") != std::string::npos);
  BOOST_TEST(message_of([&] { read_safetensors(folder / "five"); }).find("expected at most 100000000") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_file_is_replaced_whole_or_not_at_all) {
  const Folder folder;
  const std::string path = folder / "x";
  write_file_durably(path, "old");
  write_file_durably(path, std::string("n\0w", 3));
  BOOST_TEST(read_file(path) == std::string("n\0w", 3));
  write_file_durably(path, "");
  BOOST_TEST(read_file(path).empty());
  { const PendingFile dropped(path, "never committed"); }
  BOOST_TEST(read_file(path).empty());
  BOOST_TEST(folder.names() == Names{"x"}, boost::test_tools::per_element());
  const fs::path before = fs::current_path();
  fs::current_path(folder.path);
  write_file_durably("bare", "a name without a folder");
  fs::current_path(before);
  BOOST_TEST(read_file(folder / "bare").size() == 23u);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_written_is_named_and_leaves_nothing) {
  const Folder folder;
  const auto problem = [&](const std::string& path) { return message_of([&] { write_file_durably(path, "new"); }); };
  BOOST_TEST(problem(folder / "no/x") == "cannot write " + (folder / "no/x") + ": No such file or directory");
  write_plainly(folder / "file", "old");
  BOOST_TEST(problem(folder / "file/x") == "cannot write " + (folder / "file/x") + ": Not a directory");
  fs::create_directory(folder / "sub");
  BOOST_TEST(problem(folder / "sub") == "cannot write " + (folder / "sub") + ": Is a directory");
  BOOST_TEST(problem("/proc/poph").starts_with("cannot write /proc/poph: "));
  BOOST_TEST((folder.names() == Names{"file", "sub"}));
  if (geteuid() != 0) {  // root may write anywhere
    fs::permissions(folder / "sub", fs::perms::owner_read | fs::perms::owner_exec);
    BOOST_TEST(problem(folder / "sub/x") == "cannot write " + (folder / "sub/x") + ": Permission denied");
    fs::permissions(folder / "sub", fs::perms::owner_all);
  }
}

// The limit stands in for a full disk: part of the file can be written, the rest not.
BOOST_AUTO_TEST_CASE(a_save_that_hits_a_limit_keeps_the_pair) {
  const Folder folder;
  save(folder / "last", 1);
  const auto limited = [&](const auto& action) {
    return message_in_child(folder, [&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{2000, 2000};
      if (setrlimit(RLIMIT_FSIZE, &limit) != 0) fail("no limit");
      action();
    });
  };
  TensorFile big = weights_of(2);
  big.tensors["w"] = Tensor::full({300, 5}, 2, Dtype::f32);
  BOOST_TEST(limited([&] { save_checkpoint(folder / "last", big, state_of(2)); }) ==
             "cannot write " + (folder / "last.safetensors") + ": File too large");
  BOOST_TEST(folder.names() == first_pair, boost::test_tools::per_element());
  BOOST_TEST(loaded_value(load_checkpoint(folder / "last")) == 1);
  BOOST_TEST(limited([&] { write_file_durably(folder / "last.safetensors", std::string(2001, 'x')); }) ==
             "cannot write " + (folder / "last.safetensors") + ": File too large");
  BOOST_TEST(loaded_value(load_checkpoint(folder / "last")) == 1);
}

// A disk of 64 kB of our own, where the system lets us mount one.
BOOST_AUTO_TEST_CASE(a_full_or_read_only_disk_keeps_the_pair) {
  const Folder folder;
  TensorFile big = weights_of(2);
  big.tensors["w"] = Tensor::full({3000, 5}, 2, Dtype::f32);
  const std::string stem = folder / "last";
  const std::string message = message_in_child(folder, [&] {
    const uid_t user = geteuid(), group = getegid();
    if (unshare(user == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0) fail("skipped");
    if (user != 0) {  // whoever runs the tests is root in a user namespace of its own
      write_plainly("/proc/self/uid_map", joined("0 ", user, " 1"));
      write_plainly("/proc/self/setgroups", "deny");
      write_plainly("/proc/self/gid_map", joined("0 ", group, " 1"));
    }
    mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("none", folder.path.c_str(), "tmpfs", 0, "size=64k") != 0) fail("skipped");
    save(stem, 1);
    const std::string full = message_of([&] { save_checkpoint(stem, big, state_of(2)); });
    require(folder.names() == first_pair && loaded_value(load_checkpoint(stem)) == 1, "the full disk spoilt the pair");
    if (mount("none", folder.path.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) != 0) fail("skipped");
    const std::string read_only = message_of([&] { save(stem, 3); });
    require(folder.names() == first_pair && loaded_value(load_checkpoint(stem)) == 1,
            "the read-only disk spoilt the pair");
    fail(full, " | ", read_only);
  });
  if (message == "skipped")
    BOOST_TEST_MESSAGE("skipped: no disk can be mounted here");
  else
    BOOST_TEST(message == "cannot write " + stem + ".safetensors: No space left on device | cannot write " + stem +
                              ".state.safetensors: Read-only file system");
}

// ---- the pair

BOOST_AUTO_TEST_CASE(a_pair_is_saved_and_loaded) {
  const Folder folder;
  BOOST_TEST(!has_checkpoint(folder / "last"));
  BOOST_TEST(message_of([&] { load_checkpoint(folder / "last"); }) ==
             "cannot read " + (folder / "last.safetensors") + ": No such file or directory");
  save(folder / "last", 1);
  BOOST_TEST(folder.names() == first_pair, boost::test_tools::per_element());
  save(folder / "last", 2);
  save(folder / "last", 3);
  BOOST_TEST(folder.names() == two_pairs, boost::test_tools::per_element());
  BOOST_TEST(has_checkpoint(folder / "last"));
  const Checkpoint found = load_checkpoint(folder / "last");
  BOOST_TEST(found.note == "");
  BOOST_TEST(loaded_value(found) == 3);
  BOOST_TEST(found.weights.metadata.at("save_id") == found.state.metadata.at("save_id"));
  BOOST_TEST(loaded_value(load_checkpoint(folder / "last.previous")) == 2);
  save_checkpoint(folder / "best", found.weights, found.state);  // as a copy: what was loaded may be saved again
  BOOST_TEST(read_file(folder / "best.safetensors") == read_file(folder / "last.safetensors"));
  BOOST_TEST(read_file(folder / "best.state.safetensors") == read_file(folder / "last.state.safetensors"));
}

BOOST_AUTO_TEST_CASE(save_id_tells_saves_apart_and_repeats_with_the_contents) {
  const Folder folder;
  std::set<std::string> ids;
  const auto id = [&](const TensorFile& weights, const TensorFile& state) {
    save_checkpoint(folder / "x", weights, state);
    return load_checkpoint(folder / "x").weights.metadata.at("save_id");
  };
  BOOST_TEST(id(weights_of(1), state_of(1)) == id(weights_of(1), state_of(1)));
  for (double weights : {1., 2.})
    for (double state : {1., 2.}) ids.insert(id(weights_of(weights), state_of(state)));
  TensorFile renamed{{{"v", weights_of(1).tensors["w"]}}, weights_of(1).metadata}, reshaped = weights_of(1),
                                                                                   noted = weights_of(1);
  reshaped.tensors["w"] = reshaped.tensors["w"].reshape({5, 3});
  noted.metadata["config"] = "name = \"y\"";
  for (const TensorFile& changed : {renamed, reshaped, noted}) ids.insert(id(changed, state_of(1)));
  TensorFile by_one_bit = weights_of(1);
  for (int element : {0, 7, 14}) {
    by_one_bit.tensors["w"].data<float>()[element] = std::nextafter(1.f, 2.f);
    ids.insert(id(by_one_bit, state_of(1)));
  }
  BOOST_TEST(ids.size() == 10u);
}

BOOST_AUTO_TEST_CASE(a_torn_pair_gives_way_to_the_one_before) {
  const Folder folder;
  save(folder / "other", 9);
  save(folder / "last", 1);
  const std::string weights = read_file(folder / "last.safetensors"),
                    state = read_file(folder / "last.state.safetensors");
  const std::string torn = (folder / "last.safetensors") + " and " + (folder / "last.state.safetensors") +
                           " are of different saves (save_id ";
  fs::copy_file(folder / "other.state.safetensors", folder / "last.state.safetensors",
                fs::copy_options::overwrite_existing);
  const std::string nothing_left = message_of([&] { load_checkpoint(folder / "last"); });
  BOOST_TEST(nothing_left.starts_with(torn));
  BOOST_TEST(nothing_left.ends_with(", and " + (folder / "last.previous") + ".safetensors is no whole pair either"));

  write_plainly(folder / "last.state.safetensors", state);
  save(folder / "last", 2);
  BOOST_TEST(loaded_value(load_checkpoint(folder / "last")) == 2);
  fs::copy_file(folder / "other.state.safetensors", folder / "last.state.safetensors",
                fs::copy_options::overwrite_existing);
  const Checkpoint found = load_checkpoint(folder / "last");
  BOOST_TEST(loaded_value(found) == 1);
  BOOST_TEST(found.note.starts_with(torn));
  BOOST_TEST(found.note.ends_with("): taking the pair before them, " + (folder / "last.previous.safetensors")));
  // A second torn save must not cost the one whole pair there is; a whole one makes all well again.
  save(folder / "last", 3);
  BOOST_TEST(loaded_value(load_checkpoint(folder / "last.previous")) == 1);
  BOOST_TEST(loaded_value(load_checkpoint(folder / "last")) == 3);
  BOOST_TEST(load_checkpoint(folder / "last").note == "");
}

BOOST_AUTO_TEST_CASE(damaged_and_foreign_pairs_are_noticed) {
  const Folder folder;
  const std::string path = folder / "last.safetensors";
  save(folder / "last", 1);
  const std::string weights = read_file(path);
  std::string bytes = weights;
  bytes.back() ^= 1;  // one bit of one number: no header can show it
  write_plainly(path, bytes);
  const std::string note = load_checkpoint(folder / "last").note;
  BOOST_TEST(note.starts_with(path + " or its state is not as it was saved (save_id "));
  write_plainly(path, weights.substr(0, weights.size() - 4));
  BOOST_TEST(message_of([&] { load_checkpoint(folder / "last"); }) ==
             path + ": truncated: 56 bytes of tensors, expected 60");
  write_safetensors(path, weights_of(1));
  BOOST_TEST(message_of([&] { load_checkpoint(folder / "last"); }) ==
             path + ": no save_id in its metadata: not one of a saved pair");
}

BOOST_AUTO_TEST_CASE(temporaries_of_a_killed_save_are_swept) {
  const Folder folder;
  for (const char* name : {"last.safetensors.tmp-1-0", "last.state.safetensors.tmp-1-1",
                           "last.previous.safetensors.tmp-1-2", "last.notes"})
    write_plainly(folder / name, "x");
  poph::PendingFile at_work(folder / "report.html", "y");
  save(folder / "last", 1);
  at_work.commit();
  BOOST_TEST((folder.names() == Names{"last.notes", "last.safetensors", "last.state.safetensors", "report.html"}));
}

// Kills the child at its k-th stop: before a system call when k is odd, after one when it is even. False when it was
// done before.
bool killed_at(int k, const std::string& stem, double value) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(77);
    raise(SIGSTOP);
    save(stem, value);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  for (int stops = 0; WIFSTOPPED(status); ++stops) {  // every call stops twice: before it and after it
    if (stops == k) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return true;
    }
    if (ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) != 0) break;
    waitpid(child, &status, 0);
  }
  BOOST_REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77)
    BOOST_TEST_MESSAGE("skipped: no process can be traced here");
  else
    BOOST_TEST(WEXITSTATUS(status) == 0);
  return false;
}

BOOST_AUTO_TEST_CASE(a_kill_between_any_two_system_calls_leaves_a_pair) {
  const bool memory_disk = access("/dev/shm", W_OK) == 0;  // a kill is not a power cut: no disk has to be waited for
  const Folder folder(memory_disk ? "/dev/shm" : fs::temp_directory_path());
  const std::string stem = folder / "last";
  // From nothing, from one pair, from two, and from a torn pair with the one before it.
  for (int start = 0; start < 4; ++start) {
    std::set<double> outcomes;
    int torn = 0, k = 1;
    for (;; k += 2) {  // the stops after a call leave what those before the next one do
      folder.clear();
      if (start > 0) save(stem, 1);
      if (start > 1) save(stem, 2);
      if (start == 3) {
        save(folder / "other", 9);
        fs::rename(folder / "other.state.safetensors", folder / "last.state.safetensors");
      }
      const double before = start == 3 ? 1 : start;
      const bool killed = killed_at(k, stem, 5);
      BOOST_TEST_CONTEXT("start " << start << ", killed at stop " << k) {
        if (start == 0 && !has_checkpoint(stem)) {
          outcomes.insert(0);
        } else {
          const Checkpoint found = load_checkpoint(stem);
          const double value = loaded_value(found);
          BOOST_TEST((value == before || value == 5));
          outcomes.insert(value);
          if (!found.note.empty()) {
            ++torn;
            BOOST_TEST(value == before);
          }
        }
        // Training goes on from whatever is there: killed again at the same place, then saved.
        if (k % 3 == 0 && has_checkpoint(stem)) {
          killed_at(k, stem, 6);
          const double value = loaded_value(load_checkpoint(stem));
          BOOST_TEST((value == before || value == 5 || value == 6));
        }
        save(stem, 7);
        BOOST_TEST(loaded_value(load_checkpoint(stem)) == 7);
        BOOST_TEST(load_checkpoint(stem).note == "");
        for (const std::string& name : folder.names()) BOOST_TEST(name.find(".tmp-") == std::string::npos);
      }
      if (!killed) break;
    }
    if (k > 1) {  // it was traced: both outcomes and the torn state between the two renames have been there
      BOOST_TEST(k > 40);
      BOOST_TEST(outcomes.size() == 2u);
      if (start > 0) BOOST_TEST(torn > 0);
    }
  }
}

// ---- into the model

BOOST_AUTO_TEST_CASE(weights_are_converted_to_the_models_dtype) {
  const TensorFile file{{{"a", Tensor::from({0.5, 1.25}, {2}, Dtype::f64)}, {"b", Tensor::from({3}, {1}, Dtype::f32)}},
                        {}};
  Tensor a = Tensor::zeros({2}, Dtype::f32), b = Tensor::zeros({1}, Dtype::f64);
  const Tensor view = a;  // the optimiser holds the same storage
  assign_weights(file, "x", {{"b", &b}, {"a", &a}});
  BOOST_TEST(view.values() == (std::vector<double>{0.5, 1.25}), boost::test_tools::per_element());
  BOOST_TEST(b.item() == 3);
  BOOST_TEST((view.dtype() == Dtype::f32 && b.dtype() == Dtype::f64));
}

BOOST_AUTO_TEST_CASE(every_difference_is_named_and_nothing_is_changed) {
  TensorFile file{{}, {}};
  file.tensors["note_head.weight"] = Tensor::full({2, 5}, 1, Dtype::f32);
  file.tensors["note_head.bias"] = Tensor::full({2}, 1, Dtype::f32);
  file.tensors["counts"] = Tensor::full({2}, 1, Dtype::i32);
  file.tensors["x.y"] = Tensor::full({2}, 1, Dtype::f32);
  file.tensors["x.\n"] = Tensor::full({2}, 1, Dtype::f32);
  Tensor query = Tensor::zeros({4}, Dtype::f32), head = Tensor::zeros({2, 9}, Dtype::f32),
         bias = Tensor::zeros({2}, Dtype::f32), counts = Tensor::zeros({2}, Dtype::f32);
  const std::vector<std::pair<std::string, Tensor*>> parameters = {{"note_head.bias", &bias},
                                                                   {"blocks.0.query.weight", &query},
                                                                   {"note_head.weight", &head},
                                                                   {"counts", &counts},
                                                                   {"volume_head.bias", &bias}};
  BOOST_TEST(message_of([&] { assign_weights(file, "runs/x.safetensors", parameters); }) ==
             "runs/x.safetensors does not fit the model: missing blocks.0.query.weight; missing volume_head.bias; "
             "unexpected x.\\n; "
             "unexpected x.y; note_head.weight is [2,5], expected [2,9]; counts is of whole numbers (I32), expected "
             "F32 or F64");
  BOOST_TEST(bias.values() == (std::vector<double>{0, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
