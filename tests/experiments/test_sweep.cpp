#include "experiments/sweep/sweep.h"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "experiments/config/values.h"
#include "experiments/sweep/axes.h"
#include "experiments/sweep/estimate.h"
#include "tests/support/config_files.h"
#include "tests/support/fewer.h"

namespace {

using namespace poph;
using namespace poph::test;

// x.toml in a folder of its own: one block, then this text.
struct SweepFile {
  Folder folder;
  std::string file;
  explicit SweepFile(const std::string& text) : file(folder.write("x.toml", one_block + text)) {}

  Sweep load(const std::vector<std::string>& overrides = {}) const { return *load_sweep(file, overrides, "/bundled"); }
  // Without the folder.
  std::string problem(const std::vector<std::string>& overrides = {}) const {
    std::string message = message_of([&] { load(overrides); });
    for (size_t at; (at = message.find(folder.path.string() + "/")) != std::string::npos;)
      message.erase(at, folder.path.string().size() + 1);
    return message;
  }
};

std::string problem_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return SweepFile(text).problem(overrides);
}

std::vector<std::string> labels_of(const Sweep& sweep) {
  std::vector<std::string> labels;
  for (const SweepRun& run : sweep.runs) labels.push_back(run.label);
  return labels;
}

std::vector<std::string> ids_of(const Sweep& sweep) {
  std::vector<std::string> ids;
  for (const SweepRun& run : sweep.runs) ids.push_back(run.id);
  return ids;
}

using Texts = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(sweep)

BOOST_AUTO_TEST_CASE(an_experiment_is_no_sweep) {
  const Folder folder;
  BOOST_TEST(!load_sweep(folder.write("x.toml", one_block), {}, "").has_value());
  // any experiment, with several seeds
  BOOST_TEST(load_sweep(folder / "x.toml", {"sweep.seeds=[4, 5]"}, "")->runs.size() == 2u);
  BOOST_TEST(file_problem(folder.write("y.toml", one_block + "[sweep]\nseeds = [1]")) ==
             (folder / "y.toml") + ":3: sweep.seeds: a sweep is not one experiment");
}

BOOST_AUTO_TEST_CASE(a_grid) {
  const Sweep sweep = SweepFile(
                          "[sweep]\nseeds = [3, 9]\n[sweep.axes]\nloss.harmony.weight = [0, 0.5]\ntrain.optimizer = "
                          "[\"adam\", \"sgd\"]")
                          .load();
  BOOST_TEST(sweep.configurations == 4u);
  BOOST_TEST(sweep.seeds == 2u);
  const Texts once = {"weight 0, optimizer adam", "weight 0, optimizer sgd", "weight 0.5, optimizer adam",
                      "weight 0.5, optimizer sgd"};
  Texts twice = once;
  twice.insert(twice.end(), once.begin(), once.end());  // all with the first seed, then all with the second
  BOOST_TEST(labels_of(sweep) == twice);
  BOOST_TEST(sweep.runs[3].config.seed == 3u);
  BOOST_TEST(sweep.runs[4].config.seed == 9u);
  BOOST_TEST(sweep.runs[6].config.loss.weight[Loss::harmony] == 0.5);
  BOOST_TEST((sweep.runs[7].config.train.optimizer == OptimizerKind::sgd));
  BOOST_TEST(sweep.runs[0].baseline);
  BOOST_TEST(!sweep.runs[1].baseline);
  BOOST_TEST(sweep.runs[4].baseline);
  for (const SweepRun& run : sweep.runs) BOOST_TEST(run.config.name == run.id);
  const std::set<std::string> different = [&] {
    const Texts ids = ids_of(sweep);
    return std::set(ids.begin(), ids.end());
  }();
  BOOST_TEST(different.size() == 8u);
  BOOST_TEST(sweep.runs[0].id.starts_with("weight_0-optimizer_adam-seed3-"));
}

