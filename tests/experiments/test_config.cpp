#include "experiments/config/config.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "experiments/config/keys.h"
#include "poph_paths.h"
#include "tests/support/config_files.h"

namespace {

using namespace poph;
using namespace poph::test;

std::vector<std::string> shipped_files() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(fs::path(POPH_SOURCE_ROOT) / "experiments"))
    if (entry.path().extension() == ".toml") files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<BlockKind> kinds(const Config& config) {
  std::vector<BlockKind> result;
  for (const BlockSettings& block : config.model.blocks) result.push_back(block.kind);
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(config)

// ---- Defaults and the shipped files ----

// A file that does not extend base.toml trains the same model in the same way: blocks are all it has to say.
BOOST_AUTO_TEST_CASE(defaults_are_those_of_base_toml) {
  const Config base = load_config(POPH_SOURCE_ROOT "/experiments/base.toml");
  const Config plain =
      parse_config("model.blocks = [{ kind = \"lstm_time\" }, { kind = \"lstm_notes\" }]", "base.toml");
  for (const std::string& line : differing_keys(base, plain)) BOOST_ERROR("base.toml and the default differ: " << line);
  BOOST_TEST(to_toml(base) == to_toml(plain));
}

BOOST_AUTO_TEST_CASE(every_shipped_file_loads_and_reads_back_the_same) {
  const std::vector<std::string> files = shipped_files();
  BOOST_TEST(files.size() >= 12u);
  for (const std::string& file : files) {
    BOOST_TEST_CONTEXT(file) {
      const Config config = load_config(file, {}, "/corpus");
      BOOST_TEST(config.name == fs::path(file).stem().string());
      BOOST_TEST(config.source_paths() == std::vector<std::string>{"/corpus"}, boost::test_tools::per_element());
      const Config again = parse_config(to_toml(config), "config.toml");
      BOOST_TEST(to_toml(again) == to_toml(config));
      BOOST_TEST(differing_keys(config, again).empty());
      // comments and all, it is TOML
      const Config described = parse_config(describe_config(config), "described.toml");
      BOOST_TEST(to_toml(described) == to_toml(config));
    }
  }
}

BOOST_AUTO_TEST_CASE(shipped_orderings_and_losses) {
  const auto shipped = [](const std::string& name) {
    return load_config(POPH_SOURCE_ROOT "/experiments/" + name + ".toml");
  };
  using enum BlockKind;
  const std::vector<std::pair<std::string, std::vector<BlockKind>>> orderings = {
      {"lstm_lstm", {lstm_time, lstm_notes}},
      {"sa_lstm_lstm", {attention_notes, lstm_time, lstm_notes}},
      {"lstm_lstm_sa", {lstm_time, lstm_notes, attention_notes}},
      {"sa_lstm_lstm_sa", {attention_notes, lstm_time, lstm_notes, attention_notes}},
      {"sa_lstm_sa", {attention_notes, lstm_time, attention_notes}},
      {"sa2d_lstm_lstm", {attention_time_notes, lstm_time, lstm_notes}}};
  for (const auto& [name, blocks] : orderings) BOOST_TEST((kinds(shipped(name)) == blocks), name);
  BOOST_TEST(shipped("sa_lstm_lstm").model.blocks[0].head_dim == 64);
  BOOST_TEST(shipped("sa_lstm_lstm").model.blocks[1].units == 256);
  BOOST_TEST(shipped("sa_lstm_lstm").model.blocks[2].units == 128);

  BOOST_TEST(shipped("harmony_off").loss.weight[Loss::harmony] == 0.0);
  for (const bool raw : {false, true})
    for (const bool square : {false, true}) {
      const Config config =
          shipped(std::string("harmony_") + (raw ? "raw" : "softmax") + (square ? "_mean_square" : "_mean"));
      BOOST_TEST((config.loss.harmony.input == (raw ? HarmonyInput::raw : HarmonyInput::softmax)));
      BOOST_TEST((config.loss.harmony.reduction == (square ? HarmonyReduction::mean_square : HarmonyReduction::mean)));
      BOOST_TEST((kinds(config) == kinds(shipped("sa_lstm_lstm"))));
    }
}

BOOST_AUTO_TEST_CASE(the_experiment_inside_a_checkpoint) {
  const std::string text = R"(name = "leaky"
seed = 1
[data]
source = "."
lowest_note = 48
notes = 24
window = 16
split = "none"
[model]
octave_units = 4
blocks = [
  { kind = "lstm_time", layers = 2, units = 6 },
  { kind = "attention_notes", heads = 3, mask = "none", norm = "none" }]
[loss.harmony]
span = 4
)";
  const Config config = parse_config(text, "leaky.safetensors", {"data.source=/other", "data.notes=12"});
  BOOST_TEST(config.name == "leaky");
  BOOST_TEST(config.data.source[0] == "/other");
  BOOST_TEST(config.model.notes == 12);
  BOOST_TEST(config.train.batch == 4);                                        // a key that the text does not have
  BOOST_TEST(parse_config(text, "leaky.safetensors").data.source[0] == ".");  // no folder to be relative to
  BOOST_TEST(parse_config(one_block, "runs/x/best.safetensors").name == "best");
  BOOST_TEST(parse_config(one_block, "").name == "unnamed");
  BOOST_TEST(problem("\nextends = \"base.toml\"") ==
             "x.toml:2: extends: not possible here: this text has to stand alone");
}

