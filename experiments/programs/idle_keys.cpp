#include "experiments/programs/idle_keys.h"

#include <algorithm>

#include "experiments/config/values.h"
#include "tensor/error.h"

namespace poph {
namespace {

// Keys, and with a dot at the end all keys of a table. A key of [data] that no row names changes how a piece is read,
// so that it counts everywhere.
struct Row {
  Use use;
  std::vector<std::string> idle;
  const char* of_seed;  // what is meant, where somebody sets `seed`
};

const std::vector<Row>& rows() {
  static const std::vector<Row> rows = {
      {Use::checkpoint, {}, ""},
      {Use::inspect,
       {"name", "seed", "model.", "loss.", "train.", "generate.", "data.source", "data.channels", "data.window",
        "data.windows", "data.stride", "data.split", "data.transpose", "data.max_file_bytes"},
       ""},
      {Use::data,
       {"name", "model.", "loss.", "train.", "generate.", "data.source", "data.window", "data.windows", "data.stride",
        "data.transpose"},
       ""},
      {Use::evaluate,
       {"name", "generate.", "train.", "data.transpose", "model.dropout", "model.input_dropout", "model.match_dropout"},
       ""},
      {Use::baseline,
       {"name", "model.", "loss.", "train.", "generate.", "data.window", "data.windows", "data.stride",
        "data.transpose"},
       ""},
      {Use::generate,
       {"name", "seed", "loss.", "train.", "model.dropout", "model.input_dropout", "model.match_dropout", "data.source",
        "data.window", "data.windows", "data.stride", "data.split", "data.transpose", "data.max_file_bytes"},
       "; --seed is the seed of what is composed"},
  };
  return rows;
}

}  // namespace

void refuse_idle(const std::vector<std::string>& overrides, Use use) {
  const Row& row = *std::find_if(rows().begin(), rows().end(), [&](const Row& one) { return one.use == use; });
  for (const std::string& text : overrides) {
    const auto [key, value] = read_key_and_value(text);
    if (use == Use::checkpoint) fail(value.where, ": changes nothing here");
    if (!contains(all_keys(), key) && !is_block_key(key)) continue;  // a mistake that has a better message
    if (key == "train.batch" && use == Use::evaluate) continue;
    const auto covers = [&key = key](const std::string& idle) {
      return idle == key || (idle.ends_with('.') && key.starts_with(idle));
    };
    if (std::any_of(row.idle.begin(), row.idle.end(), covers))
      fail(value.where, ": changes nothing here", key == "seed" ? row.of_seed : "");
  }
}

void refuse_idle(const std::vector<const Config*>& runs) {
  const auto is_overridden = [](const Config& config, const char* key) {
    const auto found = config.set_by.find(key);
    return found != config.set_by.end() && found->second == command_line;
  };
  const auto check = [&](const char* key, auto&& uses, const char* by) {
    if (std::any_of(runs.begin(), runs.end(), [&](const Config* config) { return is_overridden(*config, key); }) &&
        std::none_of(runs.begin(), runs.end(), [&](const Config* config) { return uses(*config); }))
      fail(command_line, ": ", key, ": changes nothing here: only ", by, " uses it");
  };
  check(
      "train.final_learning_rate", [](const Config& run) { return run.train.schedule == Schedule::cosine; },
      "train.schedule = \"cosine\"");
  check(
      "train.weight_decay", [](const Config& run) { return run.train.optimizer == OptimizerKind::adamw; },
      "train.optimizer = \"adamw\"");
  check(
      "data.source", [](const Config& run) { return run.data.styles.empty(); }, "an experiment without model.styles");
  check(
      "model.style_units", [](const Config& run) { return run.model.styles > 0; },
      "a model with styles (model.styles)");
  check(
      "data.stride", [](const Config& run) { return run.data.staggered; }, "data.windows = \"staggered\"");
  check(
      "model.match_dropout", [](const Config& run) { return run.model.match; }, "model.match = true");
  check(
      "generate.particles", [](const Config& run) { return run.generate.conditioned(); },
      "a condition, such as generate.scale,");
}

}  // namespace poph
