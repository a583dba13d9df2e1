#include "experiments/report/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "data/files/file.h"
#include "data/files/json_text.h"
#include "data/files/text.h"
#include "experiments/report/comparison.h"
#include "experiments/report/comparison_tables.h"
#include "experiments/report/curves.h"
#include "experiments/report/likelihood_table.h"
#include "experiments/report/measures.h"
#include "experiments/report/samples.h"
#include "experiments/report/style_table.h"
#include "experiments/workspace/console.h"
#include "poph_version.h"
#include "report_files.h"
#include "tensor/error.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

// The template with each {{name}} replaced. A {{name}} within a value is left as it is.
std::string filled(std::string_view text, const std::map<std::string, std::string, std::less<>>& values) {
  std::string result;
  for (size_t at = 0;;) {
    const size_t begin = text.find("{{", at), end = text.find("}}", begin);
    result += text.substr(at, begin - at);
    if (begin == text.npos || end == text.npos) return result;
    const auto found = values.find(text.substr(begin + 2, end - begin - 2));
    require(found != values.end(), "report: page.html asks for ", text.substr(begin, end + 2 - begin));
    result += found->second;
    at = end + 2;
  }
}

std::string section(const std::string& id, const std::string& heading, const std::string& content) {
  return fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", id, heading, content);
}

std::string runs_text(const RunSet& set) {
  size_t all = 0, finished = 0;
  for (const Configuration& one : set.configurations) {
    all += one.runs.size();
    finished += one.finished().size();
  }
  if (all == 1) return std::string("one run, ") + status_name(set.configurations.front().runs.front().status);
  return fmt::format("{} configurations, {} of {} runs finished", set.configurations.size(), finished, all);
}

std::string columns_explained(const Table& table) {
  std::string html = "<details><summary>What the columns mean</summary><dl>\n";
  for (const Column& column : table.columns)
    html += "<dt>" + escaped_html(column.heading) + "</dt><dd>" + escaped_html(column.explanation) + "</dd>\n";
  return html + "</dl></details>\n";
}

std::string results_html(const RunSet& set) {
  std::string html = set.left_out.empty() ? "" : "<p>" + escaped_html(set.left_out) + "</p>\n";
  for (const std::string& group : comparison_groups(set)) {
    std::string sentences;
    for (const std::string& sentence : verdicts(set, group)) sentences += "<p>" + escaped_html(sentence) + "</p>\n";
    if (!sentences.empty()) html += "<div class=\"verdict\">\n" + sentences + "</div>\n";
    const Table table = comparison_table(set, group);
    html += html_table(table);
    if (const Table likelihoods = likelihood_table(set, group); !likelihoods.rows.empty())
      html += html_table(likelihoods);
    if (const Table styles = style_table(set, group); !styles.rows.empty()) html += html_table(styles);
    if (group == comparison_groups(set).back()) html += columns_explained(table);
  }
  if (!set.settings.empty())
    html +=
        "<details><summary>Settings in which they differ</summary>" + html_table(settings_table(set)) + "</details>\n";
  return html;
}

std::string errors_html(const RunSet& set) {
  std::string html;
  for (const Configuration& one : set.configurations)
    for (const Run& run : one.runs)
      if (!run.finished() || !run.error.empty())
        html += fmt::format("<li><code>{}</code>: {}{}</li>\n", escaped_html(run.name), status_name(run.status),
                            run.error.empty() ? "" : ": " + escaped_html(run.error));
  return html.empty() ? "" : "<h3>Not finished</h3>\n<ul class=\"warning\">\n" + html + "</ul>\n";
}

std::string file_html(const std::string& summary, const std::string& text) {
  return "<details><summary>" + escaped_html(summary) + "</summary><pre>" + escaped_html(text) + "</pre></details>\n";
}

std::string repeat_html(const RunSet& set, const std::string& folder) {
  std::string html = errors_html(set) + html_table(runs_table(set));
  if (set.sweep) {
    html += "<p>The whole sweep again: <code>" +
            escaped_html("./run_experiment " + folder + "/sweep.toml --out repeated") + "</code></p>\n";
    if (fs::exists(folder + "/sweep.toml")) html += file_html("The sweep's file", read_file(folder + "/sweep.toml"));
  }
  html +=
      "<p>One run again, at the revision given: <code>./run_experiment FOLDER/config.toml --out repeated</code>, where "
      "FOLDER is "
      "the run's. Every key is resolved in it:</p>\n";
  for (const Configuration& one : set.configurations)
    if (const std::string& text = one.runs.front().config_text; !text.empty())
      html += file_html(fmt::format("{}: {}/config.toml{}", one.label, one.runs.front().path,
                                    one.runs.size() > 1 ? "; the other runs' differ in name and seed" : ""),
                        text);
  return html;
}