BOOST_AUTO_TEST_CASE(key_paths_in_every_form) {
  const Sweep dotted = SweepFile("[sweep.axes]\nloss.harmony.span = [1, 2]").load();
  for (const char* text :
       {"[sweep.axes.loss.harmony]\nspan = [1, 2]", "[sweep.axes]\n\"loss.harmony.span\" = [1, 2]",
        "[[sweep.axes]]\nloss.harmony.span = [1, 2]", "[sweep]\naxes = { loss = { \"harmony.span\" = [1, 2] } }"})
    BOOST_TEST(ids_of(SweepFile(text).load()) == ids_of(dotted), text);
}

BOOST_AUTO_TEST_CASE(files_to_extend) {
  const Folder folder;
  folder.write("base.toml", one_block + "train.epochs = 3\ndata.source = \"music\"\n");
  folder.write("models/a.toml", "extends = \"../base.toml\"\ntrain.batch = 5");
  folder.write("models/b.toml", "extends = \"../base.toml\"\ntrain.batch = 6\ntrain.epochs = 9");
  const std::string file = folder.write("sweeps/s.toml",
                                        "extends = \"../base.toml\"\ndata.window = 64\n[sweep.axes]\nextends = "
                                        "[\"../models/a.toml\", \"../models/b.toml\"]");
  const Sweep sweep = *load_sweep(file, {"train.patience=7"}, "");
  BOOST_TEST(labels_of(sweep) == (Texts{"a", "b"}));
  BOOST_TEST(sweep.runs[0].config.train.batch == 5);
  BOOST_TEST(sweep.runs[0].config.train.epochs == 3);
  BOOST_TEST(sweep.runs[1].config.train.epochs == 9);
  BOOST_TEST(sweep.runs[1].config.data.window == 64);  // the sweep's own settings win over what is extended
  BOOST_TEST(sweep.runs[1].config.train.patience == 7);
  BOOST_TEST(sweep.runs[0].config.data.source[0] == folder / "music");
  BOOST_TEST(sweep.runs[0].settings[0].first == "extends");
  BOOST_TEST(sweep.runs[0].settings[0].second.text == "a.toml");

  const std::string lost =
      folder.write("sweeps/lost.toml", "[sweep.axes]\nextends = [\"../models/a.toml\",\n\"../models/c.toml\"]");
  BOOST_TEST(message_of([&] { load_sweep(lost, {}, ""); }) ==
             lost + ":3: extends: cannot read " + (folder / "models/c.toml") + ": No such file or directory");
  const std::string twice = folder.write("sweeps/twice.toml", "extends = \"s.toml\"");
  BOOST_TEST(message_of([&] {
               load_sweep(twice, {}, "");
             }).ends_with("sweeps/s.toml:3: sweep.axes: a file that another one extends cannot be a sweep"));
}

BOOST_AUTO_TEST_CASE(several_grids_without_what_they_share) {
  const Sweep sweep =
      SweepFile(
          "[[sweep.axes]]\nloss.harmony.weight = [0]\n[[sweep.axes]]\nloss.harmony.input = [\"softmax\", "
          "\"raw\"]\nloss.harmony.span = [1, 2]\n"
          "[[sweep.axes]]\nloss.harmony.span = [1, 2, 4]")
          .load();
  BOOST_TEST(labels_of(sweep) == (Texts{"weight 0", "input softmax, span 1", "input softmax, span 2",
                                        "input raw, span 1", "input raw, span 2", "span 4"}));
  BOOST_TEST(sweep.merged == 2u);
}

