#include <boost/test/unit_test.hpp>
#include <string>

#include "experiments/config/config.h"
#include "tests/support/config_files.h"

// Experiments as text: what --print-config shows and a run's config.toml holds.
namespace {

using namespace poph;
using namespace poph::test;

}  // namespace

BOOST_AUTO_TEST_SUITE(config)

BOOST_AUTO_TEST_CASE(defaults_as_text) {
  const Config config = parse_config(
      "[model]\nblocks = [{ kind = \"lstm_time\" }, { kind = \"lstm_notes\" }, { kind = \"attention_notes\" }]",
      "some/where.toml");
  BOOST_TEST(to_toml(config) == R"(name = "where"
seed = 1

[data]
source = "bundled"
channels = ["play", "replay", "volume"]
lowest_note = 36
notes = 48
steps_per_quarter = 4
quantize = "nearest"
meter = "file"
windows = "lanes"
window = 32
stride = 32
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
relative_classes = true
match = true
match_dropout = 0.1
blocks = [
  { kind = "lstm_time", layers = 2, units = 256 },
  { kind = "lstm_notes", layers = 2, units = 128 },
  { kind = "attention_notes", heads = 4, head_dim = 64, residual = true, norm = "post", feed_forward = true, )"
                                R"(query_gate = false, scale = true, dropout = 0.1, mask = "auto" },
]
styles = []
style_units = 64

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
warmup_steps = 0
final_learning_rate = 0.0
weight_decay = 0.01
average = 0.99
clip_norm = 0.0
on_nan = "stop"
batch = 4
shards = 1
epochs = 14
patience = 2
monitor = "validation_loss"
start_from = ""
precision = "float32"
tensorboard = true

[generate]
pieces = 4
bars = 32
temperature = 1.0
tempo = 120.0
meter = "4/4"
prime = ""
context = 0
melody = ""
bass = ""
keep = ""
keep_bars = ""
scale = ""
most_notes = 0
particles = 32
style = {}
)");
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
quantize = "floor"
meter = "4/4"
windows = "staggered"
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
relative_classes = true
match = true
match_dropout = 0.4
blocks = [
  { kind = "attention_time_notes", heads = 3, head_dim = 5, residual = false, norm = "pre", feed_forward = false, )"
                           R"(query_gate = true, scale = false, dropout = 0.25, mask = "none" },
  { kind = "lstm_notes", layers = 1, units = 7 },
]
styles = [
  { name = "a b", source = "/x/c" },
  { name = "d", source = ["/x/e", "bundled"] },
]
style_units = 5

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
warmup_steps = 100
final_learning_rate = 0.25
weight_decay = 0.05
average = 0.999
clip_norm = 1.5
on_nan = "skip"
batch = 1
shards = 1
epochs = 2
patience = 3
monitor = "train_loss"
start_from = "/runs/y"
precision = "bf16"
tensorboard = false

[generate]
pieces = 1
bars = 2
temperature = 0.9
tempo = 96.5
meter = "7/8"
prime = "/x/\u0001\u007F.mid"
context = 64
melody = "/x/a.mid"
bass = "/x/b.mid"
keep = "/x/c.mid"
keep_bars = "1-8,13-16"
scale = "C# major"
most_notes = 4
particles = 128
style = { "a b" = 0.25, "d" = 0.75 }
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

BOOST_AUTO_TEST_SUITE_END()