// The text of a <script> element, which must not hold the end of one.
std::string script_json(const nlohmann::json& json) {
  std::string result;
  for (char c : json_text(json)) result += c == '<' ? "\\u003c" : std::string(1, c);
  return result;
}

std::string page(const RunSet& set, const std::string& folder) {
  const std::string d3_head(report_files::d3.substr(0, report_files::d3.find('\n')));
  const size_t version = d3_head.find(" v");
  return filled(
      report_files::page,
      {{"title", escaped_html(set.title)},
       {"about", escaped_html(fmt::format("{}: {}", set.sweep ? "Sweep" : "Runs of PopH", runs_text(set)))},
       {"nav",
        "<a href=\"#results\">Results</a><a href=\"#samples\">Samples</a><a href=\"#curves\">Curves</a><a "
        "href=\"#measures\">Measures</a><a href=\"#repeat\">Repeat it</a>"},
       {"sections", section("results", "Results", results_html(set)) +
                        section("samples", "Samples", samples_html(set)) +
                        section("curves", "Curves", curves_html(set)) +
                        section("measures", "The samples beside the corpus", measures_html(set)) +
                        section("repeat", "What makes it reproducible", repeat_html(set, folder))},
       {"css", std::string(report_files::css)},
       {"js", std::string(report_files::js)},
       {"d3", std::string(report_files::d3)},
       {"d3_version",
        version == d3_head.npos ? "" : d3_head.substr(version + 1, d3_head.find(' ', version + 1) - version - 1)},
       {"d3_licence", std::string(report_files::d3_licence)},
       {"version", joined(POPH_VERSION, " (", POPH_REVISION, ")")},
       {"date", fmt::format("{:%Y-%m-%d %H:%M} UTC",
                            fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())))},
       {"curves", script_json(curves_json(set))}});
}

// A line a configuration: the comparison, the settings that differ, the measures of the samples.
Table whole_table(const RunSet& set) {
  Table whole;
  for (const std::string& group : comparison_groups(set)) {
    Table table = comparison_table(set, group);
    table.columns.push_back({"league", "Comparison group", "", Column::Kind::text});  // the key of old report.csv
    for (Row& row : table.rows) row.fields.emplace_back(group);
    whole.columns = table.columns;
    whole.rows.insert(whole.rows.end(), table.rows.begin(), table.rows.end());
  }
  std::vector<Table> more = measure_tables(set);
  more.insert(more.begin(), likelihood_columns_table(set));
  if (!set.settings.empty()) more.insert(more.begin(), settings_table(set));
  for (const Table& table : more)
    for (size_t c = 1; c < table.columns.size(); ++c) {  // the first one is the configuration's label
      whole.columns.push_back(table.columns[c]);
      for (Row& row : whole.rows) {
        const auto found = std::find_if(table.rows.begin(), table.rows.end(),
                                        [&](const Row& other) { return other.series == row.series; });
        row.fields.push_back(found == table.rows.end() ? Field() : found->fields[c]);
      }
    }
  return whole;
}

}  // namespace

std::string write_report(const std::string& folder) {
  const RunSet set = read_runs({folder});
  remove_temporaries(folder);
  write_file_durably(folder + "/report.csv", csv_table(whole_table(set)));
  write_file_durably(folder + "/report_runs.csv", csv_table(runs_table(set)));
  write_file_durably(folder + "/report.html", page(set, folder));
  return set.left_out;
}

void try_report(const std::string& folder, Progress& progress) {
  try {
    const std::string left_out = write_report(folder);
    if (!left_out.empty()) progress.line(left_out);
    progress.line("report: " + folder + "/report.html");
  } catch (const std::exception& error) {
    progress.line(joined("the report could not be written: ", error.what(), "; poph report ", folder, " tries again"));
  }
}

void compare(const CompareOptions& options) {
  const RunSet set = read_runs(options.folders);
  if (!options.csv.empty()) write_file_durably(options.csv, csv_table(whole_table(set)));
  std::string text = set.left_out.empty() ? "" : set.left_out + "\n\n";
  if (!set.settings.empty()) text += text_table(settings_table(set)) + "\n";
  for (const std::string& group : comparison_groups(set)) {
    const Table table = comparison_table(set, group);
    text += table.caption + "\n" + text_table(table);
    if (const Table likelihoods = likelihood_table(set, group); !likelihoods.rows.empty())
      text += likelihoods.caption + "\n" + text_table(likelihoods);
    if (const Table styles = style_table(set, group); !styles.rows.empty())
      text += styles.caption + "\n" + text_table(styles);
    for (const std::string& sentence : verdicts(set, group)) text += sentence + "\n";
    text += "\n";
  }
  print_text(text.substr(0, text.size() - 1));
}

}  // namespace poph
