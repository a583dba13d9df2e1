#include "experiments/data_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "data/faults.h"
#include "experiments/progress.h"
#include "tensor/file.h"
#include "tensor/printable.h"

namespace poph {
namespace {

constexpr size_t most_by_themselves = 10;

std::string shown(const std::string& text) { return printable(text, std::string::npos); }  // a stranger's name may hold anything

struct Kind {
  std::string name;
  int64_t count = 0;
  const Skipped* example = nullptr;
};

std::vector<Kind> kinds_of(const std::vector<Skipped>& files) {  // the most frequent first
  std::map<std::string, Kind> by_name;
  for (const Skipped& file : files) {
    Kind& kind = by_name[fault_kind(file.reason)];
    if (++kind.count == 1) kind.example = &file;
  }
  std::vector<Kind> kinds;
  for (auto& [name, kind] : by_name) {
    kind.name = name;
    kinds.push_back(kind);
  }
  std::stable_sort(kinds.begin(), kinds.end(), [](const Kind& a, const Kind& b) { return a.count > b.count; });
  return kinds;
}

void add_lines(const char* what, const std::vector<Skipped>& files, const std::string& indent, std::vector<std::string>& lines) {
  if (files.size() <= most_by_themselves) {
    for (const Skipped& file : files) lines.push_back(fmt::format("{}{} {}: {}", indent, what, shown(file.path), shown(file.reason)));
    return;
  }
  for (const Kind& kind : kinds_of(files))
    lines.push_back(fmt::format("{}{} {}: {}, such as {}: {}", indent, what, kind.count, shown(kind.name), shown(kind.example->path),
                                shown(kind.example->reason)));
}

nlohmann::ordered_json counts_of(const std::vector<Skipped>& files) {
  auto counts = nlohmann::ordered_json::object();
  for (const Kind& kind : kinds_of(files)) counts[kind.name] = kind.count;
  return counts;
}

}  // namespace

std::string reading_text(const ReadingProgress& progress) {
  if (progress.files_in_all > 0) return fmt::format("reading {}/{} files", progress.files, progress.files_in_all);
  const double all = static_cast<double>(std::max<int64_t>(1, progress.bytes_in_all));
  return fmt::format("{}{}: {:.0f} % of {}{}", progress.what, progress.source.empty() ? "" : " " + shown(progress.source),
                     100 * static_cast<double>(progress.bytes) / all, human_bytes(all),
                     progress.files ? fmt::format(", {} files", progress.files) : "");
}

std::vector<std::string> fault_lines(const Corpus& corpus, const std::string& indent) {
  std::vector<std::string> lines;
  add_lines("skipped", corpus.skipped, indent, lines);
  add_lines("damaged but read", corpus.salvaged, indent, lines);
  for (const std::string& remark : corpus.remarks) lines.push_back(indent + shown(remark));
  return lines;
}

nlohmann::ordered_json faults_json(const Corpus& corpus) {
  return {{"skipped", counts_of(corpus.skipped)}, {"damaged", counts_of(corpus.salvaged)}};
}

std::string fault_list(const Corpus& corpus) {
  std::string lines;
  for (const auto* files : {&corpus.skipped, &corpus.salvaged})
    for (const Skipped& file : *files) {
      const nlohmann::ordered_json line{
          {"path", file.path}, {"kind", fault_kind(file.reason)}, {"reason", file.reason}, {"read", files == &corpus.salvaged}};
      lines += line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    }
  return lines;
}

void write_fault_list(const std::string& path, const Corpus& corpus) {
  const std::string lines = fault_list(corpus);
  std::error_code ignored;
  if (lines.empty())
    std::filesystem::remove(path, ignored);
  else
    write_file_durably(path, lines);
}

}  // namespace poph
