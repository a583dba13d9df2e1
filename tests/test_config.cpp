#include "experiments/config.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "tests/config_files.h"

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

BOOST_AUTO_TEST_CASE(defaults_are_those_of_the_specification) {
  const Config config =
      parse_config("[model]\nblocks = [{ kind = \"lstm_time\" }, { kind = \"lstm_notes\" }, { kind = \"attention_notes\" }]",
                   "some/where.toml");
  BOOST_TEST(to_toml(config) == R"(name = "where"
seed = 1

[data]
source = "bundled"
channels = ["play", "replay", "volume"]
lowest_note = 36
notes = 48
steps_per_quarter = 4
window = 128
stride = 16
split = 0.05
percussion = false
sustain = false
transpose = 0
max_file_bytes = 268435456

[model]
octave_units = 64
note_order = "descending"
condition = true
input_dropout = 0.2
dropout = 0.5
blocks = [
  { kind = "lstm_time", layers = 2, units = 256 },
  { kind = "lstm_notes", layers = 2, units = 128 },
  { kind = "attention_notes", heads = 4, head_dim = 64, residual = true, norm = "post", feed_forward = true, )"
                                R"(query_gate = false, scale = true, dropout = 0.1, mask = "auto" },
]
styles = []

[loss]
notes = "mean"

[loss.harmony]
weight = 0.1
input = "softmax"
matrix = "diatonic"
span = 1
reduction = "mean"

[train]
optimizer = "nadam"
learning_rate = 0.002
schedule = "constant"
clip_norm = 0.0
on_nan = "stop"
batch = 32
epochs = 100
patience = 5
monitor = "validation_loss"
precision = "float32"
tensorboard = true

[generate]
pieces = 4
bars = 32
temperature = 1.0
tempo = 120.0
prime = ""
context = 0
)");
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
      const Config described = parse_config(describe_config(config), "described.toml");  // comments and all, it is TOML
      BOOST_TEST(to_toml(described) == to_toml(config));
    }
  }
}

BOOST_AUTO_TEST_CASE(shipped_orderings_and_losses) {
  const auto shipped = [](const std::string& name) { return load_config(POPH_SOURCE_ROOT "/experiments/" + name + ".toml"); };
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

  BOOST_TEST(shipped("harmony_off").loss.harmony.weight == 0.0);
  for (const bool raw : {false, true})
    for (const bool square : {false, true}) {
      const Config config = shipped(std::string("harmony_") + (raw ? "raw" : "softmax") + (square ? "_mean_square" : "_mean"));
      BOOST_TEST((config.loss.harmony.input == (raw ? HarmonyInput::raw : HarmonyInput::softmax)));
      BOOST_TEST((config.loss.harmony.reduction == (square ? HarmonyReduction::mean_square : HarmonyReduction::mean)));
      BOOST_TEST((kinds(config) == kinds(shipped("sa_lstm_lstm"))));
    }
}

