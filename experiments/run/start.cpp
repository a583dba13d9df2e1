#include "experiments/run/start.h"

#include "experiments/config/styles.h"

namespace poph {
namespace {

constexpr const char* key = "train.start_from: ";

}  // namespace

std::optional<SavedModel> read_start(const Config& config) {
  if (config.train.start_from.empty()) return std::nullopt;
  try {
    return read_model(config.train.start_from);
  } catch (const Error& error) {
    fail(key, error.what());
  }
}

void start_from(const SavedModel& start, const Config& config, Biaxial& model, Progress& progress) {
  const std::string before = style_names(start.config.data.styles), now = style_names(config.data.styles);
  require(before == now, key, start.path, " has ", before.empty() ? "no styles" : "the styles " + before, ", expected ",
          now.empty() ? "none" : now, " as model.styles has");
  try {
    set_weights(start, model);
  } catch (const Error& error) {
    fail(key, error.what());
  }
  const std::vector<std::string> differing =
      differing_keys(start.config, config, [](std::string_view name) { return name == "train.start_from"; });
  progress.line(
      joined("the weights begin as those of ", start.path, differing.empty() ? "" : ", whose experiment differs:"));
  for (const std::string& line : differing) progress.line("  " + line);
}

}  // namespace poph
