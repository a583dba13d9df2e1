#include "experiments/report/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/files/text.h"
#include "experiments/report/comparison.h"

namespace poph {
namespace {

constexpr size_t shown_at_first = 8, max_rows = 40;

// A quantity by epoch.
struct Chart {
  std::string key, heading;
  bool training_only = false;
  int digits = 4;
};

std::vector<Chart> all_charts() {
  std::vector<Chart> charts;
  for (const LossPart& part : loss_parts_total_first)
    charts.push_back({part.name, part.heading + std::string(part.loss == Loss::total ? " loss"
                                                            : part.weight            ? ", before its weight"
                                                                                     : "")});
  charts.push_back({"learning_rate", "Learning rate", true, 6});
  return charts;
}

// The mean, epoch by epoch, over the seeds that have got there.
struct Line {
  std::string label;
  std::vector<int64_t> epochs;
  std::vector<Quantity> values;
};

Line line_of(const Configuration& configuration, const std::string& part, bool training) {
  std::map<int64_t, std::vector<double>> values;
  const bool some_finished = !configuration.finished().empty();
  for (const Run& run : configuration.runs) {
    if (some_finished && !run.finished()) continue;
    for (const EpochLosses& losses : training ? run.train : run.valid)
      if (const auto found = losses.parts.find(part); found != losses.parts.end())
        values[losses.epoch].push_back(found->second);
  }
  Line line{configuration.label, {}, {}};
  for (const auto& [epoch, of_seeds] : values) {
    line.epochs.push_back(epoch);
    line.values.push_back(mean_quantity(of_seeds));
  }
  return line;
}

bool alone(const RunSet& set) { return set.configurations.size() == 1; }

// The lines of a chart; `training` chooses where there are several configurations.
std::vector<Line> lines_of(const RunSet& set, const Chart& chart, bool training) {
  std::vector<Line> lines;
  if (!alone(set)) {
    for (const Configuration& one : set.configurations)
      lines.push_back(line_of(one, chart.key, training || chart.training_only));
    return lines;
  }
  for (const bool of_training : {false, true}) {
    lines.push_back(line_of(set.configurations[0], chart.key, of_training));
    lines.back().label = of_training ? "training" : "validation";
  }
  return lines;
}

bool empty(const std::vector<Line>& lines) {
  return std::all_of(lines.begin(), lines.end(), [](const Line& line) { return line.epochs.empty(); });
}

double rounded(double x) { return std::isfinite(x) ? std::stod(fmt::format("{:.6g}", x)) : x; }

nlohmann::json json_of(const Line& line) {
  nlohmann::json json{{"epoch", line.epochs},
                      {"mean", nlohmann::json::array()},
                      {"low", nlohmann::json::array()},
                      {"high", nlohmann::json::array()},
                      {"n", nlohmann::json::array()}};
  for (const Quantity& q : line.values) {
    json["mean"].push_back(rounded(q.value));
    json["low"].push_back(rounded(std::isnan(q.low) ? q.value : q.low));
    json["high"].push_back(rounded(std::isnan(q.high) ? q.value : q.high));
    json["n"].push_back(q.n);
  }
  return json;
}

// Every epoch, or max_rows of them, the first and the last included.
std::vector<int64_t> epochs_for_table(const std::vector<Line>& lines) {
  std::vector<int64_t> all;
  for (const Line& line : lines) all.insert(all.end(), line.epochs.begin(), line.epochs.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (all.size() <= max_rows) return all;
  std::vector<int64_t> some;
  for (size_t i = 0; i < max_rows; ++i) some.push_back(all[i * (all.size() - 1) / (max_rows - 1)]);
  return some;
}

Table numbers(const std::string& caption, const std::vector<Line>& lines, int digits) {
  Table table{caption, {{"epoch", "Epoch", "", Column::Kind::number, 0}}, {}};
  for (const Line& line : lines)
    table.columns.push_back({line.label, line.label, "Mean over seeds ± 95 % interval", Column::Kind::mean, digits});
  for (int64_t epoch : epochs_for_table(lines)) {
    Row row{{Field(static_cast<double>(epoch))}};
    for (const Line& line : lines) {
      const auto found = std::lower_bound(line.epochs.begin(), line.epochs.end(), epoch);
      const bool there = found != line.epochs.end() && *found == epoch;
      row.fields.emplace_back(there ? line.values[static_cast<size_t>(found - line.epochs.begin())] : Quantity());
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string numbers_html(const RunSet& set, const Chart& chart) {
  const bool one_table = alone(set) || chart.training_only;
  std::string html = "<details><summary>Numbers</summary>\n";
  for (const bool training : {false, true}) {
    if (one_table && training) break;
    const std::vector<Line> lines = lines_of(set, chart, training);
    const char* const split = one_table ? "" : training ? ", training" : ", validation";
    if (!empty(lines)) html += html_table(numbers(chart.heading + split, lines, chart.digits));
  }
  return html + "</details>\n";
}

std::string controls_html(const RunSet& set) {
  if (alone(set))
    return "<p class=\"scripted\"><i class=\"swatch s0\"></i>validation &ensp; "
           "<i class=\"swatch s1\"></i>training</p>\n";
  std::string html =
      "<div class=\"scripted\"><fieldset><legend>Losses of</legend>"
      "<label><input type=\"radio\" name=\"split\" value=\"valid\" checked>validation</label>"
      "<label><input type=\"radio\" name=\"split\" value=\"train\">training</label></fieldset>\n"
      "<fieldset><legend>Configurations shown</legend>";
  for (size_t i = 0; i < set.configurations.size(); ++i)
    html += fmt::format(
        "<label><input type=\"checkbox\" name=\"series\" value=\"{0}\">"
        "<span><i class=\"swatch s{1}\"></i>{2}</span></label>",
        i, i % 10, escaped_html(set.configurations[i].label));
  return html + "</fieldset></div>\n";
}

}  // namespace

nlohmann::json curves_json(const RunSet& set) {
  nlohmann::json series = nlohmann::json::array(), charts = nlohmann::json::object();
  const std::vector<Chart> all = all_charts();
  for (const Line& line : lines_of(set, all[0], false))
    series.push_back({{"label", line.label}, {"shown", series.size() < shown_at_first}});
  if (!alone(set)) series[static_cast<size_t>(&set.baseline() - set.configurations.data())]["shown"] = true;
  for (const Chart& chart : all)
    for (const bool training : {false, true}) {
      nlohmann::json& lines = charts[chart.key][training ? "train" : "valid"] = nlohmann::json::array();
      for (const Line& line : lines_of(set, chart, training)) lines.push_back(json_of(line));
    }
  return {{"series", series}, {"parts", charts}};
}

std::string curves_html(const RunSet& set) {
  std::string html;
  for (const Chart& chart : all_charts()) {
    if (empty(lines_of(set, chart, false)) && empty(lines_of(set, chart, true))) continue;
    html += fmt::format(
        "<figure class=\"chart\" data-part=\"{0}\"><figcaption>{1}"
        "<button type=\"button\" class=\"scripted\" data-zoom=\"in\" aria-label=\"Zoom in\">+</button>"
        "<button type=\"button\" class=\"scripted\" data-zoom=\"out\" aria-label=\"Zoom out\">−</button>"
        "<button type=\"button\" class=\"scripted\" data-zoom=\"all\">all</button></figcaption>\n"
        "<svg class=\"scripted\" role=\"img\" tabindex=\"0\" "
        "aria-label=\"{1} by epoch. Arrow keys read it, plus and minus zoom\"></svg>"
        "<output class=\"scripted\"></output>\n{2}</figure>\n",
        chart.key, chart.heading, numbers_html(set, chart));
  }
  if (html.empty()) return "<p>No epoch has ended yet.</p>\n";
  const bool many_seeds = std::any_of(set.configurations.begin(), set.configurations.end(),
                                      [](const auto& one) { return one.runs.size() > 1; });
  return "<noscript><p>The charts need scripts; their numbers stand in the tables below.</p></noscript>\n<p "
         "class=\"explained\">" +
         std::string(many_seeds
                         ? "Lines are means over seeds with a band of 95 % intervals; where some seeds have stopped "
                           "already, over those that go on (n). "
                         : "") +
         "<span class=\"scripted\">Point at a chart, tap it or use the arrow keys to read it; zoom with the buttons, "
         "Ctrl and the wheel, or two fingers.</span></p>\n" +
         controls_html(set) + "<div class=\"charts\">\n" + html + "</div>\n";
}

}  // namespace poph