BOOST_AUTO_TEST_CASE(every_value_reads_back) {
  const std::string text = R"(name = "a \"name\" é"
seed = 9223372036854775807

[data]
source = ["/x/a \\ b", "bundled"]
channels = ["play"]
lowest_note = 21
notes = 88
steps_per_quarter = 6
window = 96
stride = 5
split = "none"
percussion = true
sustain = true
transpose = 6
max_file_bytes = 1000000

[model]
octave_units = 3
note_order = "ascending"
condition = false
input_dropout = 0.0
dropout = 0.30000000000000004
blocks = [
  { kind = "attention_time_notes", heads = 3, head_dim = 5, residual = false, norm = "pre", feed_forward = false, )"
                           R"(query_gate = true, scale = false, dropout = 0.25, mask = "none" },
  { kind = "lstm_notes", layers = 1, units = 7 },
]
styles = []

[loss]
notes = "sum"

[loss.harmony]
weight = 1e-07
input = "raw"
matrix = "krumhansl"
span = 4
reduction = "mean_square"

[train]
optimizer = "adamw"
learning_rate = 0.1
schedule = "plateau"
clip_norm = 1.5
on_nan = "skip"
batch = 1
epochs = 2
patience = 3
monitor = "train_loss"
precision = "bf16"
tensorboard = false

[generate]
pieces = 1
bars = 2
temperature = 0.9
tempo = 96.5
prime = "/x/\u0001\u007F.mid"
context = 64
)";
  const Config config = parse_config(text, "x.toml");
  BOOST_TEST(to_toml(config) == text);
  BOOST_TEST((config.data.split_rule == Split::none));
  BOOST_TEST(config.data.channels == 1);
  BOOST_TEST(config.model.channels == 1);
  BOOST_TEST(config.model.lowest_note == 21);
  BOOST_TEST(config.model.notes == 88);
  BOOST_TEST(!config.model.descending);
  BOOST_TEST(config.loss.sum_notes);
  BOOST_TEST(config.train.monitor_train);
  BOOST_TEST((config.model.blocks[0].norm == Norm::pre));
  BOOST_TEST((config.model.blocks[0].mask == Mask::none));
  BOOST_TEST((config.train.optimizer == OptimizerKind::adamw));
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
blocks = [{ kind = "lstm_time", layers = 2, units = 6 }, { kind = "attention_notes", heads = 3, mask = "none", norm = "none" }]
[loss.harmony]
span = 4
)";
  const Config config = parse_config(text, "leaky.safetensors", {"data.source=/other", "data.notes=12"});
  BOOST_TEST(config.name == "leaky");
  BOOST_TEST(config.data.source[0] == "/other");
  BOOST_TEST(config.model.notes == 12);
  BOOST_TEST(config.train.batch == 32);                                       // a key that the text does not have
  BOOST_TEST(parse_config(text, "leaky.safetensors").data.source[0] == ".");  // no folder to be relative to
  BOOST_TEST(parse_config(one_block, "runs/x/best.safetensors").name == "best");
  BOOST_TEST(parse_config(one_block, "").name == "unnamed");
  BOOST_TEST(problem("\nextends = \"base.toml\"") == "x.toml:2: extends: not possible here: this text has to stand alone");
}

BOOST_AUTO_TEST_CASE(integers_serve_as_numbers) {
  const Config config = parse_config(one_block + "generate.temperature = 2\nloss.harmony.weight = 0", "x.toml");
  BOOST_TEST(config.generate.temperature == 2.0);
  BOOST_TEST(config.loss.harmony.weight == 0.0);
}

// ---- extends and overrides ----