// A key that a saved experiment lacks means what was done before there was such a key, whatever the default is today.
BOOST_AUTO_TEST_CASE(a_saved_experiment_means_what_it_meant) {
  const auto lines = [](const Config& config) {
    std::set<std::string> result;
    for (const KeyLine& line : key_lines(config)) result.insert(line.key + " = " + line.value);
    return result;
  };
  const std::set<std::string> saved = lines(parse_saved_config(one_block, "x.safetensors")),
                              plain = lines(parse_config(one_block, "x.safetensors"));
  std::vector<std::string> other;
  std::set_difference(saved.begin(), saved.end(), plain.begin(), plain.end(), std::back_inserter(other));
  const std::vector<std::string> before = {"data.meter = \"4/4\"",           "data.quantize = \"floor\"",
                                           "data.windows = \"staggered\"",   "model.match = false",
                                           "model.relative_classes = false", "train.average = 0.0"};
  BOOST_TEST(other == before, boost::test_tools::per_element());
  const Config said = parse_saved_config(one_block + "model.match = true\ndata.windows = \"lanes\"\n", "x");
  BOOST_TEST((said.model.match && !said.model.relative_classes && !said.data.staggered));
}

BOOST_AUTO_TEST_CASE(integers_serve_as_numbers) {
  const Config config = parse_config(one_block + "generate.temperature = 2\nloss.harmony.weight = 0", "x.toml");
  BOOST_TEST(config.generate.temperature == 2.0);
  BOOST_TEST(config.loss.weight[Loss::harmony] == 0.0);
}

// ---- extends and overrides ----

