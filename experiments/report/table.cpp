#include "experiments/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/files/text.h"

namespace poph {
namespace {

std::vector<size_t> columns_in_use(const Table& table) {
  std::vector<size_t> used;
  for (size_t i = 0; i < table.columns.size(); ++i)
    if (std::any_of(table.rows.begin(), table.rows.end(), [&](const Row& row) { return !row.fields[i].empty(); }))
      used.push_back(i);
  return used;
}

std::string number_text(double x, const Column& column) {
  if (!std::isfinite(x)) return std::isnan(x) ? "" : x > 0 ? "infinite" : "-infinite";
  return column.sign ? fmt::format("{:+.{}f}", x, column.digits) : fmt::format("{:.{}f}", x, column.digits);
}

std::string field_text(const Field& field, const Column& column) {
  return field.text.empty() ? quantity_text(field.quantity, column) : field.text;
}

// The number of characters; bytes that continue a UTF-8 character are not counted.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

using Grid = std::vector<std::vector<std::string>>;
constexpr size_t max_text_width = 120;

Grid transposed(const Grid& lines) {
  Grid columns(lines[0].size());
  for (const std::vector<std::string>& line : lines)
    for (size_t c = 0; c < line.size(); ++c) columns[c].push_back(line[c]);
  return columns;
}

std::vector<size_t> widths_of(const Grid& lines) {
  std::vector<size_t> widths(lines[0].size());
  for (const std::vector<std::string>& line : lines)
    for (size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], width_of(line[c]));
  return widths;
}

// Two spaces between columns; numbers to the right.
std::string aligned(const Grid& lines, const std::vector<bool>& numbers) {
  const std::vector<size_t> widths = widths_of(lines);
  std::string result;
  for (const std::vector<std::string>& line : lines) {
    std::string text;
    for (size_t c = 0; c < line.size(); ++c) {
      const std::string padding(widths[c] - width_of(line[c]), ' ');
      text += (c ? "  " : "") + (numbers[c] ? padding + line[c] : line[c] + padding);
    }
    result += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  }
  return result;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string field = "\"";
  for (char c : text) field += c == '"' ? "\"\"" : std::string(1, c);
  return field + "\"";
}

std::string csv_number(double x) { return std::isnan(x) ? "" : fmt::format("{}", x); }

}  // namespace

std::string quantity_text(const Quantity& q, const Column& column) {
  const std::string value = number_text(q.value, column);
  if (value.empty() || column.kind != Column::Kind::mean || std::isnan(q.low)) return value;
  const std::string count = column.count && q.n > 1 ? fmt::format(", n {}", q.n) : "";
  const double below = q.value - q.low, above = q.high - q.value;
  if (std::abs(above - below) <= 1e-6 * (above + below))
    return fmt::format("{} ± {:.{}f}{}", value, above, column.digits, count);
  return fmt::format("{} ({} to {}){}", value, number_text(q.low, column), number_text(q.high, column), count);
}

std::string html_table(const Table& table) {
  const std::vector<size_t> used = columns_in_use(table);
  std::string html = "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"" + escaped_html(table.caption) +
                     "\"><table><caption>" + escaped_html(table.caption) + "</caption>\n<thead><tr>";
  for (size_t i : used) {
    const Column& column = table.columns[i];
    html += fmt::format(
        "<th scope=\"col\"{}{} title=\"{}\">{}</th>", column.kind == Column::Kind::text ? "" : " class=\"number\"",
        column.judged ? " data-judged" : "", escaped_html(column.explanation), escaped_html(column.heading));
  }
  html += "</tr></thead>\n<tbody>\n";
  for (const Row& row : table.rows) {
    html += row.ranked ? "<tr>" : "<tr class=\"unranked\">";
    for (size_t i : used) {
      const Field& field = row.fields[i];
      const bool first = i == used.front(), number = table.columns[i].kind != Column::Kind::text;
      html +=
          fmt::format("<{}{}{}>", first ? "th scope=\"row\"" : "td", number ? " class=\"number\"" : "",
                      std::isnan(field.quantity.value) ? "" : fmt::format(" data-value=\"{}\"", field.quantity.value));
      if (first && row.series >= 0) html += fmt::format("<i class=\"swatch s{}\"></i>", row.series);
      html += escaped_html(field_text(field, table.columns[i]));
      if (!field.note.empty()) html += " <small>" + escaped_html(field.note) + "</small>";
      html += first ? "</th>" : "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string text_table(const Table& table) {
  Grid lines(1 + table.rows.size());
  std::vector<bool> numbers;
  for (size_t i : columns_in_use(table)) {
    const Column& column = table.columns[i];
    numbers.push_back(column.kind != Column::Kind::text);
    lines[0].push_back(column.heading);
    for (size_t r = 0; r < table.rows.size(); ++r) {
      const Field& field = table.rows[r].fields[i];
      const std::string text = field_text(field, column);
      lines[1 + r].push_back(text + (field.note.empty() ? "" : (text.empty() ? "" : " ") + field.note));
    }
  }
  const Grid columns = transposed(lines);
  const auto width = [](const Grid& grid) {
    const std::vector<size_t> widths = widths_of(grid);
    return std::accumulate(widths.begin(), widths.end(), 2 * widths.size());
  };
  if (width(lines) > max_text_width && width(columns) < width(lines))
    return aligned(columns, std::vector<bool>(columns[0].size(), false));
  return aligned(lines, numbers);
}

std::string csv_table(const Table& table) {
  std::string csv;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const Column& column = table.columns[i];
    csv += (i ? "," : "") + csv_field(column.key);
    if (column.kind == Column::Kind::mean)
      for (const char* part : {"_low", "_high", "_n"}) csv += "," + csv_field(column.key + part);
  }
  csv += "\r\n";
  for (const Row& row : table.rows) {
    for (size_t i = 0; i < table.columns.size(); ++i) {
      const Field& field = row.fields[i];
      csv += i ? "," : "";
      if (table.columns[i].kind == Column::Kind::text) {
        csv += csv_field(field.text);
        continue;
      }
      const Quantity& q = field.quantity;
      csv += csv_number(q.value);
      if (table.columns[i].kind == Column::Kind::mean)
        csv += "," + csv_number(q.low) + "," + csv_number(q.high) + "," +
               (std::isnan(q.value) ? "" : fmt::format("{}", q.n));
    }
    csv += "\r\n";
  }
  return csv;
}

}  // namespace poph
