#include "data/reading/composed.h"

#include <algorithm>
#include <filesystem>

namespace poph {
namespace {

constexpr size_t searched = 512;

}  // namespace

bool is_marked_as_composed(std::span<const uint8_t> midi) {
  std::string mark = "\xFF\x01";
  mark += static_cast<char>(composed_text.size());
  mark += composed_text;
  const auto head = midi.first(std::min(midi.size(), searched));
  return std::search(head.begin(), head.end(), mark.begin(), mark.end(),
                     [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }) != head.end();
}

bool is_run_folder(const std::string& path) {
  const auto holds = [&](const char* name) {
    std::error_code ignored;
    return std::filesystem::exists(path + "/" + name, ignored);
  };
  return holds("run.lock") || (holds("run.json") && holds("config.toml"));
}

}  // namespace poph