BOOST_AUTO_TEST_CASE(keys_of_one_block) {
  const Sweep sweep =
      SweepFile(
          "[sweep.axes]\nmodel.blocks = [[{ kind = \"lstm_time\" }, { kind = \"attention_notes\" }], [{ kind = "
          "\"attention_notes\", norm = \"pre\" }, { kind = \"lstm_notes\" }, { kind = \"attention_notes\" }]]\n"
          "\"model.blocks[-1].mask\" = [\"none\", \"auto\"]\n\"model.blocks[-1].heads\" = [2]")
          .load();
  BOOST_TEST(labels_of(sweep) == (Texts{"lstm_sa, mask none, heads 2", "lstm_sa, mask auto, heads 2",
                                        "sa_lstm_sa, mask none, heads 2", "sa_lstm_sa, mask auto, heads 2"}));
  BOOST_TEST((sweep.runs[0].config.model.blocks[1].mask == Mask::none));
  BOOST_TEST((sweep.runs[2].config.model.blocks[0].mask == Mask::automatic));
  BOOST_TEST((sweep.runs[2].config.model.blocks[0].norm == Norm::pre));
  BOOST_TEST((sweep.runs[2].config.model.blocks[2].mask == Mask::none));
  BOOST_TEST(sweep.runs[3].config.model.blocks[2].heads == 2);
  BOOST_TEST(!sweep.runs[0].config.model.autoregressive());
  BOOST_TEST(sweep.runs[1].config.model.autoregressive());

  const auto block = [](const std::string& line) { return problem_of("[sweep.axes]\n" + line); };
  BOOST_TEST(block("\"model.blocks[0].unit\" = [3]") ==
             "x.toml:3: model.blocks[0]: unknown key \"unit\": did you mean \"units\"?");
  BOOST_TEST(block("\"model.blocks[0].units\" = [3, 0]") ==
             "x.toml:3: model.blocks[0].units: must be at least 1, is 0");
  BOOST_TEST(block("\"model.blocks[1].units\" = [3]") ==
             "x.toml:3: model.blocks[1].units: there are 1 blocks, counted from 0");
  BOOST_TEST(block("\"model.blocks[-2].units\" = [3]") ==
             "x.toml:3: model.blocks[-2].units: there are 1 blocks, counted from 0");
  BOOST_TEST(
      block("\"model.blocks[x].units\" = [3]") ==
      "x.toml:3: unknown key \"model.blocks[x].units\": a key of one block is model.blocks[0].heads, of the last one "
      "model.blocks[-1].heads");
}

BOOST_AUTO_TEST_CASE(labels) {
  const auto label = [](const std::string& axes) { return SweepFile("[sweep.axes]\n" + axes).load().runs[0].label; };
  BOOST_TEST(label("data.meter = [\"4/4\", \"file\"]") == "meter 4/4");  // no path
  BOOST_TEST(label("data.notes = [12]\nloss.notes = [\"sum\"]") ==
             "data.notes 12, loss.notes sum");  // the last part alone would be ambiguous
  BOOST_TEST(label("data.source = [[\"music/bach\", \"music/mozart.mid\"]]") == "source bach+mozart.mid");
  BOOST_TEST(label("model.condition = [false]") == "condition false");
  const Sweep same =
      SweepFile("[sweep.axes]\nmodel.blocks = [[{ kind = \"lstm_time\" }], [{ kind = \"lstm_time\", units = 3 }]]")
          .load();
  BOOST_TEST(labels_of(same) == (Texts{"lstm", "lstm (2)"}));
  BOOST_TEST(labels_of(SweepFile("[sweep]\nseeds = [1]").load()) == (Texts{"x"}));
}

// A minute under AddressSanitizer, for nothing but arithmetic.
BOOST_AUTO_TEST_CASE(the_size_of_a_sweep_is_bounded, *boost::unit_test::enable_if<!POPH_ASAN>()) {
  std::string ones = "[1", numbers = "[1";
  for (int i = 2; i <= 10000; ++i) ones += ",1", numbers += joined(",", i);
  // 10^12 combinations, all of which mean the same.
  BOOST_TEST(problem_of("[sweep]\nmode = \"random\"\nruns = 2\n[sweep.axes]\ntrain.batch = " + ones +
                        "]\ntrain.epochs = " + ones + "]\ntrain.patience = " + ones + "]") ==
             "x.toml: sweep.runs = 2, but the axes have 1 different configurations among those drawn");
  std::string keys = "[sweep.axes]\n";
  for (int i = 0; i <= 1000; ++i) keys += joined("\"model.blocks[", i, "].units\" = [4]\n");
  BOOST_TEST(problem_of(keys) == "x.toml:2: sweep.axes: 1001 keys, expected at most 1000");
  std::string files = "data.source = [\"a\"";
  for (int i = 0; i < 20000; ++i) files += ",\"a\"";
  BOOST_TEST(problem_of(files + "]\n[sweep.axes]\ntrain.batch = " + numbers + "]") ==
             "x.toml: sweep: the settings of all runs together are above 67108864 bytes");
}

