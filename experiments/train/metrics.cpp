#include "experiments/train/metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace poph {
namespace {

using nlohmann::json;

json number(double x) {
  if (std::isfinite(x)) return x;
  return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
}

double to_milliseconds(double seconds) { return std::round(seconds * 1000) / 1000; }

json epoch_line(const TrainingState& state, const char* split, const LossValues& losses) {
  json line{{"step", state.step}, {"epoch", state.epoch}, {"split", split}, {"time_s", to_milliseconds(state.seconds)}};
  for (const LossPart& part : loss_parts)
    if (losses[part]) line[part.name] = number(*losses[part]);
  return line;
}

}  // namespace

json train_line(const TrainingState& state, const LossValues& losses, const EpochNumbers& numbers) {
  json line = epoch_line(state, "train", losses);
  line["learning_rate"] = numbers.learning_rate;
  line["gradient_norm"] = numbers.gradient_norm;
  line["gradient_norm_max"] = numbers.gradient_norm_max;
  line["skipped_steps"] = state.skipped;
  return line;
}

json valid_line(const TrainingState& state, const LossValues& losses) { return epoch_line(state, "valid", losses); }

json not_finite_line(const TrainingState& state, const NotFinite& found, const StepHistory& before) {
  json windows = json::array();
  for (const auto& [what, number, piece, first_step] : found.batch)
    windows.push_back({{what, number}, {"piece", piece}, {"first_step", first_step}});
  return {{"event", "not_finite"},
          {"step", state.step},
          {"epoch", state.epoch + 1},
          {"time_s", to_milliseconds(state.seconds)},
          {"part", found.cause.part},
          {"layer", found.cause.layer},
          {"parameters", found.cause.parameters},
          {"judged", found.diverged ? "divergence" : "bad batch"},
          {"action", found.skip ? "skip" : "stop"},
          {"skipped_in_a_row", state.skipped_in_a_row},
          {"gradient_norm_before", before.gradient_norm()},
          {"gradient_norm_median", before.median_gradient_norm()},
          {"loss_before", before.loss()},
          {"loss_median", before.median_loss()},
          {"weight_norm", before.weight_norm()},
          {"windows", windows}};
}

std::string loss_text(const LossValues& losses) {
  std::string parts;
  for (const LossPart& part : loss_parts)
    if (part.loss != Loss::total && losses[part])
      parts += fmt::format("{}{} {:.4f}", parts.empty() ? "" : ", ", part.name, *losses[part]);
  return fmt::format("loss {:.4f} ({})", losses.total(), parts);
}

}  // namespace poph
