#include "experiments/measured.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/copies.h"
#include "data/measures.h"
#include "data/overlap.h"

namespace poph {
namespace {

using nlohmann::json;
using Rolls = std::vector<std::shared_ptr<const Roll>>;

constexpr size_t most_pieces = 1000, most_excerpts = 200;

json number(double x) { return std::isfinite(x) ? json(x) : json(); }

Rolls rolls_of(const std::vector<Piece>& pieces) {
  Rolls rolls;
  for (const Piece& piece : pieces) rolls.push_back(piece.roll);
  return rolls;
}

json measures_json(const Measures& measures) {
  json object;
  each_measure(measures, [&](const char* name, double x) { object[name] = number(x); });
  for (size_t i = 0; i < key_profiles.size(); ++i) {
    const KeyFit& fit = measures.keys[i];
    object["keys"][key_profiles[i].name] = {
        {"key", fit.key < 0 ? json() : json(key_name(fit.key))}, {"r", number(fit.r)}, {"margin", number(fit.margin)}};
  }
  return object;
}

std::vector<Measures> measure_all(const Rolls& rolls, const Config& config) {
  std::vector<Measures> measures;
  for (const auto& roll : rolls) measures.push_back(measure(*roll, config.data.steps_per_quarter));
  return measures;
}

json split_json(const std::vector<Piece>& pieces, const Config& config) {
  const Rolls chosen = at_most(rolls_of(pieces), most_pieces);
  json object = measures_json(mean_of(measure_all(chosen, config)));
  object["pieces"] = chosen.size();
  object["pieces_in_all"] = pieces.size();
  return object;
}

json copied_json(const Copied& copied, const char* name_of_piece) {
  json object{{"longest", copied.longest}, {"share", number(copied.share())}};
  if (name_of_piece) object[name_of_piece] = copied.of.empty() ? json() : json(copied.of);
  return object;
}

}  // namespace

nlohmann::ordered_json likelihood_json(const LogLikelihood& likelihood, const DataConfig& data) {
  return {{"nats_per_step", likelihood.nats_per_step},
          {"steps", likelihood.steps},
          {"nats_per_step_without_first", likelihood.nats_per_step_without_first},
          {"nats_per_step_mean_of_pieces", likelihood.nats_per_step_mean_of_pieces},
          {"nats_per_quarter", likelihood.nats_per_quarter},
          {"lowest_note", data.lowest_note},
          {"notes", data.notes},
          {"steps_per_quarter", data.steps_per_quarter}};
}

json likelihoods(const Biaxial& model, const Corpus& corpus, const DataConfig& data, int64_t most_steps,
                 const Interrupted& interrupted) {
  json found = json::object();
  if (!model.autoregressive()) return found;
  const auto& blocks = model.settings.blocks;
  const bool quadratic =
      std::any_of(blocks.begin(), blocks.end(), [](const auto& block) { return block.kind == BlockKind::attention_time_notes; });
  for (const auto& [split, all] : {std::pair{"valid", &corpus.valid}, {"test", &corpus.test}}) {
    std::vector<Piece> pieces;
    int64_t left = most_steps;
    for (const Piece& piece : *all) {
      const int64_t steps = piece.roll->steps(), cost = quadratic ? std::max(steps, steps * steps / 256) : steps;
      if (cost > left) continue;
      left -= cost;
      pieces.push_back(piece);
    }
    if (pieces.empty()) continue;
    const auto likelihood = log_likelihood(model, pieces, data.steps_per_quarter, interrupted);
    if (!likelihood) return nullptr;
    found[split] = likelihood_json(*likelihood, data);
    found[split]["pieces"] = pieces.size();
    found[split]["pieces_left_out"] = all->size() - pieces.size();
  }
  return found;
}

json measure_samples(const Rolls& samples, const Corpus& corpus, const Config& config) {
  const int64_t bar = 4 * config.data.steps_per_quarter, shift = config.data.transpose;
  const std::vector<Measures> each = measure_all(samples, config);
  const std::vector<Copied> copies = find_copies(samples, corpus.train, bar, shift);
  json found{{"samples", measures_json(mean_of(each))}, {"train", split_json(corpus.train, config)}, {"pieces", json::array()}};
  found["samples"]["pieces"] = samples.size();
  for (size_t i = 0; i < samples.size(); ++i) {
    json piece = measures_json(each[i]);
    piece["file"] = fmt::format("samples/piece_{}.mid", i + 1);
    piece["copied"] = copied_json(copies[i], "of");
    found["pieces"].push_back(piece);
  }
  found["copied"] = copied_json(together(copies), "piece");
  found["copied"]["transposed_by_up_to"] = shift;
  if (corpus.valid.empty()) return found;

  found["valid"] = split_json(corpus.valid, config);
  const int64_t steps = std::accumulate(samples.begin(), samples.end(), int64_t{1},
                                        [](int64_t most, const auto& roll) { return std::max(most, roll->steps()); });
  const Rolls held_out = excerpts(rolls_of(corpus.valid), steps, most_excerpts), compared = at_most(samples, most_excerpts);
  const auto areas = overlap_areas(compared, held_out, config.data.steps_per_quarter);
  for (size_t f = 0; f < areas.size(); ++f) found["overlap"][feature_names[f]] = number(areas[f]);
  found["overlap"].update({{"samples", compared.size()}, {"valid", held_out.size()}, {"excerpt_steps", steps}});
  if (corpus.shared == 0)
    found["copied"]["valid"] = copied_json(together(find_copies(held_out, corpus.train, bar, shift)), nullptr);
  return found;
}

std::vector<std::string> measures_text(const json& measures) {
  const auto shown = [](const json& object, const char* name) {
    const json& x = object[name];
    return x.is_null() ? "-" : fmt::format("{:.3f}", x.get<double>());
  };
  constexpr std::pair<const char*, const char*> names[] = {{"pitch_class_entropy", "pitch-class entropy"},
                                                           {"scale_consistency", "scale consistency"},
                                                           {"groove_consistency", "groove consistency"},
                                                           {"polyphony", "polyphony"},
                                                           {"empty_bar_rate", "empty bars"},
                                                           {"disharmony", "disharmony"}};
  std::vector<std::string> splits, fields, lines;
  for (const char* split : {"samples", "train", "valid"})
    if (measures.contains(split)) splits.push_back(split);
  for (const auto& [name, label] : names) {
    std::vector<std::string> values;
    for (const std::string& split : splits) values.push_back(shown(measures[split], name));
    fields.push_back(fmt::format("{} {}", label, fmt::join(values, " / ")));
  }
  lines.push_back(fmt::format("measures ({}): {}", fmt::join(splits, " / "), fmt::join(fields, ", ")));
  const json& copied = measures["copied"];
  const auto percent = [](const json& share) {
    return share.is_null() ? "none" : fmt::format("{:.1f} %", 100 * share.get<double>());
  };
  std::string text =
      fmt::format("copies: the longest run shared with a training piece is {} steps", copied["longest"].get<int64_t>());
  if (copied["piece"].is_string()) text += fmt::format(" ({})", copied["piece"].get<std::string>());
  text += fmt::format("; {} of the samples' sounding steps lie in shared runs of a bar or more", percent(copied["share"]));
  if (copied.contains("valid"))
    text += fmt::format(" (held-out pieces: {} steps, {})", copied["valid"]["longest"].get<int64_t>(),
                        percent(copied["valid"]["share"]));
  lines.push_back(text);
  if (measures.contains("overlap")) {
    double sum = 0;
    int count = 0;
    for (const char* feature : feature_names)
      if (const json& area = measures["overlap"][feature]; area.is_number()) sum += area.get<double>(), ++count;
    const auto samples = measures["overlap"]["samples"].get<int64_t>(), valid = measures["overlap"]["valid"].get<int64_t>();
    if (count > 0)
      lines.push_back(fmt::format("overlap area with the held-out pieces: {:.2f} over {} features ({} samples, {} excerpts{})", sum / count,
                                  count, samples, valid, std::min(samples, valid) < 50 ? "; from 50 of each on it is worth something" : ""));
  }
  return lines;
}

std::vector<std::string> likelihoods_text(const json& likelihoods) {
  std::vector<std::string> lines;
  for (const auto& [split, one] : likelihoods.items()) {
    const auto left_out = one["pieces_left_out"].get<size_t>();
    lines.push_back(fmt::format("log-likelihood of {} {} piece{}{}: {:.3f} nats a step, {:.3f} a quarter note",
                                one["pieces"].get<size_t>(), split == "valid" ? "held-out" : "test", one["pieces"] == 1 ? "" : "s",
                                left_out ? fmt::format(" ({} left out)", left_out) : "", one["nats_per_step"].get<double>(),
                                one["nats_per_quarter"].get<double>()));
  }
  return lines;
}

}  // namespace poph