BOOST_AUTO_TEST_CASE(a_draw_repeats_and_grows) {
  const SweepFile file(
      "[sweep]\nmode = \"random\"\nruns = 5\n[sweep.axes]\ntrain.batch = [1, 2, 3, 4, 5, 6]\ntrain.epochs = [1, 2, 3, "
      "4]\ntrain.learning_rate = [0.1, 0.2]");
  const Texts five = ids_of(file.load());
  BOOST_TEST(five.size() == 5u);
  BOOST_TEST(ids_of(file.load()) == five);
  Texts more = ids_of(file.load({"sweep.runs=9"}));
  BOOST_TEST(std::set(more.begin(), more.end()).size() == 9u);
  more.resize(5);
  BOOST_TEST(more == five);
  BOOST_TEST(ids_of(file.load({"sweep.seed=2"})) != five);
  const Texts all = ids_of(file.load({"sweep.runs=48"}));
  BOOST_TEST(std::set(all.begin(), all.end()).size() == 48u);
  BOOST_TEST(file.problem({"sweep.runs=49"}) ==
             "x.toml: sweep.runs = 49, but the axes have 48 different configurations");
  // A draw always includes the baseline.
  const std::string baseline = "batch 6, epochs 4, learning_rate 0.2";
  for (const char* runs : {"sweep.runs=1", "sweep.runs=3", "sweep.runs=48"}) {
    const Sweep drawn = file.load({runs, "sweep.baseline=\"" + baseline + "\""});
    BOOST_TEST(drawn.runs[0].label == baseline);
    BOOST_TEST(std::to_string(drawn.runs.size()) == std::string(runs).substr(11));
    BOOST_TEST(drawn.merged == 0u);
  }
  // Each value of an axis is drawn about equally often.
  const std::vector<Grid> grids = read_axes(
      parse_toml("train.batch = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\ntrain.epochs = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "x"));
  std::vector<int> times(10);
  int drawn = 0;
  draw_combinations(100, 7, [&](int64_t index) {
    ++times[static_cast<size_t>(combination(grids, index)[0].second.integer - 1)];
    return ++drawn < 50;
  });
  for (const int count : times) BOOST_TEST((count > 0 && count < 10));
}

BOOST_AUTO_TEST_CASE(hashes) {
  const auto hash = [](const std::string& text) { return settings_hash(parse_config(one_block + text, "x.toml")); };
  // A value that ever changes makes finished runs begin anew. It is from before the defaults became base.toml's.
  const std::string early = "data.window = 128\ndata.stride = 16\ntrain.batch = 32\ntrain.epochs = 100\n",
                    reading = "data.quantize = \"floor\"\ndata.meter = \"4/4\"\ndata.windows = \"staggered\"\n",
                    model =
                        "model.match = false\nmodel.relative_classes = false\ntrain.average = 0\ntrain.patience = 5\n";
  BOOST_TEST(hash(early + reading + model) == "a7c754098d");
  // Runs of before read otherwise than the defaults of today do: they are others.
  BOOST_TEST(hash(early + model) != "a7c754098d");
  BOOST_TEST(hash(early + reading) != "a7c754098d");
  BOOST_TEST(hash("name = \"y\"") == hash(""));
  std::set<std::string> hashes = {hash("")};
  const Texts changes = {"seed = 2",          "train.batch = 8",      "data.window = 64",
                         "generate.bars = 3", "loss.notes = \"sum\"", "data.source = \"/music\"",
                         "train.batch = 9"};
  for (const std::string& change : changes) hashes.insert(hash(change));
  BOOST_TEST(hashes.size() == changes.size() + 1);
  // The order and the names of axes change the label of a run, never its hash.
  const Sweep one = SweepFile("[sweep.axes]\ntrain.batch = [2]\ndata.window = [64]").load(),
              other = SweepFile("train.batch = 2\n[sweep.axes]\ndata.window = [64]").load();
  BOOST_TEST(one.runs[0].id != other.runs[0].id);
  BOOST_TEST(one.runs[0].hash() == other.runs[0].hash());
  BOOST_TEST(one.runs[0].hash() == settings_hash(one.runs[0].config));
}

BOOST_AUTO_TEST_CASE(a_moved_sweep_has_the_same_runs) {
  const Folder folder;
  const std::string text = one_block + "data.source = \"music\"\n[sweep.axes]\ntrain.batch = [2, 3]\n";
  const Sweep sweep = *load_sweep(folder.write("p/s.toml", text), {}, ""),
              moved = *load_sweep(folder.write("q/r/s.toml", text), {}, "");
  BOOST_TEST(ids_of(moved) == ids_of(sweep));
  BOOST_TEST(moved.runs[0].config.data.source[0] == folder / "q/r/music");
  // Written alike, and not the same: each file has a "music" beside it.
  for (const char* name : {"a", "b"})
    folder.write(std::string(name) + "/base.toml", one_block + "data.source = \"music\"\n");
  const Sweep two =
      *load_sweep(folder.write("t.toml", "[sweep.axes]\nextends = [\"a/base.toml\", \"b/base.toml\"]\n"), {}, "");
  BOOST_REQUIRE_EQUAL(two.runs.size(), 2u);
  BOOST_TEST(two.runs[0].hash() == settings_hash(two.runs[0].config));
  BOOST_TEST(two.runs[1].hash() == absolute_settings_hash(two.runs[1].config));
  BOOST_TEST(two.runs[1].config.name == two.runs[1].id);
}

BOOST_AUTO_TEST_CASE(mistakes_are_found_before_anything_runs) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[sweep]\nmethod = \"grid\"", "x.toml:3: unknown key \"sweep.method\": did you mean \"sweep.mode\"?"},
      {"[sweep]\nmode = \"grids\"",
       "x.toml:3: sweep.mode: \"grids\" is none of \"grid\", \"random\": did you mean \"grid\"?"},
      {"[sweep]\nmode = \"random\"",
       "x.toml:3: sweep.mode: \"random\" needs sweep.runs, the number of configurations to draw"},
      {"[sweep]\nruns = 3", "x.toml:3: sweep.runs: is for sweep.mode = \"random\"; a grid runs all"},
      {"[sweep]\nmode = \"random\"\nruns = 0", "x.toml:4: sweep.runs: must be at least 1, is 0"},
      {"[sweep]\nseeds = 3", "x.toml:3: sweep.seeds: expected a list of integers, found the integer 3"},
      {"[sweep]\nseeds = []", "x.toml:3: sweep.seeds: an empty list: nothing to run"},
      {"[sweep]\nseeds = [1,\n-2]", "x.toml:4: sweep.seeds: must be at least 0, is -2"},
      {"[sweep]\nseeds = [1, 2, 1]", "x.toml:3: sweep.seeds: lists 1 twice"},
      {"[sweep]\nbaseline = 3", "x.toml:3: sweep.baseline: expected a string, found the integer 3"},
      {"[sweep]\nbaseline = \"batch 3\"\n[sweep.axes]\ntrain.batch = [2, 4]",
       "x.toml:3: sweep.baseline: no configuration is called \"batch 3\": did you mean \"batch 2\"?"},
      {"[sweep.axes]\n\ntrain.epoch = [1]",
       "x.toml:4: sweep.axes: unknown key \"train.epoch\": did you mean \"train.epochs\"?"},
      {"[sweep.axes]\nextend = [\"a.toml\"]",
       "x.toml:3: sweep.axes: unknown key \"extend\": did you mean \"extends\"?"},
      {"[sweep.axes]\ntrain.epochs = 3",
       "x.toml:3: sweep.axes.train.epochs: expected a list of the values to try, found the integer 3"},
      {"[sweep.axes]\ntrain.epochs = []", "x.toml:3: sweep.axes.train.epochs: an empty list: nothing to try"},
      {"[sweep.axes]\ntrain.epochs = [1]\n\"train.epochs\" = [2]",
       "x.toml:4: sweep.axes.train.epochs: is an axis already"},
      {"[sweep.axes]\nseed = [1]",
       "x.toml:3: sweep.axes: seeds are no axis: sweep.seeds = [1, 2, 3] runs every configuration with each"},
      {"[sweep.axes]\nname = [\"a\"]", "x.toml:3: sweep.axes: the runs are named after their settings"},
      {"[sweep.axes]\nextends = [3]", "x.toml:3: sweep.axes.extends: expected a string, found the integer 3"},
      {"[sweep.axes]\ntrain.epochs = [5,\n\"ten\"]",
       "x.toml:4: train.epochs: expected an integer, found the string \"ten\""},
      {"[sweep.axes]\ntrain.epochs = [5, 0]", "x.toml:3: train.epochs: must be at least 1, is 0"},
      {"[sweep.axes]\nloss.harmony.input = [\"sofmax\"]",
       "x.toml:3: loss.harmony.input: \"sofmax\" is none of \"softmax\", \"raw\": did you mean \"softmax\"?"},
      {"[sweep.axes]\ndata.window = [16, 10]\nloss.harmony.span = [4]",
       "x.toml:4: loss.harmony.span = 4 does not divide data.window = 10"},
      {"sweep = 3", "x.toml:2: sweep: expected a table, found the integer 3"},
      {"[sweep]\naxes = 3", "x.toml:3: sweep.axes: expected a table of keys with lists of values, found the integer 3"},
      {"[sweep]\naxes = []", "x.toml:3: sweep.axes: an empty list: nothing to try"},
  };
  for (const auto& [text, message] : cases) BOOST_TEST(problem_of(text) == message);
  std::string many = "[sweep.axes]\n";
  for (const char* key : {"train.batch", "train.epochs", "train.patience", "data.stride", "data.window"})
    many += std::string(key) + " = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n";
  BOOST_TEST(problem_of(many) ==
             "x.toml: sweep: 100000 configurations with 1 seeds are above 10000 runs; mode = \"random\" draws some");
  std::string endless = "[sweep.axes]\n", values = "1";
  for (int i = 2; i < 500; ++i) values += ", " + std::to_string(i);
  for (const char* key : {"train.batch", "train.epochs", "train.patience", "data.stride", "data.window",
                          "model.octave_units", "generate.bars"})
    endless += std::string(key) + " = [" + values + "]\n";
  BOOST_TEST(problem_of(endless) ==
             "x.toml:8: sweep.axes.model.octave_units: the axes have more combinations than 2^53");
}