BOOST_AUTO_TEST_CASE(files_merge_key_by_key_and_remember_their_lines) {
  const Folder folder;
  folder.write("a.toml", "seed = 3\n[data]\nwindow = 32\nstride = 4\n[loss.harmony]\nweight = 0.5\nspan = 2\n" +
                             std::string("[model]\nblocks = [{ kind = \"lstm_time\" }, { kind = \"lstm_notes\" }]\n"));
  folder.write("sub/b.toml", "extends = \"../a.toml\"\n[data]\nstride = 8\nsource = \"music/\"\n[loss]\nharmony.span = 4\n");
  const std::string c = folder.write(
      "c.toml", "extends = \"sub/b.toml\"\n\n[model]\nblocks = [\n  { kind = \"attention_notes\",\n    heads = 2 },\n]\n");
  // TOML 1.0 has no line break in an inline table: the fault is named where it is.
  BOOST_TEST(file_problem(c).starts_with(c + ":5:"));
  folder.write("c.toml", "extends = \"sub/b.toml\"\n\n[model]\nblocks = [\n  { kind = \"attention_notes\", heads = 2 },\n]\n");

  const Config config = load_config(c, {"train.epochs=5", "generate.prime=my/prime.mid", "train.epochs = 6"});
  BOOST_TEST(config.name == "c");
  BOOST_TEST(config.seed == 3u);
  BOOST_TEST(config.data.window == 32);
  BOOST_TEST(config.data.stride == 8);
  BOOST_TEST(config.loss.harmony.weight == 0.5);
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
  BOOST_TEST(has_line("batch = 32", "default"));
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
  BOOST_TEST(refused("train.epochs=abc") == "command line: train.epochs=abc: expected an integer, found the string \"abc\"");
  BOOST_TEST(refused("train.epochs=0") == "command line: train.epochs=0: must be at least 1, is 0");
  BOOST_TEST(refused("train.epoch=5") ==
             "command line: train.epoch=5: unknown key \"train.epoch\": did you mean \"train.epochs\"?");
  BOOST_TEST(refused("train.epochs") == "command line: train.epochs: expected KEY=VALUE, as in train.epochs=5");
  BOOST_TEST(refused("=5").starts_with("command line: =5: unknown key \"\""));
  BOOST_TEST(refused("extends=a.toml") == "command line: extends=a.toml: only a file can extend another");
  BOOST_TEST(refused("sweep.seeds=[1]") == "command line: sweep.seeds=[1]: a sweep is not one experiment");
  BOOST_TEST(refused("data.source=[a, b]").starts_with("command line: data.source=[a, b]: not valid TOML: "));
  BOOST_TEST(refused("train.epochs=5\nseed=2") == "command line: train.epochs=5\\nseed=2: expected one value");
  BOOST_TEST(
      refused("loss.harmony={ wieght = 1 }") ==
      "command line: loss.harmony={ wieght = 1 }: unknown key \"loss.harmony.wieght\": did you mean \"loss.harmony.weight\"?");
  BOOST_TEST(refused("model.blocks=[{ kind = \"lstm_time\", units = 0 }]") ==
             "command line: model.blocks=[{ kind = \"lstm_time\", units = 0 }]: model.blocks[0].units: must be at least 1, is 0");
  BOOST_TEST(refused("model.blocks[0].units=0") == "command line: model.blocks[0].units=0: must be at least 1, is 0");
  BOOST_TEST(refused("model.blocks[1].units=3") == "command line: model.blocks[1].units=3: there are 1 blocks, counted from 0");
  BOOST_TEST(refused("model.blocks[0]=3").ends_with("a key of one block is model.blocks[0].heads, of the last one model.blocks[-1].heads"));
  BOOST_TEST(refused("data.window=\xff").starts_with("command line: data.window=\xff: not valid TOML: "));
}

// ---- Comparing ----

BOOST_AUTO_TEST_CASE(differing_keys_are_listed) {
  const Config was = parse_config(one_block, "x.toml");
  BOOST_TEST(differing_keys(was, was).empty());
  const Config now = parse_config(one_block, "x.toml",
                                  {"train.epochs=200", "generate.bars=8", "train.batch=16", "data.split=none", "train.patience=9",
                                   "model.blocks=[{ kind = \"lstm_time\", units = 8 }]", "train.learning_rate=0.1"});
  const std::vector<std::string> refused = {"data.split: was 0.05, now \"none\"", "model.blocks[0].units: was 256, now 8",
                                            "train.learning_rate: was 0.002, now 0.1", "train.batch: was 32, now 16"};
  BOOST_TEST(differing_keys(was, now, may_change_on_resume(was, now)) == refused, boost::test_tools::per_element());
  BOOST_TEST(differing_keys(was, now).size() == refused.size() + 3);
  // A run that has trained longer cannot become one that has not.
  const Config less = parse_config(one_block, "x.toml", {"train.epochs=99", "train.patience=4", "generate.bars=8"});
  const std::vector<std::string> fewer = {"train.epochs: was 100, now 99", "train.patience: was 5, now 4"};
  BOOST_TEST(differing_keys(was, less, may_change_on_resume(was, less)) == fewer, boost::test_tools::per_element());

  const Config other = parse_config(one_block, "x.toml", {"model.blocks=[{ kind = \"lstm_time\" }, { kind = \"lstm_notes\" }]"});
  const std::vector<std::string> kinds = {"model.blocks: was [\"lstm_time\"], now [\"lstm_time\", \"lstm_notes\"]"};
  BOOST_TEST(differing_keys(was, other) == kinds, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
