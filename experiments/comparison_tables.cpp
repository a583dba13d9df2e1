#include "experiments/comparison_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/comparison.h"

namespace poph {
namespace {

// A seed that never gets there has no ratio, and is counted beside those that have one.
Field ratio_field(const Reach& found, const Interval& ratio) {
  if (found.seeds == 0) return {};
  if (found.reached == 0) return Field("never");
  return Field(quantity(ratio), found.never == 0 ? "" : fmt::format("{} of {} seeds", found.reached, found.seeds));
}

std::string runs_text(const Configuration& configuration) {
  const size_t finished = configuration.finished().size(), all = configuration.runs.size();
  return finished == all ? fmt::format("{}", all) : fmt::format("{} of {}", finished, all);
}

int series_of(const RunSet& set, const Configuration* configuration) {
  return static_cast<int>(configuration - set.configurations.data());
}

std::vector<Column> comparison_columns(const std::string& compared) {
  using Kind = Column::Kind;
  const std::string paired = "Mean over the seeds that both have, with a 95 % interval (Student's t). ",
                    test =
                        "Exact permutation test of the paired difference: the share of all sign changes that give one as large. "
                        "Not corrected for the number of comparisons";
  std::vector<Column> columns{
      {"configuration", "Configuration", "Runs that differ in nothing but the seed", Kind::text},
      {"rank", "Rank", "By the mean of the loss compared. A loss that sees its answers has no rank", Kind::number, 0, false,
       true},
      {"runs", "Runs", "Finished runs, each with a seed of its own", Kind::text},
      {"loss", "Validation loss", "Compared: " + compared + " at the best epoch; mean over seeds ± 95 % interval", Kind::mean, 4,
       false, true},
      {"loss_difference", "Difference", "Of the loss to the baseline's; negative is better. " + paired, Kind::mean, 4, true,
       true},
      {"loss_p", "p", test, Kind::number, 3, false, true},
      {"log_likelihood", "Log-likelihood", "Of the validation pieces, nats a step, higher is better", Kind::mean, 3, false, true},
      {"log_likelihood_difference", "Difference", "Of the log-likelihood to the baseline's; positive is better. " + paired,
       Kind::mean, 3, true, true},
      {"log_likelihood_p", "p", test, Kind::number, 3, false, true},
      {"test_log_likelihood", "On the test set", "Log-likelihood of the test pieces, nats a step", Kind::mean, 3, false, true},
      {"epochs_ratio", "Epochs to reach",
       "Epochs until the validation loss is as low as the baseline's lowest with that seed, over the epochs that the baseline "
       "took: 0.72 is 72 "
       "instead of 100. Geometric mean over the seeds that get there, with a 95 % interval; where some never do, the mean is too "
       "low",
       Kind::mean, 2, false, true},
      {"seconds_ratio", "Seconds to reach", "The same with training time", Kind::mean, 2, false, true},
      {"play", "Play", "Part of the validation loss: which notes sound", Kind::mean, 4, false, true},
      {"replay", "Replay", "Part of the validation loss: which are struck again", Kind::mean, 4, false, true},
      {"volume", "Volume", "Part of the validation loss: how loud", Kind::mean, 4, false, true},
      {"harmony", "Harmony", "The harmony loss before its weight", Kind::mean, 4, false, true},
      {"total", "Total", "The loss that was trained, harmony included", Kind::mean, 4, false, true},
      {"best_epoch", "Best epoch", "Whose weights are kept", Kind::mean, 1},
      {"epochs", "Epochs", "Trained in all", Kind::mean, 1},
      {"training_seconds", "Training, s", "Seconds of training and validation", Kind::mean, 0},
      {"parameters", "Parameters", "Numbers that are learnt", Kind::number, 0},
  };
  for (Column& column : columns)
    column.count =
        column.key.starts_with("loss") || column.key.find("likelihood") != column.key.npos || column.key.ends_with("_ratio");
  return columns;
}

Row comparison_row(const RunSet& set, const Configuration& one, int rank) {
  const auto mean = [&](const PerRun& value, bool shown = true) {
    return shown ? Field(mean_quantity(values_of(one, value))) : Field();
  };
  const PerRun loss = loss_at_best(compared_parts(set));
  const Difference by_loss = difference(set, one, loss), by_likelihood = difference(set, one, at(valid_likelihood));
  const Reach in_time = reached(set, one);
  const bool alone = set.configurations.size() == 1;  // nothing to be ranked with
  const std::string mark = one.baseline && !alone ? "baseline" : "",
                    leak = "autoregressive = false: sees its answers, not ranked";
  const std::vector<double> parameters = values_of(one, at("model/parameters"));
  Row row;
  row.ranked = rank > 0;
  row.series = series_of(set, &one);
  row.fields = {Field(one.label, one.autoregressive ? mark
                                 : mark.empty()     ? leak
                                                    : mark + "; " + leak),
                rank && !alone ? Field(rank) : Field(one.autoregressive || alone ? "" : "–"),
                runs_text(one),
                mean(loss),
                by_loss.by,
                by_loss.p,
                mean(at(valid_likelihood), one.autoregressive),
                by_likelihood.by,
                by_likelihood.p,
                mean(at(test_likelihood), one.autoregressive),
                ratio_field(in_time, in_time.epochs),
                ratio_field(in_time, in_time.seconds),
                mean(loss_part("play")),
                mean(loss_part("replay")),
                mean(loss_part("volume")),
                mean(loss_part("harmony")),
                mean(loss_part("total")),
                mean(at("best/epoch")),
                mean(at("epochs")),
                mean([](const RunRecord& run) { return run.seconds; }),
                parameters.empty() ? Field() : Field(parameters.front())};
  return row;
}

std::string shown(double x, int digits, bool sign = false) {
  return quantity_text(Quantity{x, absent, absent, 1}, {"", "", "", Column::Kind::number, digits, sign});
}

std::string with_interval(const Quantity& q, int digits) {
  const std::string value = shown(std::abs(q.value), digits);
  return std::isnan(q.low) ? value
                           : fmt::format("{} (95 % interval of the difference {} to {})", value, shown(q.low, digits, true),
                                         shown(q.high, digits, true));
}

// "0.0123 lower (95 % interval ..) than the baseline's; p = 0.031 with 6 seeds: ..".
std::string difference_text(const Difference& found, int digits, const char* what) {
  std::string text = fmt::format("{} is {} {} than the baseline's", what, with_interval(found.by, digits),
                                 found.by.value < 0 ? "lower" : "higher");
  if (found.by.n < 2) return text + ", with one seed: too few to say how sure that is.";
  const double least = std::ldexp(2.0, -static_cast<int>(std::min<int64_t>(found.by.n, 60)));
  text += fmt::format("; p = {} over {} paired seeds", shown(found.p, 3), found.by.n);
  if (found.p <= 0.05) return text + ": chance alone would hardly do that.";
  return text + (least > 0.05 ? fmt::format(": so few seeds cannot give a p below {}.", shown(least, 3))
                              : ": chance alone may do that.");
}

}  // namespace

Table comparison_table(const RunSet& set, const std::string& league) {
  const std::vector<const Configuration*> found = members(set, league);
  Table table{league.empty() ? "Nothing is known of the data yet" : "Of " + league, comparison_columns(compared_name(set)), {}};
  const std::vector<int> rank = ranks(found, loss_at_best(compared_parts(set)));
  for (size_t i = 0; i < found.size(); ++i) table.rows.push_back(comparison_row(set, *found[i], rank[i]));
  return table;
}

std::vector<std::string> verdicts(const RunSet& set, const std::string& league) {
  const std::vector<const Configuration*> found = members(set, league);
  const PerRun loss = loss_at_best(compared_parts(set));
  const std::vector<int> rank = ranks(found, loss);
  const auto of_rank = [&](int wanted) {
    const auto place = std::find(rank.begin(), rank.end(), wanted);
    return place == rank.end() ? nullptr : found[static_cast<size_t>(place - rank.begin())];
  };
  const Configuration* one = of_rank(1);
  if (found.size() < 2 || !one) return {};
  const Quantity mean = mean_quantity(values_of(*one, loss));
  std::vector<std::string> sentences{
      fmt::format("The lowest validation loss ({}) is that of {}: {} over {} {}.", compared_name(set), one->label,
                  quantity_text(mean, {"", "", "", Column::Kind::mean}), mean.n, mean.n == 1 ? "seed" : "seeds")};
  if (one->baseline) {
    sentences.back() += " It is the baseline.";
    one = of_rank(2);
    if (!one) return sentences;
    sentences.back() += " Next is " + one->label + ".";
  }
  if (const Difference by = difference(set, *one, loss); by.by.n > 0)
    sentences.back() += " " + difference_text(by, 4, "Its loss");
  if (const Difference by = difference(set, *one, at(valid_likelihood)); by.by.n > 0)
    sentences.push_back(difference_text(by, 3, "Its log-likelihood of the validation pieces, in nats a step,"));
  if (const Reach in_time = reached(set, *one); in_time.reached > 0) {
    sentences.push_back(fmt::format("It reaches the baseline's best validation loss in {} times the baseline's epochs",
                                    quantity_text(quantity(in_time.epochs), {"", "", "", Column::Kind::mean, 2})));
    sentences.back() +=
        in_time.never == 0 ? "." : fmt::format(" where it does: with {} of {} seeds.", in_time.reached, in_time.seeds);
  }
  const auto compared = std::count_if(found.begin(), found.end(),
                                      [&](const Configuration* other) { return difference(set, *other, loss).by.n > 1; });
  if (compared > 1)
    sentences.push_back(
        fmt::format("{} configurations were compared with the baseline; p is not corrected for that: the best of many looks "
                    "better than it is.",
                    compared));
  return sentences;
}

Table settings_table(const RunSet& set) {
  Table table{"Settings in which they differ", {{"configuration", "Configuration", "", Column::Kind::text}}, {}};
  for (const std::string& key : set.settings) table.columns.push_back({key, key, "", Column::Kind::text});
  for (const Configuration& one : set.configurations) {
    Row row{{Field(one.label)}};
    row.series = series_of(set, &one);
    for (const std::string& key : set.settings) row.fields.emplace_back(one.settings.at(key));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table runs_table(const RunSet& set) {
  using Kind = Column::Kind;
  Table table{"Runs",
              {{"run", "Run", "Its folder", Kind::text},
               {"configuration", "Configuration", "", Kind::text},
               {"seed", "Seed", "", Kind::number, 0},
               {"status", "Status", "", Kind::text},
               {"epochs", "Epochs", "", Kind::number, 0},
               {"best_epoch", "Best epoch", "", Kind::number, 0}},
              {}};
  for (const char* part : {"total", "play", "replay", "volume", "harmony"})
    table.columns.push_back(
        {part,
         part == std::string("total") ? "Validation loss" : std::string(1, static_cast<char>(part[0] - 'a' + 'A')) + (part + 1),
         "At the best epoch", Kind::number, 4, false, true});
  for (const auto& [key, heading] :
       {std::pair{"log_likelihood", "Log-likelihood, nats a step"}, {"test_log_likelihood", "Test set"}})
    table.columns.push_back({key, heading, "", Kind::number, 3, false, true});
  table.columns.push_back({"training_seconds", "Training, s", "", Kind::number, 1});
  for (const auto& [key, heading] : {std::pair{"autoregressive", "Autoregressive"},
                                     {"fingerprint", "Data"},
                                     {"revision", "Revision"},
                                     {"device", "Device"},
                                     {"threads", "Threads"},
                                     {"host", "Host"},
                                     {"command", "Command"}})
    table.columns.push_back({key, heading, "", Kind::text});
  for (const Configuration& one : set.configurations)
    for (const RunRecord& run : one.runs) {
      Row row{{Field(run.name), Field(one.label), Field(static_cast<double>(run.seed)), Field(run.status),
               number_at(run, "epochs"), number_at(run, "best/epoch")}};
      row.series = series_of(set, &one);
      row.ranked = run.autoregressive;
      for (const char* part : {"total", "play", "replay", "volume", "harmony"}) row.fields.emplace_back(loss_part(part)(run));
      for (const char* path : {valid_likelihood, test_likelihood})
        row.fields.push_back(run.autoregressive ? Field(number_at(run, path)) : Field());
      row.fields.emplace_back(run.seconds);
      row.fields.emplace_back(run.autoregressive ? "true" : "false");
      const double threads = number_at(run, "threads");
      for (const std::string& text :
           {text_at(run, "data/fingerprint"), text_at(run, "revision"), text_at(run, "device"),
            threads > 0 ? fmt::format("{}", threads) : std::string(), text_at(run, "host"), text_at(run, "command_line")})
        row.fields.emplace_back(text);
      table.rows.push_back(std::move(row));
    }
  return table;
}

}  // namespace poph