BOOST_AUTO_TEST_CASE(overrides_of_a_sweep) {
  const SweepFile file("[sweep]\nseeds = [1, 2]\n[sweep.axes]\ntrain.batch = [2, 4]");
  BOOST_TEST(file.load({"train.epochs=7"}).runs[3].config.train.epochs == 7);
  BOOST_TEST(file.load({"sweep.seeds=[5]"}).runs.size() == 2u);
  BOOST_TEST(file.load({"name=other"}).name == "other");
  BOOST_TEST(labels_of(file.load({"sweep.axes={train.batch=[3]}", "sweep.seeds=[1]"})) == (Texts{"batch 3"}));
  BOOST_TEST(file.problem({"train.batch=3"}) == "command line: train.batch=3: is an axis of this sweep, at x.toml:5");
  BOOST_TEST(file.problem({"seed=3"}) == "command line: seed=3: this sweep has sweep.seeds");
  BOOST_TEST(file.problem({"model.blocks[0].units=3"}) ==
             "command line: model.blocks[0].units=3: in a sweep the keys of one block are set by its axes");
  BOOST_TEST(file.problem({"sweep.seed=3"}) ==
             "command line: sweep.seed=3: is for sweep.mode = \"random\"; a grid runs all");
}

BOOST_AUTO_TEST_CASE(the_sweep_as_a_file_of_its_own) {
  const Folder folder;
  folder.write("base.toml", one_block);
  folder.write("a.toml", "extends = \"base.toml\"\ntrain.batch = 5");
  const std::string file =
      folder.write("s.toml",
                   "extends = \"base.toml\"\ndata.source = [\"music\", \"bundled\"]\ndata.split = "
                   "0.25\nmodel.condition = false\n[sweep]\nseeds = [1, 2]\nbaseline = \"base, mask none\"\n"
                   "[[sweep.axes]]\nextends = [\"a.toml\", \"base.toml\"]\n[[sweep.axes]]\nmodel.blocks = "
                   "[[{ kind = \"lstm_time\" }, { kind = \"attention_notes\" }]]\n"
                   "[[sweep.axes]]\nextends = [\"base.toml\"]\n\"model.blocks[0].units\" = [3, 4]");
  const std::vector<std::string> overrides = {"train.epochs=7", "sweep.seeds=[4, 8]", "sweep.baseline=lstm_sa"};
  const Sweep sweep = *load_sweep(file, overrides, "");
  const Sweep again = *load_sweep(folder.write("elsewhere/sweep.toml", sweep.text()), {}, "");
  BOOST_TEST(again.name == "s");
  BOOST_TEST(labels_of(again) == labels_of(sweep));
  for (size_t i = 0; i < sweep.runs.size(); ++i)  // its paths are written otherwise, but lead to the same places
    BOOST_TEST(absolute_settings_hash(again.runs[i].config) == absolute_settings_hash(sweep.runs[i].config));
  BOOST_TEST(again.runs[2].baseline);
  BOOST_TEST(again.text() == sweep.text());
  const std::string moved = sweep.text(folder / "runs/s");
  for (const char* line : {"extends = \"../../base.toml\"\n", "data.source = [\"../../music\", \"bundled\"]\n",
                           "extends = [\"../../a.toml\", \"../../base.toml\"]\n"})
    BOOST_TEST(moved.find(line) != std::string::npos, moved);
  const Sweep elsewhere = *load_sweep(folder.write("runs/s/sweep.toml", moved), {}, "");
  BOOST_TEST(elsewhere.text() == sweep.text());
}

BOOST_AUTO_TEST_CASE(time_left) {
  const Sweep sweep = SweepFile("[sweep]\nseeds = [1, 2, 3]\n[sweep.axes]\ntrain.batch = [1, 2]")
                          .load();  // runs 0, 2, 4 are of one configuration
  TimeLeft left(sweep);
  BOOST_TEST(!left.seconds({0, 1}, {}, 1).has_value());
  left.measured(0, 10);
  BOOST_TEST(*left.seconds({2, 3}, {}, 1) == 20);
  left.measured(1, 40);
  BOOST_TEST(*left.seconds({2, 3}, {}, 1) == 50);
  BOOST_TEST(*left.seconds({2, 3}, {}, 2) == 25);
  BOOST_TEST(*left.seconds({}, {{3, 10}, {2, 4}}, 2) == 30);  // as long as the longest running one
  BOOST_TEST(*left.seconds({}, {{2, 15}}, 1) == 0);           // longer than expected: soon
}

BOOST_AUTO_TEST_SUITE_END()
