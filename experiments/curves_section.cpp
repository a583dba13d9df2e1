#include "experiments/curves_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/comparison.h"

namespace poph {
namespace {

constexpr size_t shown_at_first = 8, rows_of_numbers = 40;

struct Part {
  const char *key, *heading;
  bool training_only = false;
};
constexpr Part parts[] = {{"total", "Total loss"},
                          {"play", "Play"},
                          {"replay", "Replay"},
                          {"volume", "Volume"},
                          {"harmony", "Harmony, before its weight"},
                          {"learning_rate", "Learning rate", true}};

// The mean over the seeds that have come so far, epoch by epoch.
struct Line {
  std::string label;
  std::vector<int64_t> epochs;
  std::vector<Quantity> values;
};

Line line_of(const Configuration& configuration, const std::string& part, bool training) {
  std::map<int64_t, std::vector<double>> values;
  const bool some_finished = !configuration.finished().empty();
  for (const RunRecord& run : configuration.runs) {
    if (some_finished && !run.finished()) continue;
    for (const EpochLosses& losses : training ? run.train : run.valid)
      if (const auto found = losses.parts.find(part); found != losses.parts.end()) values[losses.epoch].push_back(found->second);
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
std::vector<Line> lines_of(const RunSet& set, const Part& part, bool training) {
  std::vector<Line> lines;
  if (!alone(set)) {
    for (const Configuration& one : set.configurations) lines.push_back(line_of(one, part.key, training || part.training_only));
    return lines;
  }
  for (const bool of_training : {false, true}) {
    lines.push_back(line_of(set.configurations[0], part.key, of_training));
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

// Every epoch, or so many of them that the table stays readable, with the first and the last.
std::vector<int64_t> epochs_for_table(const std::vector<Line>& lines) {
  std::vector<int64_t> all;
  for (const Line& line : lines) all.insert(all.end(), line.epochs.begin(), line.epochs.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (all.size() <= rows_of_numbers) return all;
  std::vector<int64_t> some;
  for (size_t i = 0; i < rows_of_numbers; ++i) some.push_back(all[i * (all.size() - 1) / (rows_of_numbers - 1)]);
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

std::string numbers_html(const RunSet& set, const Part& part) {
  const int digits = std::string_view(part.key) == "learning_rate" ? 6 : 4;
  std::string html = "<details><summary>Numbers</summary>\n";
  for (const bool training : {false, true}) {
    if ((alone(set) || part.training_only) && training) break;
    const std::vector<Line> lines = lines_of(set, part, training);
    if (!empty(lines))
      html += html_table(numbers(fmt::format("{}{}", part.heading,
                                             alone(set) || part.training_only ? ""
                                             : training                       ? ", training"
                                                                              : ", validation"),
                                 lines, digits));
  }
  return html + "</details>\n";
}

std::string controls_html(const RunSet& set) {
  if (alone(set))
    return "<p class=\"scripted\"><i class=\"swatch s0\"></i>validation &ensp; <i class=\"swatch s1\"></i>training</p>\n";
  std::string html =
      "<div class=\"scripted\"><fieldset><legend>Losses of</legend><label><input type=\"radio\" name=\"split\" value=\"valid\" "
      "checked>validation</label>"
      "<label><input type=\"radio\" name=\"split\" value=\"train\">training</label></fieldset>\n<fieldset><legend>Configurations "
      "shown</legend>";
  for (size_t i = 0; i < set.configurations.size(); ++i)
    html += fmt::format(
        "<label><input type=\"checkbox\" name=\"series\" value=\"{0}\"><span><i class=\"swatch s{1}\"></i>{2}</span></label>", i,
        i % 10, escaped_html(set.configurations[i].label));
  return html + "</fieldset></div>\n";
}

}  // namespace

nlohmann::json curves_json(const RunSet& set) {
  nlohmann::json series = nlohmann::json::array(), charts = nlohmann::json::object();
  for (const Line& line : lines_of(set, parts[0], false))
    series.push_back({{"label", line.label}, {"shown", series.size() < shown_at_first}});
  if (!alone(set)) series[static_cast<size_t>(&set.baseline() - set.configurations.data())]["shown"] = true;
  for (const Part& part : parts)
    for (const bool training : {false, true}) {
      nlohmann::json& lines = charts[part.key][training ? "train" : "valid"] = nlohmann::json::array();
      for (const Line& line : lines_of(set, part, training)) lines.push_back(json_of(line));
    }
  return {{"series", series}, {"parts", charts}};
}

std::string curves_html(const RunSet& set) {
  std::string html;
  for (const Part& part : parts) {
    if (empty(lines_of(set, part, false)) && empty(lines_of(set, part, true))) continue;
    html += fmt::format(
        "<figure class=\"chart\" data-part=\"{0}\"><figcaption>{1}<button type=\"button\" class=\"scripted\" data-zoom=\"in\" "
        "aria-label=\"Zoom in\">+</button>"
        "<button type=\"button\" class=\"scripted\" data-zoom=\"out\" aria-label=\"Zoom out\">−</button>"
        "<button type=\"button\" class=\"scripted\" data-zoom=\"all\">all</button></figcaption>\n"
        "<svg class=\"scripted\" role=\"img\" tabindex=\"0\" aria-label=\"{1} by epoch. Arrow keys read it, plus and minus "
        "zoom\"></svg>"
        "<output class=\"scripted\"></output>\n{2}</figure>\n",
        part.key, part.heading, numbers_html(set, part));
  }
  if (html.empty()) return "<p>No epoch has ended yet.</p>\n";
  const bool many_seeds =
      std::any_of(set.configurations.begin(), set.configurations.end(), [](const auto& one) { return one.runs.size() > 1; });
  return "<noscript><p>The charts need scripts; their numbers stand in the tables below.</p></noscript>\n<p "
         "class=\"explained\">" +
         std::string(many_seeds ? "Lines are means over seeds with a band of 95 % intervals; where some seeds have stopped "
                                  "already, over those that go on (n). "
                                : "") +
         "<span class=\"scripted\">Point at a chart, tap it or use the arrow keys to read it; zoom with the buttons, Ctrl and "
         "the wheel, or two fingers.</span></p>\n" +
         controls_html(set) + "<div class=\"charts\">\n" + html + "</div>\n";
}

}  // namespace poph
