#include "experiments/report/comparison_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/report/comparison.h"
#include "experiments/report/likelihood_table.h"

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

double parameter_count(const Run& run) {
  return run.record.model ? static_cast<double>(run.record.model->parameters) : not_known;
}
double best_epoch(const Run& run) { return run.record.best ? static_cast<double>(run.record.best->epoch) : not_known; }
double epochs(const Run& run) { return run.record.epochs ? static_cast<double>(*run.record.epochs) : not_known; }

int series_of(const RunSet& set, const Configuration* configuration) {
  return static_cast<int>(configuration - set.configurations.data());
}

std::vector<Column> comparison_columns(const std::string& compared) {
  using Kind = Column::Kind;
  const std::string
      paired = "Mean over the seeds that both have, with a 95 % interval (Student's t). ",
      test =
          "Exact permutation test of the paired difference: the share of all sign changes that give one as large. "
          "Not corrected for the number of comparisons";
  std::vector<Column> columns{
      {"configuration", "Configuration", "Runs that differ in nothing but the seed", Kind::text},
      {"rank", "Rank", "By the mean of the loss compared. A loss that sees its answers has no rank", Kind::number, 0,
       false, true},
      {"runs", "Runs", "Finished runs, each with a seed of its own", Kind::text},
      {"loss", "Validation loss", "Compared: " + compared + " at the best epoch; mean over seeds ± 95 % interval",
       Kind::mean, 4, false, true},
      {"loss_difference", "Difference", "Of the loss to the baseline's; negative is better. " + paired, Kind::mean, 4,
       true, true},
      {"loss_p", "p", test, Kind::number, 3, false, true},
      {"log_likelihood", "Log-likelihood", "Of the validation pieces, nats a step, higher is better", Kind::mean, 3,
       false, true},
      {"log_likelihood_difference", "Difference",
       "Of the log-likelihood to the baseline's; positive is better. " + paired, Kind::mean, 3, true, true},
      {"log_likelihood_p", "p", test, Kind::number, 3, false, true},
      {"test_log_likelihood", "On the test set", "Log-likelihood of the test pieces, nats a step", Kind::mean, 3, false,
       true},
      {"epochs_ratio", "Epochs to reach",
       "Epochs until the validation loss is as low as the baseline's lowest with that seed, over the epochs that the "
       "baseline took: 0.72 is 72 instead of 100. Geometric mean over the seeds that get there, with a 95 % interval; "
       "where some never do, the mean is too low",
       Kind::mean, 2, false, true},
      {"seconds_ratio", "Seconds to reach", "The same with training time", Kind::mean, 2, false, true},
  };
  for (const LossPart& part : loss_parts)
    columns.push_back({part.name, part.heading, part.meaning, Kind::mean, 4, false, true});
  const std::vector<Column> about_training{
      {"best_epoch", "Best epoch", "Whose weights are kept", Kind::mean, 1},
      {"epochs", "Epochs", "Trained in all", Kind::mean, 1},
      {"training_seconds", "Training, s", "Seconds of training and validation", Kind::mean, 0},
      {"parameters", "Parameters", "Numbers that are learnt", Kind::number, 0},
  };
  columns.insert(columns.end(), about_training.begin(), about_training.end());
  for (Column& column : columns)
    column.count = column.key.starts_with("loss") || column.key.find("likelihood") != column.key.npos ||
                   column.key.ends_with("_ratio");
  return columns;
}

Row comparison_row(const RunSet& set, const Configuration& one, int rank) {
  const auto mean = [&](const PerRun& value, bool shown = true) {
    return shown ? Field(mean_quantity(values_of(one, value))) : Field();
  };
  const PerRun loss = loss_at_best(compared_parts(set));
  const Difference by_loss = difference(set, one, loss), by_likelihood = difference(set, one, valid_likelihood);
  const Reach in_time = reached(set, one);
  const bool alone = set.configurations.size() == 1;  // nothing to be ranked with
  const std::string mark = one.baseline && !alone ? "baseline" : "",
                    leak = "autoregressive = false: sees its answers, not ranked";
  const std::vector<double> parameters = values_of(one, parameter_count);
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
                mean(valid_likelihood, one.autoregressive),
                by_likelihood.by,
                by_likelihood.p,
                mean(test_likelihood, one.autoregressive),
                ratio_field(in_time, in_time.epochs),
                ratio_field(in_time, in_time.seconds)};
  for (const LossPart& part : loss_parts) row.fields.push_back(mean(loss_part(part)));
  row.fields.push_back(mean(best_epoch));
  row.fields.push_back(mean(epochs));
  row.fields.push_back(mean([](const Run& run) { return run.seconds; }));
  row.fields.push_back(parameters.empty() ? Field() : Field(parameters.front()));
  return row;
}

std::string shown(double x, int digits, bool sign = false) {
  return quantity_text(Quantity{x, not_known, not_known, 1}, {"", "", "", Column::Kind::number, digits, sign});
}

