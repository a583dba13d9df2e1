#include "experiments/workspace/corpus_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "data/files/file.h"
#include "data/files/json_text.h"
#include "data/files/text.h"
#include "experiments/workspace/console.h"

namespace poph {
namespace {

constexpr size_t max_lines_by_file = 10;

// The name of a file may hold any bytes.
std::string shown(const std::string& text) { return printable(text, std::string::npos); }

struct Kind {
  std::string name;
  int64_t count = 0;
  const DamagedFile* example = nullptr;
};

std::vector<Kind> kinds_of(const std::vector<DamagedFile>& files) {  // the most frequent first
  std::map<std::string, Kind> by_name;
  for (const DamagedFile& file : files) {
    Kind& kind = by_name[std::string(words(file.damage))];
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

void add_lines(const char* what, const std::vector<DamagedFile>& files, const std::string& indent,
               std::vector<std::string>& lines) {
  if (files.size() <= max_lines_by_file) {
    for (const DamagedFile& file : files)
      lines.push_back(fmt::format("{}{} {}: {}", indent, what, shown(file.path), shown(file.reason)));
    return;
  }
  for (const Kind& kind : kinds_of(files))
    lines.push_back(fmt::format("{}{} {}: {}, such as {}: {}", indent, what, kind.count, shown(kind.name),
                                shown(kind.example->path), shown(kind.example->reason)));
}

nlohmann::ordered_json counts_of(const std::vector<DamagedFile>& files) {
  auto counts = nlohmann::ordered_json::object();
  for (const Kind& kind : kinds_of(files)) counts[kind.name] = kind.count;
  return counts;
}

}  // namespace

std::string reading_text(const ReadingProgress& progress) {
  if (progress.files_in_all > 0) return fmt::format("reading {}/{} files", progress.files, progress.files_in_all);
  const double all = static_cast<double>(std::max<int64_t>(1, progress.bytes_in_all));
  return fmt::format("{}{}: {:.0f} % of {}{}", progress.what,
                     progress.source.empty() ? "" : " " + shown(progress.source),
                     100 * static_cast<double>(progress.bytes) / all, human_bytes(all),
                     progress.files ? fmt::format(", {} files", progress.files) : "");
}

std::vector<std::string> damage_lines(const Corpus& corpus, const std::string& indent) {
  std::vector<std::string> lines;
  add_lines("skipped", corpus.skipped, indent, lines);
  add_lines("damaged but read", corpus.damaged, indent, lines);
  for (const std::string& remark : corpus.remarks) lines.push_back(indent + shown(remark));
  return lines;
}

std::vector<std::string> left_out_lines(const Corpus& corpus, const DataConfig& data) {
  std::vector<std::string> lines;
  if (corpus.dropped_notes > 0)
    lines.push_back(fmt::format("{} notes dropped as out of range ({} to {})", corpus.dropped_notes, data.lowest_note,
                                data.lowest_note + data.notes - 1));
  if (corpus.percussion_notes > 0)
    lines.push_back(fmt::format("{} notes of percussion left out (data.percussion)", corpus.percussion_notes));
  if (!corpus.skipped.empty())
    lines.push_back(fmt::format("{} of {} files skipped", corpus.skipped_files(), corpus.files));
  for (const std::string& line : damage_lines(corpus, "")) lines.push_back(line);
  return lines;
}

std::vector<StyleDataRecord> style_records(const Corpus& corpus) {
  std::vector<StyleDataRecord> records;
  for (const std::string& name : corpus.styles) records.push_back({name});
  std::unordered_set<const Roll*> seen;
  for (const auto* split : {&corpus.train, &corpus.valid, &corpus.test})
    for (const Piece& piece : *split) {
      const int64_t style = Corpus::style_of(piece);
      if (style < 0) continue;
      records[style].pieces_train += split == &corpus.train;
      records[style].pieces_valid += split == &corpus.valid;
      if (seen.insert(piece.roll.get()).second) records[style].steps += piece.roll->steps();
    }
  return records;
}

nlohmann::ordered_json damage_json(const Corpus& corpus) {
  return {{"skipped", counts_of(corpus.skipped)}, {"damaged", counts_of(corpus.damaged)}};
}

std::string damage_list(const Corpus& corpus) {
  std::string lines;
  for (const auto* files : {&corpus.skipped, &corpus.damaged})
    for (const DamagedFile& file : *files) {
      const nlohmann::ordered_json line{{"path", file.path},
                                        {"kind", words(file.damage)},
                                        {"reason", file.reason},
                                        {"read", files == &corpus.damaged}};
      lines += json_text(line) + "\n";
    }
  return lines;
}

void write_damage_list(const std::string& path, const Corpus& corpus) {
  const std::string lines = damage_list(corpus);
  std::error_code ignored;
  if (lines.empty())
    std::filesystem::remove(path, ignored);
  else
    write_file_durably(path, lines);
}

}  // namespace poph