BOOST_AUTO_TEST_CASE(files_merge_key_by_key_and_remember_their_lines) {
  const Folder folder;
  folder.write("a.toml", "seed = 3\n[data]\nwindow = 32\nstride = 4\n[loss.harmony]\nweight = 0.5\nspan = 2\n" +
                             std::string("[model]\nblocks = [{ kind = \"lstm_time\" }, { kind = \"lstm_notes\" }]\n"));
  folder.write("sub/b.toml",
               "extends = \"../a.toml\"\n[data]\nstride = 8\nsource = \"music/\"\n[loss]\nharmony.span = 4\n");
  const std::string c = folder.write(
      "c.toml",
      "extends = \"sub/b.toml\"\n\n[model]\nblocks = [\n  { kind = \"attention_notes\",\n    heads = 2 },\n]\n");
  // TOML 1.0 has no line break in an inline table: the fault is named where it is.
  BOOST_TEST(file_problem(c).starts_with(c + ":5:"));
  folder.write("c.toml",
               "extends = \"sub/b.toml\"\n\n[model]\nblocks = [\n  { kind = \"attention_notes\", heads = 2 },\n]\n");

  const Config config = load_config(c, {"train.epochs=5", "generate.prime=my/prime.mid", "train.epochs = 6"});
  BOOST_TEST(config.name == "c");
  BOOST_TEST(config.seed == 3u);
  BOOST_TEST(config.data.window == 32);
  BOOST_TEST(config.data.stride == 8);
  BOOST_TEST(config.loss.weight[Loss::harmony] == 0.5);
  BOOST_TEST(config.loss.harmony.span == 4);
  BOOST_TEST(config.model.blocks.size() == 1u);  // arrays replace
  BOOST_TEST(config.train.epochs == 6);          // the last override wins
  BOOST_TEST(config.data.source[0] == folder / "sub/music");
  BOOST_TEST(config.generate.prime == (fs::current_path() / "my/prime.mid").string());

  BOOST_TEST(config.set_by.at("data.window") == (folder / "a.toml") + ":3");
  BOOST_TEST(config.set_by.at("data.stride") == (folder / "sub/b.toml") + ":3");
  BOOST_TEST(config.set_by.at("loss.harmony.span") == (folder / "sub/b.toml") + ":6");
  BOOST_TEST(config.set_by.at("model.blocks[0].heads") == c + ":5");
  BOOST_TEST(config.set_by.at("train.epochs") == "command line");
  BOOST_TEST(config.set_by.count("train.batch") == 0u);

  const std::string described = describe_config(config);
  const auto has_line = [&](const std::string& start, const std::string& end) {
    const size_t at = described.find("\n" + start + " ");
    if (at == std::string::npos) return false;
    const std::string line = described.substr(at + 1, described.find('\n', at + 1) - at - 1);
    return line.ends_with("  # " + end);
  };
  BOOST_TEST(has_line("window = 32", (folder / "a.toml") + ":3"));
  BOOST_TEST(has_line("epochs = 6", "command line"));
  BOOST_TEST(has_line("batch = 4", "default"));
  BOOST_TEST(described.find("# " + c + ":5; default: head_dim, residual, norm") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_bad_value_names_the_file_that_set_it) {
  const Folder folder;
  const std::string base = folder.write("base.toml", one_block + "[data]\nwindow = 0\n");
  const std::string file = folder.write("x.toml", "extends = \"base.toml\"\n[data]\nstride = 4\n");
  BOOST_TEST(file_problem(file) == base + ":3: data.window: must be at least 1, is 0");
  BOOST_TEST(load_config(file, {"data.window=4"}).data.window == 4);
  folder.write("base.toml", one_block + "\n[data]\nwidnow = 1\n");
  BOOST_TEST(file_problem(file) == base + ":4: unknown key \"data.widnow\": did you mean \"data.window\"?");
}

BOOST_AUTO_TEST_CASE(overrides) {
  const auto with = [](const std::string& override) { return parse_config(one_block, "x.toml", {override}); };
  BOOST_TEST(with("data.source=bundled").data.source[0] == "bundled");
  BOOST_TEST(with("data.source=./bundled").data.source[0] == (fs::current_path() / "bundled").string());
  BOOST_TEST(with("data.source=my/fol der/").data.source[0] == (fs::current_path() / "my/fol der").string());
  BOOST_TEST(with("data.source=[\"/a\", \"/b\"]").data.source.size() == 2u);
  BOOST_TEST(with("generate.prime=").generate.prime == "");
  BOOST_TEST((with("data.split=none").data.split_rule == Split::none));
  BOOST_TEST((with("train.optimizer=sgd").train.optimizer == OptimizerKind::sgd));
  BOOST_TEST(with("loss.harmony={ weight = 3, span = 2 }").loss.harmony.span == 2);
  BOOST_TEST(with("model.blocks=[{ kind = \"lstm_notes\" }]").model.blocks[0].units == 128);
  BOOST_TEST(with("model.blocks[0].units=3").model.blocks[0].units == 3);
  BOOST_TEST(with("model.blocks[-1].layers=1").set_by.at("model.blocks[0].layers") == "command line");

  const auto refused = [](const std::string& override) { return problem(one_block, {override}); };
  BOOST_TEST(refused("train.epochs=abc") ==
             "command line: train.epochs=abc: expected an integer, found the string \"abc\"");
  BOOST_TEST(refused("train.epochs=0") == "command line: train.epochs=0: must be at least 1, is 0");
  BOOST_TEST(refused("train.epoch=5") ==
             "command line: train.epoch=5: unknown key \"train.epoch\": did you mean \"train.epochs\"?");
  BOOST_TEST(refused("train.epochs") == "command line: train.epochs: expected KEY=VALUE, as in train.epochs=5");
  BOOST_TEST(refused("=5").starts_with("command line: =5: unknown key \"\""));
  BOOST_TEST(refused("extends=a.toml") == "command line: extends=a.toml: only a file can extend another");
  BOOST_TEST(refused("sweep.seeds=[1]") == "command line: sweep.seeds=[1]: a sweep is not one experiment");
  BOOST_TEST(refused("data.source=[a, b]").starts_with("command line: data.source=[a, b]: not valid TOML: "));
  BOOST_TEST(refused("train.epochs=5\nseed=2") == "command line: train.epochs=5\\nseed=2: expected one value");
  BOOST_TEST(refused("loss.harmony={ wieght = 1 }") ==
             "command line: loss.harmony={ wieght = 1 }: unknown key \"loss.harmony.wieght\": did you mean "
             "\"loss.harmony.weight\"?");
  BOOST_TEST(refused("model.blocks=[{ kind = \"lstm_time\", units = 0 }]") ==
             "command line: model.blocks=[{ kind = \"lstm_time\", units = 0 }]: model.blocks[0].units: must be at "
             "least 1, is 0");
  BOOST_TEST(refused("model.blocks[0].units=0") == "command line: model.blocks[0].units=0: must be at least 1, is 0");
  BOOST_TEST(refused("model.blocks[1].units=3") ==
             "command line: model.blocks[1].units=3: there are 1 blocks, counted from 0");
  BOOST_TEST(refused("model.blocks[0]=3")
                 .ends_with("a key of one block is model.blocks[0].heads, of the last one model.blocks[-1].heads"));
  BOOST_TEST(refused("data.window=\xff").starts_with("command line: data.window=\xff: not valid TOML: "));
}

// ---- Comparing ----

BOOST_AUTO_TEST_CASE(differing_keys_are_listed) {
  const Config was = parse_config(one_block, "x.toml");
  BOOST_TEST(differing_keys(was, was).empty());
  const Config now =
      parse_config(one_block, "x.toml",
                   {"train.epochs=200", "generate.bars=8", "train.batch=16", "data.split=none", "train.patience=9",
                    "model.blocks=[{ kind = \"lstm_time\", units = 8 }]", "train.learning_rate=0.1"});
  const std::vector<std::string> refused = {"data.split: was 0.05, now \"none\"",
                                            "model.blocks[0].units: was 256, now 8",
                                            "train.learning_rate: was 0.002, now 0.1", "train.batch: was 4, now 16"};
  BOOST_TEST(differing_keys(was, now, may_change_on_resume(was, now)) == refused, boost::test_tools::per_element());
  BOOST_TEST(differing_keys(was, now).size() == refused.size() + 3);
  // A run that has trained longer cannot become one that has not.
  const Config less = parse_config(one_block, "x.toml", {"train.epochs=13", "train.patience=1", "generate.bars=8"});
  const std::vector<std::string> fewer = {"train.epochs: was 14, now 13", "train.patience: was 2, now 1"};
  BOOST_TEST(differing_keys(was, less, may_change_on_resume(was, less)) == fewer, boost::test_tools::per_element());
  const Config endless = parse_config(one_block, "x.toml", {"train.patience=0"});  // the most patient of all
  BOOST_TEST(differing_keys(was, endless, may_change_on_resume(was, endless)).empty());
  BOOST_TEST(differing_keys(endless, was, may_change_on_resume(endless, was)).size() == 1);

  const Config other =
      parse_config(one_block, "x.toml", {"model.blocks=[{ kind = \"lstm_time\" }, { kind = \"lstm_notes\" }]"});
  const std::vector<std::string> kinds = {"model.blocks: was [\"lstm_time\"], now [\"lstm_time\", \"lstm_notes\"]"};
  BOOST_TEST(differing_keys(was, other) == kinds, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(more_epochs_where_the_schedule_does_not_depend_on_them) {
  const auto refused = [](const std::string& schedule) {
    const std::string text = one_block + "train.schedule = \"" + schedule + "\"\n";
    const Config was = parse_config(text, "x.toml"),
                 now = parse_config(text, "x.toml", {"train.epochs=20", "train.patience=9"});
    return differing_keys(was, now, may_change_on_resume(was, now));
  };
  BOOST_TEST(refused("constant").empty());
  const Config was = parse_config(one_block, "x.toml");  // the rest of the recipe stays, whatever the schedule
  for (const char* change : {"train.warmup_steps=9", "train.final_learning_rate=0.1", "train.weight_decay=0.1",
                             "train.average=0.9", "train.start_from=y"}) {
    const Config now = parse_config(one_block, "x.toml", {change});
    BOOST_TEST(differing_keys(was, now, may_change_on_resume(was, now)).size() == 1, change);
  }
  BOOST_TEST(refused("cosine") == std::vector<std::string>{"train.epochs: was 14, now 20"},
             boost::test_tools::per_element());
  BOOST_TEST(refused("plateau") == std::vector<std::string>{"train.patience: was 2, now 9"},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_name_is_no_setting) {
  BOOST_TEST(differing_keys(parse_config(one_block, "x.toml"), parse_config(one_block, "y.toml", {"name=z"})).empty());
}

// ---- Paths ----

BOOST_AUTO_TEST_CASE(paths_move_with_the_files_that_say_them) {
  const Folder folder;
  const std::string file = folder.write("p/x.toml", one_block +
                                                        "data.source = [\"mus/\", \"./bundled\", \"bundled\", "
                                                        "\"/far\", \".\"]\ngenerate.prime = \"../a.mid\"\n"
                                                        "train.start_from = \"runs/y/\"\n");
  const Config config = load_config(file);
  using Paths = std::vector<std::string>;
  const auto per_element = boost::test_tools::per_element();
  BOOST_TEST(config.data.source == (Paths{folder / "p/mus", folder / "p/bundled", "bundled", "/far", folder / "p"}),
             per_element);
  BOOST_TEST(as_written(config).data.source == (Paths{"mus", "bundled", "bundled", "/far", "."}), per_element);
  BOOST_TEST(as_written(config).generate.prime == "../a.mid");
  BOOST_TEST(config.train.start_from == folder / "p/runs/y");
  BOOST_TEST(as_written(config).train.start_from == "runs/y");

  const std::string text = to_toml(config, folder / "p/runs/x");
  BOOST_TEST(
      text.find("source = [\"../../mus\", \"../../bundled\", \"bundled\", \"/far\", \"../..\"]\n") != std::string::npos,
      text);
  BOOST_TEST(text.find("prime = \"../../../a.mid\"\n") != std::string::npos, text);
  BOOST_TEST(text.find("start_from = \"../y\"\n") != std::string::npos, text);
  BOOST_TEST(to_toml(config, folder / "p/").find("source = [\"mus\", \"./bundled\", \"bundled\", \"/far\", \".\"]\n") !=
             std::string::npos);
  folder.write("p/runs/x/config.toml", text);
  BOOST_TEST(differing_keys(config, load_config(folder / "p/runs/x/config.toml")).empty());
  fs::create_directories(folder / "q");
  fs::rename(folder / "p", folder / "q/r");
  const Config moved = load_config(folder / "q/r/x.toml");
  BOOST_TEST(moved.data.source[0] == folder / "q/r/mus");
  BOOST_TEST(differing_keys(moved, load_config(folder / "q/r/runs/x/config.toml")).empty());
  BOOST_TEST(differing_keys(config, moved).size() == 3u);
  BOOST_TEST(differing_keys(as_written(config), as_written(moved)).empty());
  // A text that stands alone keeps them whole.
  BOOST_TEST(differing_keys(config, parse_config(to_toml(config), "x.safetensors")).empty());
}

BOOST_AUTO_TEST_SUITE_END()