std::string with_interval(const Quantity& q, int digits) {
  const std::string value = shown(std::abs(q.value), digits);
  return std::isnan(q.low) ? value
                           : fmt::format("{} (95 % interval of the difference {} to {})", value,
                                         shown(q.low, digits, true), shown(q.high, digits, true));
}

// "0.0123 lower (95 % interval ..) than the baseline's; p = 0.031 with 6 seeds: ..".
std::string difference_text(const Difference& found, int digits, const char* what) {
  std::string text = fmt::format("{} is {} {} than the baseline's", what, with_interval(found.by, digits),
                                 found.by.value < 0 ? "lower" : "higher");
  if (found.by.n < 2) return text + ", with one seed: too few to say how sure that is.";
  const double min_p = std::ldexp(2.0, -static_cast<int>(std::min<int64_t>(found.by.n, 60)));
  text += fmt::format("; p = {} over {} paired seeds", shown(found.p, 3), found.by.n);
  if (found.p <= 0.05) return text + ": chance alone would hardly do that.";
  return text + (min_p > 0.05 ? fmt::format(": so few seeds cannot give a p below {}.", shown(min_p, 3))
                              : ": chance alone may do that.");
}

}  // namespace

Table comparison_table(const RunSet& set, const std::string& group) {
  const std::vector<const Configuration*> found = members(set, group);
  Table table{
      group.empty() ? "Nothing is known of the data yet" : "Of " + group, comparison_columns(compared_name(set)), {}};
  const std::vector<int> rank = ranks(found, loss_at_best(compared_parts(set)));
  for (size_t i = 0; i < found.size(); ++i) table.rows.push_back(comparison_row(set, *found[i], rank[i]));
  return table;
}

std::vector<std::string> verdicts(const RunSet& set, const std::string& group) {
  const std::vector<const Configuration*> found = members(set, group);
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
  if (const Difference by = difference(set, *one, valid_likelihood); by.by.n > 0)
    sentences.push_back(difference_text(by, 3, "Its log-likelihood of the validation pieces, in nats a step,"));
  if (const Reach in_time = reached(set, *one); in_time.reached > 0) {
    sentences.push_back(fmt::format("It reaches the baseline's best validation loss in {} times the baseline's epochs",
                                    quantity_text(quantity(in_time.epochs), {"", "", "", Column::Kind::mean, 2})));
    sentences.back() +=
        in_time.never == 0 ? "." : fmt::format(" where it does: with {} of {} seeds.", in_time.reached, in_time.seeds);
  }
  const auto compared = std::count_if(
      found.begin(), found.end(), [&](const Configuration* other) { return difference(set, *other, loss).by.n > 1; });
  if (compared > 1)
    sentences.push_back(fmt::format(
        "{} configurations were compared with the baseline; p is not corrected for that: the best of many looks "
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
  for (const LossPart& part : loss_parts_total_first)
    table.columns.push_back({part.name, part.loss == Loss::total ? "Validation loss" : part.heading,
                             "At the best epoch", Kind::number, 4, false, true});
  for (const auto& [key, heading] :
       {std::pair{"log_likelihood", "Log-likelihood, nats a step"}, {"test_log_likelihood", "Test set"}})
    table.columns.push_back({key, heading, "", Kind::number, 3, false, true});
  for (Column& column : likelihood_columns()) {
    if (column.kind == Kind::mean) column.kind = Kind::number;  // of one run
    table.columns.push_back(std::move(column));
  }
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
    for (const Run& run : one.runs) {
      Row row{{Field(run.name), Field(one.label), Field(static_cast<double>(run.seed)), Field(status_name(run.status)),
               epochs(run), best_epoch(run)}};
      row.series = series_of(set, &one);
      row.ranked = run.autoregressive;
      for (const LossPart& part : loss_parts_total_first) row.fields.emplace_back(loss_part(part)(run));
      for (const auto likelihood : {valid_likelihood, test_likelihood})
        row.fields.push_back(run.autoregressive ? Field(likelihood(run)) : Field());
      for (Field& field : likelihood_fields(run)) row.fields.push_back(std::move(field));
      row.fields.emplace_back(run.seconds);
      row.fields.emplace_back(run.autoregressive ? "true" : "false");
      const RunRecord& record = run.record;
      row.fields.emplace_back(record.data ? record.data->fingerprint.value_or("") : "");
      row.fields.emplace_back(record.revision.value_or(""));
      row.fields.emplace_back(record.device.value_or(""));
      row.fields.emplace_back(record.threads ? fmt::format("{}", *record.threads) : "");
      row.fields.emplace_back(record.host.value_or(""));
      row.fields.emplace_back(record.command_line.value_or(""));
      table.rows.push_back(std::move(row));
    }
  return table;
}

}  // namespace poph
