#include "experiments/report/style_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/files/text.h"
#include "experiments/report/comparison.h"

namespace poph {
namespace {

using Kind = Column::Kind;

const std::vector<Style>& styles_of(const Run& run) {
  static const std::vector<Style> none;
  return run.config ? run.config->data.styles : none;
}

const StyleLikelihood* row_of(const Run& run, const std::string& name) {
  if (!run.record.style_likelihoods || !run.autoregressive) return nullptr;
  for (const StyleLikelihood& row : *run.record.style_likelihoods)
    if (row.name == name && row.nats_per_step.size() == styles_of(run).size()) return &row;
  return nullptr;
}

// The names of all styles of these runs, in the order in which they are first met.
std::vector<std::string> names_of(const std::vector<const Run*>& runs) {
  std::vector<std::string> names;
  for (const Run* run : runs)
    for (const Style& style : styles_of(*run))
      if (std::find(names.begin(), names.end(), style.name) == names.end()) names.push_back(style.name);
  return names;
}

}  // namespace

Table style_table(const RunSet& set, const std::string& group) {
  Table table{"Each style's held-out pieces as of every style, nats a step; higher is better",
              {{"model", "Model", "A configuration", Kind::text},
               {"style", "Pieces of", "", Kind::text},
               {"pieces", "Pieces", "That were scored", Kind::number, 0}},
              {}};
  std::vector<const Run*> all;
  for (const Configuration* one : members(set, group))
    for (const Run* run : one->finished()) all.push_back(run);
  const std::vector<std::string> names = names_of(all);
  for (const std::string& name : names)
    table.columns.push_back({"as_" + name, "As " + printable(name), "", Kind::mean, 3, false, false, true});
  table.columns.push_back({"equal_shares", "In equal shares", "", Kind::mean, 3, false, false, true});
  table.columns.push_back({"recognised", "Recognised", "Share of the pieces that are likeliest as their own style",
                           Kind::mean, 2, false, false, true});
  for (const Configuration* one : members(set, group))
    for (const std::string& name : names) {
      std::vector<std::vector<double>> as(names.size());
      std::vector<double> equal, recognised;
      const StyleLikelihood* about = nullptr;
      for (const Run* run : one->finished()) {
        const StyleLikelihood* row = row_of(*run, name);
        if (!row || row->pieces == 0) continue;
        about = row;
        equal.push_back(row->nats_per_step_equal);
        recognised.push_back(static_cast<double>(row->recognised) / static_cast<double>(row->pieces));
        for (size_t i = 0; i < row->nats_per_step.size(); ++i) {
          const auto place = std::find(names.begin(), names.end(), styles_of(*run)[i].name) - names.begin();
          as[place].push_back(row->nats_per_step[i]);
        }
      }
      if (!about) continue;
      Row row{{Field(one->label), Field(printable(name)), Field(static_cast<double>(about->pieces))}};
      for (const std::vector<double>& values : as) row.fields.emplace_back(mean_quantity(values));
      row.fields.emplace_back(mean_quantity(equal));
      row.fields.emplace_back(mean_quantity(recognised));
      row.series = static_cast<int>(one - set.configurations.data());
      table.rows.push_back(std::move(row));
    }
  return table;
}

}  // namespace poph
