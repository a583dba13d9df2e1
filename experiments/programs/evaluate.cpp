#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "data/batches.h"
#include "data/matches.h"
#include "data/reading/file_names.h"
#include "experiments/config/number_list.h"
#include "experiments/config/styles.h"
#include "experiments/programs/commands.h"
#include "experiments/programs/idle_keys.h"
#include "experiments/programs/printing.h"
#include "experiments/train/figures.h"
#include "experiments/train/style_likelihoods.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/corpus_settings.h"
#include "experiments/workspace/corpus_summary.h"

namespace poph {
namespace {

struct Chosen {
  std::string split;
  std::vector<Piece> pieces;
  std::vector<Piece> counted;  // the training pieces, for the counting models; none: `not_counted` says why
  std::string not_counted;
  Json music;  // how much was read, and what was left out
};

// Of a corpus: how many files were read, and what of them was left out.
Json left_out_json(const Corpus& corpus) {
  return {{"files", corpus.files},
          {"skipped", corpus.skipped_files()},
          {"damaged", corpus.damaged.size()},
          {"dropped_notes", corpus.dropped_notes},
          {"percussion_notes", corpus.percussion_notes}};
}

// The number in a piece of a chord file's own name, "x.json test[3]", or else its place.
int64_t number_of(const Piece& piece, int64_t place) {
  const size_t open = piece.name.rfind('[');
  if (open == piece.name.npos || !piece.name.ends_with(']')) return place;
  int64_t number = place;
  std::from_chars(piece.name.data() + open + 1, piece.name.data() + piece.name.size() - 1, number);
  return number;
}

void keep_listed(const std::string& list, Chosen& chosen) {
  std::vector<NumberRange> ranges = parse_number_list(list);
  std::vector<char> used(ranges.size());
  std::vector<Piece> kept;
  for (size_t place = 0; place < chosen.pieces.size(); ++place) {
    const int64_t number = number_of(chosen.pieces[place], static_cast<int64_t>(place));
    bool wanted = false;
    for (size_t i = 0; i < ranges.size(); ++i)
      if (number >= ranges[i].first && number <= ranges[i].last) used[i] = true, wanted = true;
    if (wanted) kept.push_back(chosen.pieces[place]);
  }
  const auto missing = std::find(used.begin(), used.end(), 0) - used.begin();
  require(missing == std::ssize(used), "--pieces ", list, ": found no piece ",
          missing < std::ssize(used) ? ranges[missing].first : 0, " in split ", chosen.split, ", which has ",
          chosen.pieces.size(), " pieces");
  chosen.pieces = std::move(kept);
}

Chosen choose_pieces(const EvaluateOptions& options, const Config& config, Progress& progress) {
  CorpusSettings settings = corpus_settings(config, options.threads);
  settings.watch = [&](const ReadingProgress& reading) { progress.live(reading_text(reading)); };
  // Other music need not have names by which it could be split, where all of it is scored.
  if (!options.data.empty() && options.split == "all" && settings.split == Split::first_hex_digit)
    settings.split = Split::none;
  const Corpus corpus = load_corpus(settings);
  for (const std::string& line : left_out_lines(corpus, config.data)) progress.line(line);
  Chosen chosen{options.split, {}, corpus.train, "", left_out_json(corpus)};
  if (options.json) chosen.music.update({{"faults", damage_json(corpus)}, {"remarks", corpus.remarks}});
  if (chosen.split.empty())
    chosen.split = !corpus.test.empty() ? "test" : options.data.empty() && !corpus.valid.empty() ? "valid" : "all";
  const auto take = [&](const char* name, const std::vector<Piece>& pieces) {
    if (chosen.split == name || chosen.split == "all")
      chosen.pieces.insert(chosen.pieces.end(), pieces.begin(), pieces.end());
  };
  take("train", corpus.train);
  take("valid", corpus.valid);
  take("test", corpus.test);
  std::unordered_set<const Roll*> seen;  // split = "none" puts one piece in two of them
  std::erase_if(chosen.pieces, [&](const Piece& piece) { return !seen.insert(piece.roll.get()).second; });
  require(!chosen.pieces.empty(), "--split ", chosen.split, ": this data has no such pieces (", corpus.train.size(),
          " train, ", corpus.valid.size(), " valid, ", corpus.test.size(), " test)");
  if (!options.data.empty() && chosen.split == "all") {
    chosen.counted.clear();
    chosen.not_counted = "counting models have no figures: all pieces of --data are scored, and none is left to count";
  } else if (chosen.counted.empty()) {
    chosen.not_counted = "counting models have no figures: this data has no training pieces to count";
  }
  if (!options.pieces.empty()) keep_listed(options.pieces, chosen);
  return chosen;
}

// Models are one mixture where they read the same music and, of their own data, hold out the same pieces.
void require_same_data(const std::vector<OpenedModel>& models, bool own_data) {
  const Config& first = models[0].config;
  const std::vector<std::string> sources = first.music_paths();
  const bool own_split = own_data && !std::all_of(sources.begin(), sources.end(), is_chord_name);
  std::vector<std::string> keys = {"data.lowest_note", "data.notes",   "data.steps_per_quarter",
                                   "data.percussion",  "data.sustain", "data.quantize",
                                   "data.meter",       "model.styles"};
  if (own_data && first.data.styles.empty()) keys.push_back("data.source");
  for (size_t i = 0; own_data && i < first.data.styles.size(); ++i)
    keys.push_back(fmt::format("model.styles[{}].source", i));
  if (own_split) keys.insert(keys.end(), {"data.split", "seed"});
  for (const OpenedModel& model : models) {
    std::string found;
    for (const std::string& line : differing_keys(models[0].config, model.config, [&](std::string_view key) {
           return std::find(keys.begin(), keys.end(), key) == keys.end();
         }))
      found += "; " + line;
    if (models[0].key_counts && model.key_counts && !(models[0].key_counts == model.key_counts))
      found += "; the training pieces, whose counts of keys (key_counts) differ";
    require(found.empty(), models[0].path, " and ", model.path, " are no mixture", found);
  }
}

std::vector<OpenedModel> open_models(const EvaluateOptions& options, Dtype dtype, Device device) {
  std::vector<OpenedModel> models;
  for (const std::string& path : options.checkpoints)
    models.push_back(open_model(path, options.overrides, dtype, device));
  if (models.size() > 1) require_same_data(models, options.data.empty());
  return models;
}

// What --style says. Error: it is no mixture of the model's styles.
std::vector<StyleShare> chosen_shares(const EvaluateOptions& options, const std::vector<Style>& styles) {
  if (options.style.empty()) return {};
  const std::vector<StyleShare> shares = parse_style_words(options.style);
  const std::string problem = mixture_problem(shares, styles);
  require(problem.empty(), "--style: ", problem);
  return shares;
}

// Sets what mixture of styles each piece is read as, and says which: their own, these shares, or equal ones. Nothing
// for models without styles.
Json choose_styles(const EvaluateOptions& options, const std::vector<StyleShare>& shares,
                   const std::vector<Style>& styles, std::vector<Piece>& pieces, Progress& progress) {
  if (styles.empty()) return {};
  if (shares.empty() && options.data.empty()) return "each piece's own";
  if (shares.empty())
    progress.line("the styles of the pieces of --data are not known; " + mixture_line(shares, styles, "--style"));
  const std::vector<double> mixture = mixture_of(shares, styles);
  for (Piece& piece : pieces) piece.style = mixture;
  Json said;
  for (size_t i = 0; i < styles.size(); ++i) said[styles[i].name] = mixture[i];
  return said;
}

// Each style's own pieces as of every style.
Json style_table_of(const OpenedModel& opened, const Chosen& chosen, Progress& progress) {
  const std::vector<Style>& styles = opened.config.data.styles;
  const auto rows = style_likelihoods(*opened.model, chosen.pieces, styles, opened.config.data.steps_per_quarter,
                                      std::numeric_limits<int64_t>::max(), [&](int64_t) {
                                        progress.live("scoring each style as every style");
                                        return false;
                                      });
  Json table = Json::object();
  for (const StyleLikelihood& row : *rows) {
    Json one{{"pieces", row.pieces}, {"steps", row.steps}};
    for (size_t as = 0; as < styles.size(); ++as) one["nats_per_step"][styles[as].name] = row.nats_per_step[as];
    one["nats_per_step_equal"] = row.nats_per_step_equal;
    one["recognised"] = row.recognised;
    table[row.name] = std::move(one);
  }
  return table;
}

Json losses_of(const EvaluateOptions& options, OpenedModel& opened, const Chosen& chosen, Dtype dtype, Device device,
               Progress& progress) {
  const Config& config = opened.config;
  const Windows windows(chosen.pieces, config.data.window, config.data.stride, config.data.steps_per_quarter);
  std::vector<int64_t> which(options.windows > 0 ? std::min(options.windows, windows.count()) : windows.count());
  std::iota(which.begin(), which.end(), 0);
  const int64_t batch = options.windows > 0 ? static_cast<int64_t>(which.size()) : config.train.batch;
  const LossFunction loss(config.loss, config.model, dtype, device);
  // By windows where the training was, where some are asked for, and for a gradient; else by whole pieces.
  const bool by_windows = config.data.staggered || options.windows > 0 || !options.gradients.empty();
  const auto show = [&](int64_t done, const char* unit, size_t all) {
    progress.live(fmt::format("losses: {}/{} {}", done, all, unit));
    return false;
  };
  const LossValues losses =
      by_windows ? *window_loss(*opened.model, loss, windows, which, batch, !options.gradients.empty(),
                                [&](int64_t done) { return show(done, "windows", which.size()); })
                 : *piece_loss(*opened.model, loss, chosen.pieces, config.data.steps_per_quarter, 0,
                               [&](int64_t done) { return show(done, "steps", steps_of(chosen.pieces)); });
  Json report{{"losses_over", by_windows ? "windows" : "pieces"},
              {"windows", windows.count()},
              {"windows_scored", by_windows ? which.size() : size_t{0}},
              {"autoregressive", opened.model->autoregressive()}};
  for (const LossPart& part : loss_parts)
    if (losses[part]) report["loss"][part.name] = *losses[part];
  return report;
}

Json music_of(const Chosen& chosen, int64_t channels) {
  int64_t steps = 0, cells = 0, replays = 0;
  double volume = 0;
  for (const Piece& piece : chosen.pieces) {
    steps += piece.roll->steps();
    cells += piece.roll->sounding_cells();
    replays += piece.roll->replays();
    volume += piece.roll->volume_sum();
  }
  Json report{{"steps", steps}, {"sounding_cells", cells}};
  if (channels > 1) report.update({{"replays", replays}, {"volume_sum", volume}});
  return report;
}

Json per_piece_json(const std::vector<PieceScore>& scores, const Chosen& chosen, const ScoredRange& range,
                    const std::optional<KeyCounts>& key_counts) {
  Json list = Json::array();
  for (size_t i = 0; i < scores.size(); ++i) {
    Json one{{"name", chosen.pieces[i].name}, {"steps", scores[i].steps}, {"nats_of_first_step", scores[i].first}};
    one.update(likelihood_json(figures({scores[i]}, {chosen.pieces[i]}, range, key_counts)));
    list.push_back(std::move(one));
  }
  return list;
}

// Adds the likelihoods of one model, or of several and their mixture.
void add_likelihoods(const EvaluateOptions& options, const std::vector<OpenedModel>& models, const Chosen& chosen,
                     Progress& progress, Json& report) {
  const ScoredRange range = ScoredRange::of(models[0].config.data);
  const int64_t steps = report["steps"].get<int64_t>();
  std::vector<const Biaxial*> scored;
  for (const OpenedModel& model : models) scored.push_back(model.model.get());
  const Scores scores = *score_pieces(scored, chosen.pieces, range.steps_per_quarter, [&](int64_t done) {
    progress.live(fmt::format("log-likelihood: {}/{} steps", done, steps));
    return false;
  });
  const auto counting = [&](const std::optional<KeyCounts>& key_counts) -> std::optional<CountingRecords> {
    if (chosen.counted.empty()) return std::nullopt;
    const auto watch = [&](int64_t done) {
      progress.live(fmt::format("counting: {} steps", done));
      return false;
    };
    return counting_records(*CountingModels::counted(chosen.counted, watch), chosen.pieces, range, key_counts, watch);
  }(models[0].key_counts);
  const auto describe = [&](size_t which, const std::optional<KeyCounts>& key_counts) {
    ScoredRange own = range;
    if (which < models.size()) own.channels = models[which].config.data.channels;
    LikelihoodRecord record = likelihood_record(scores[which], chosen.pieces, own, key_counts);
    if (counting)
      set_counting(*counting, record);
    else
      record.remark = record.remark ? *record.remark + "; " + chosen.not_counted : chosen.not_counted;
    Json found{{"log_likelihood", likelihood_json(record)}};
    if (options.per_piece) found["per_piece"] = per_piece_json(scores[which], chosen, own, key_counts);
    return found;
  };
  if (models.size() == 1) {
    report.update(describe(0, models[0].key_counts));
    return;
  }
  bool all_counted = true;
  for (size_t i = 0; i < models.size(); ++i) {
    all_counted = all_counted && models[i].key_counts;
    Json one{{"checkpoint", models[i].path}};
    one.update(describe(i, models[i].key_counts));
    report["models"].push_back(std::move(one));
  }
  report["mixture"] = describe(models.size(), all_counted ? models[0].key_counts : std::nullopt);
}

}  // namespace

void evaluate(const EvaluateOptions& options) {
  refuse_idle(options.overrides, Use::evaluate);
  const Dtype dtype = options.dtype == "f64" ? Dtype::f64 : Dtype::f32;
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  const bool several = options.checkpoints.size() > 1;
  require(!several || (options.gradients.empty() && options.windows == 0),
          "--gradients and --windows are for one checkpoint: several have a likelihood together, and no loss");
  // One JSON object is all of standard output.
  Progress progress(options.json ? Progress::Where::standard_error : Progress::Where::standard_output);
  std::vector<OpenedModel> models = open_models(options, dtype, device);
  OpenedModel& opened = models[0];
  const std::vector<Style>& styles = opened.config.data.styles;
  const std::vector<StyleShare> shares = chosen_shares(options, styles);
  Config music = opened.config;
  if (!options.data.empty()) music.data.source = {options.data}, music.data.styles.clear();
  Chosen chosen = choose_pieces(options, music, progress);
  const Json style = choose_styles(options, shares, styles, chosen.pieces, progress);
  for (const OpenedModel& model : models)
    if (model.config.model.match) find_matches(chosen.pieces, model.config.data.channels, options.threads);

  Json report = music_of(chosen, opened.config.data.channels);
  if (!several) report.update(losses_of(options, opened, chosen, dtype, device, progress));
  if (several || opened.model->autoregressive()) add_likelihoods(options, models, chosen, progress, report);
  if (!style.is_null()) report["style"] = style;
  if (!several && style.is_string() && opened.model->autoregressive())
    report["styles"] = style_table_of(opened, chosen, progress);
  report["pieces"] = chosen.pieces.size();
  report["split"] = chosen.split;
  if (!options.pieces.empty()) report["pieces_chosen"] = options.pieces;
  report["music"] = chosen.music;
  if (!several) report["checkpoint"] = opened.path;
  if (!options.gradients.empty()) {
    TensorFile file;
    opened.model->each_parameter([&](const std::string& name, Var& parameter) {
      const Tensor& gradient = parameter.gradient();
      file.tensors[name] = gradient.defined() ? gradient : Tensor::zeros(parameter.shape(), dtype);
    });
    write_safetensors(options.gradients, file);
    report["gradients"] = options.gradients;
  }
  print(report, options.json);
}

}  // namespace poph
