#include "experiments/report/likelihood_table.h"

#include <fmt/format.h>

#include <functional>

#include "data/measures/counting.h"
#include "experiments/report/comparison.h"

namespace poph {
namespace {

using Kind = Column::Kind;

struct Figure {
  const char *key, *heading, *meaning;
  double (*of)(const FiguresRecord&);
};
constexpr Figure shown_figures[] = {
    {"nats_per_step", "Nats a step", "Mean over all steps, each piece's first one among them",
     [](const FiguresRecord& x) { return x.nats_per_step; }},
    {"nats_per_step_without_first", "Without first", "Each piece's first step left out",
     [](const FiguresRecord& x) { return x.nats_per_step_without_first; }},
    {"nats_per_step_mean_of_pieces", "Mean of pieces", "Mean over pieces of each piece's mean",
     [](const FiguresRecord& x) { return x.nats_per_step_mean_of_pieces; }},
    {"nats_per_quarter", "A quarter note", "Nats a quarter note",
     [](const FiguresRecord& x) { return x.nats_per_quarter; }},
    {"nats_per_step_88_keys", "88 keys", "Nats a step on all 88 keys of the piano",
     [](const FiguresRecord& x) { return x.nats_per_step_88_keys.value_or(not_known); }},
    {"nats_per_step_without_first_88_keys", "88 keys, without first", "",
     [](const FiguresRecord& x) { return x.nats_per_step_without_first_88_keys.value_or(not_known); }},
    {"nats_per_step_mean_of_pieces_88_keys", "88 keys, mean of pieces", "",
     [](const FiguresRecord& x) { return x.nats_per_step_mean_of_pieces_88_keys.value_or(not_known); }},
    {"nats_per_quarter_88_keys", "88 keys, a quarter note", "",
     [](const FiguresRecord& x) { return x.nats_per_quarter_88_keys.value_or(not_known); }},
};
using RecordOf = const std::optional<LikelihoodRecord>& (*)(const Run&);
struct ScoredSplit {
  const char* name;
  RecordOf of;
};
constexpr ScoredSplit splits[] = {
    {"valid", [](const Run& run) -> const std::optional<LikelihoodRecord>& { return run.record.log_likelihood.valid; }},
    {"test", [](const Run& run) -> const std::optional<LikelihoodRecord>& { return run.record.log_likelihood.test; }},
};

// What is scored, where a likelihood is one.
const LikelihoodRecord* scored(const Run& run, const ScoredSplit& split) {
  const auto& record = split.of(run);
  return record && run.autoregressive ? &*record : nullptr;
}

std::string range_text(const LikelihoodRecord& record) {
  return record.notes > 0 ? fmt::format("{} to {}", record.lowest_note, record.lowest_note + record.notes - 1) : "";
}

// A row of means over some runs; nothing where none has such figures.
using FiguresOf = std::function<const FiguresRecord*(const LikelihoodRecord&)>;
bool add_row(const std::string& label, const ScoredSplit& split, const std::vector<const Run*>& runs,
             const FiguresOf& figures, Table& table) {
  const LikelihoodRecord* about = nullptr;
  std::vector<Field> means;
  for (const Figure& figure : shown_figures) {
    std::vector<double> values;
    for (const Run* run : runs) {
      const LikelihoodRecord* record = scored(*run, split);
      const FiguresRecord* found = record ? figures(*record) : nullptr;
      if (!found) continue;
      if (!about) about = record;
      values.push_back(figure.of(*found));
    }
    means.emplace_back(mean_quantity(values));
  }
  if (!about) return false;
  Row row{{Field(label), Field(split.name), Field(range_text(*about)),
           Field(static_cast<double>(about->steps_per_quarter)),
           about->pieces ? Field(static_cast<double>(*about->pieces)) : Field()}};
  row.fields.insert(row.fields.end(), means.begin(), means.end());
  table.rows.push_back(std::move(row));
  return true;
}

const FiguresRecord* counting_of(const LikelihoodRecord& record, Counting model) {
  if (!record.counting) return nullptr;
  const CountingRecords& all = *record.counting;
  const auto& found = model == Counting::frequency     ? all.frequency
                      : model == Counting::last_states ? all.last_states
                                                       : all.match_table;
  return found ? &*found : nullptr;
}

}  // namespace

Table likelihood_table(const RunSet& set, const std::string& group) {
  Table table{"Log-likelihood of the play matrix; higher is better",
              {{"model", "Model", "A configuration, or a model that counts", Kind::text},
               {"split", "Pieces of", "", Kind::text},
               {"range", "Notes", "MIDI numbers", Kind::text},
               {"steps_per_quarter", "Steps a quarter note", "", Kind::number, 0},
               {"pieces", "Pieces", "That were scored", Kind::number, 0}},
              {}};
  for (const Figure& figure : shown_figures)
    table.columns.push_back({figure.key, figure.heading, figure.meaning, Kind::mean, 3, false, true, true});
  std::vector<const Run*> all;
  for (const Configuration* one : members(set, group)) {
    const std::vector<const Run*> runs = one->finished();
    all.insert(all.end(), runs.begin(), runs.end());
    for (const ScoredSplit& split : splits)
      if (add_row(
              one->label, split, runs, [](const LikelihoodRecord& record) { return &record; }, table))
        table.rows.back().series = static_cast<int>(one - set.configurations.data());
  }
  for (const ScoredSplit& split : splits)
    for (const CountingInfo& info : counting_models) {
      const auto model = static_cast<Counting>(&info - counting_models);
      const std::string label =
          fmt::format("counting: {} ({}: {})", info.heading, info.league, league_text(info.league));
      if (add_row(
              label, split, all, [model](const LikelihoodRecord& record) { return counting_of(record, model); }, table))
        table.rows.back().ranked = false;
    }
  return table;
}

std::vector<Column> likelihood_columns() {
  std::vector<Column> columns;
  for (const ScoredSplit& split : splits) {
    for (const Figure& figure : shown_figures)
      columns.push_back({fmt::format("{}_{}", split.name, figure.key),
                         fmt::format("{}, {}", figure.heading, split.name), figure.meaning, Kind::mean, 3, false,
                         true});
    for (const CountingInfo& info : counting_models)
      columns.push_back({fmt::format("{}_{}_nats_per_step", split.name, info.name),
                         fmt::format("{}, {}", info.heading, split.name), "Nats a step by counting alone", Kind::mean,
                         3, false, true});
  }
  columns.push_back({"likelihood_notes", "Notes", "That the likelihoods are of", Kind::text});
  columns.push_back({"likelihood_steps_per_quarter", "Steps a quarter note", "", Kind::number, 0});
  return columns;
}

std::vector<Field> likelihood_fields(const Run& run) {
  std::vector<Field> fields;
  const LikelihoodRecord* about = nullptr;
  for (const ScoredSplit& split : splits) {
    const LikelihoodRecord* record = scored(run, split);
    if (record) about = record;
    for (const Figure& figure : shown_figures) fields.push_back(record ? Field(figure.of(*record)) : Field());
    for (const CountingInfo& info : counting_models) {
      const FiguresRecord* counted =
          record ? counting_of(*record, static_cast<Counting>(&info - counting_models)) : nullptr;
      fields.push_back(counted ? Field(counted->nats_per_step) : Field());
    }
  }
  fields.push_back(about ? Field(range_text(*about)) : Field());
  fields.push_back(about ? Field(static_cast<double>(about->steps_per_quarter)) : Field());
  return fields;
}

Table likelihood_columns_table(const RunSet& set) {
  Table table{"", likelihood_columns(), {}};
  table.columns.insert(table.columns.begin(), {"configuration", "Configuration", "", Kind::text});
  for (const Configuration& one : set.configurations) {
    Row row{{Field(one.label)}};
    row.series = static_cast<int>(&one - set.configurations.data());
    std::vector<std::vector<Field>> each;
    for (const Run* run : one.finished()) each.push_back(likelihood_fields(*run));
    for (size_t c = 1; c < table.columns.size(); ++c) {
      if (each.empty()) {
        row.fields.emplace_back();
      } else if (table.columns[c].kind != Kind::mean) {
        row.fields.push_back(each.back()[c - 1]);
      } else {
        std::vector<double> values;
        for (const auto& fields : each) values.push_back(fields[c - 1].quantity.value);
        row.fields.emplace_back(mean_quantity(values));
      }
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace poph
