#include "experiments/sweep/adopt.h"

#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "experiments/run/same_run.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/run_folder.h"
#include "tests/support/corpus_folder.h"

using namespace poph;
using namespace poph::test;
namespace fs = std::filesystem;

namespace {

// A project: s.toml with two runs, music beside it.
struct Project {
  std::string path;
  Project(const std::string& path, uint64_t piece, const std::string& source = "music") : path(path) {
    write_bytes(path + "/music/a.mid", random_piece(piece));
    write_plainly(path + "/s.toml", "model.blocks = [{ kind = \"lstm_time\" }]\ndata.source = \"" + source +
                                        "\"\n[sweep.axes]\ntrain.batch = [2, 3]\n");
  }
  Sweep sweep() const { return *load_sweep(path + "/s.toml", {}, ""); }
  std::string fingerprint() const { return load_corpus(corpus_of({path + "/music"})).fingerprint; }
};

// The folder of a run; with `absolute` as earlier versions wrote it.
void write_run(const std::string& folder, const Config& config, const std::string& fingerprint, bool absolute = false) {
  fs::create_directories(folder);
  write_plainly(folder + "/config.toml", to_toml(config, absolute ? "" : folder));
  RunRecord record;
  record.status = RunStatus::finished;
  record.data.emplace().fingerprint = fingerprint;
  write_plainly(folder + "/run.json", run_record_text(record));
}

std::vector<std::string> adopted(const Project& project, const std::string& runs) {
  Sweep sweep = project.sweep();
  adopt_folders(sweep, runs);
  std::vector<std::string> ids;
  for (const SweepRun& run : sweep.runs) {
    BOOST_TEST(run.config.name == run.id);
    ids.push_back(run.id);
  }
  return ids;
}

using Ids = std::vector<std::string>;
const auto per_element = boost::test_tools::per_element();

}  // namespace

BOOST_AUTO_TEST_SUITE(adopt)

BOOST_AUTO_TEST_CASE(a_project_that_was_moved) {
  const Folder folder;
  const Project before(folder / "p", 1);
  const Sweep sweep = before.sweep();
  const Ids ids{sweep.runs[0].id, sweep.runs[1].id};
  write_run(folder / "p/runs/s/" + ids[0], sweep.runs[0].config, before.fingerprint());
  write_run(folder / "far/s/" + ids[0], sweep.runs[0].config, before.fingerprint());
  fs::rename(folder / "p", folder / "q");
  const Project after(folder / "q", 1);
  BOOST_TEST(adopted(after, folder / "q/runs/s") == ids, per_element);
  BOOST_TEST(adopted(after, folder / "far/s") == ids, per_element);  // the music is the same one
  // With other music it is another run, for which there is no folder yet.
  const Project other(folder / "q", 2);
  BOOST_TEST(adopted(other, folder / "q/runs/s") == ids, per_element);  // in its own place: the run itself looks
  const Ids others = adopted(other, folder / "far/s");
  BOOST_TEST(others[0] != ids[0]);
  BOOST_TEST(others[0].ends_with(absolute_settings_hash(other.sweep().runs[0].config)));
  BOOST_TEST(others[1] == ids[1]);
  write_run(folder / "far/s/" + others[0], other.sweep().runs[0].config, other.fingerprint());
  BOOST_TEST(adopted(other, folder / "far/s") == others, per_element);
}

// The first weights and the files of [generate] are known by their contents, too.
BOOST_AUTO_TEST_CASE(a_sweep_whose_files_lie_elsewhere) {
  const Folder folder;
  const Project project(folder / "p", 1);
  for (const char* name : {"a", "same"}) write_plainly(folder / name, "contents");
  write_plainly(folder / "other", "others");
  RunRecord with_weights;
  with_weights.start_from = weights_fingerprint(folder / "a");
  std::vector<std::pair<std::string, RunRecord>> keys = {{"train.start_from", with_weights}};
  for (size_t i = 0; i < generate_files.size(); ++i) {
    RunRecord record;
    record.files[i] = file_fingerprint(folder / "a");
    keys.emplace_back(generate_files[i].key, record);
  }
  for (auto& [key, record] : keys) {
    const auto sweep_with = [&, key = key](const std::string& name) {  // clang 14 knows no bound names in lambdas
      std::vector<std::string> words = {key + "=" + (folder / name)};
      if (key == "generate.keep") words.push_back("generate.keep_bars=\"1\"");
      return *load_sweep(project.path + "/s.toml", words, "");
    };
    const Sweep sweep = sweep_with("a");
    const std::string runs = folder / key, path = runs + "/" + sweep.runs[0].id;
    write_run(path, sweep.runs[0].config, project.fingerprint());
    record.status = RunStatus::finished;
    record.data.emplace().fingerprint = project.fingerprint();
    write_plainly(path + "/run.json", run_record_text(record));
    const auto first_id = [&](const std::string& name) {
      Sweep moved = sweep_with(name);
      adopt_folders(moved, runs);
      return moved.runs[0].id;
    };
    for (const char* name : {"a", "same"}) BOOST_TEST(first_id(name) == sweep.runs[0].id, key << ": " << name);
    for (const char* name : {"other", "gone"}) BOOST_TEST(first_id(name) != sweep.runs[0].id, key << ": " << name);
  }
}

BOOST_AUTO_TEST_CASE(folders_of_earlier_versions) {
  const Folder folder;
  const Project project(folder / "p", 1);
  Sweep sweep = project.sweep();
  Ids ids;
  for (SweepRun& run : sweep.runs) {
    run.set_hash(absolute_settings_hash(run.config));
    write_run(folder / "s/" + run.id, run.config, project.fingerprint(), true);
    ids.push_back(run.id);
  }
  BOOST_TEST(ids[0] != project.sweep().runs[0].id);
  BOOST_TEST(adopted(project, folder / "s") == ids, per_element);
  fs::rename(folder / "p", folder / "q");
  BOOST_TEST(adopted(Project(folder / "q", 1), folder / "s") == ids, per_element);
  BOOST_TEST(adopted(Project(folder / "q", 3), folder / "s") != ids, per_element);
}

BOOST_AUTO_TEST_CASE(folders_that_were_renamed) {
  const Folder folder;
  const Project project(folder / "p", 1);
  Sweep sweep = project.sweep();
  const Ids ids{sweep.runs[0].id, sweep.runs[1].id};
  write_run(folder / "s/good one", sweep.runs[1].config, project.fingerprint());
  write_run(folder / "s/" + ids[0] + ".1", sweep.runs[0].config, project.fingerprint());  // moved aside by --restart
  write_plainly(folder / "s/note.txt", "");
  fs::create_directories(folder / "s/empty");
  BOOST_TEST(adopted(project, folder / "s") == (Ids{ids[0], "good one"}), per_element);
  // The sweep's own file, in which paths are written otherwise.
  write_plainly(folder / "s/sweep.toml", sweep.text(folder / "s"));
  Sweep again = *load_sweep(folder / "s/sweep.toml", {}, "");
  adopt_folders(again, folder / "s");
  BOOST_TEST(again.runs[1].id == "good one");
  BOOST_TEST(adopted(project, folder / "none") == ids, per_element);
}

BOOST_AUTO_TEST_SUITE_END()
