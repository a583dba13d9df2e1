// write_corpus [--check | --list] [FOLDER]: makes NAME.mid of every score FOLDER/NAME.txt (default: data/corpus), with
// PopH's own MIDI writer. --check writes nothing and fails where a file differs from what its score gives; --list says
// what each holds.
#include <algorithm>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "data/corpus/score.h"
#include "data/files/file.h"
#include "tensor/error.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

constexpr int64_t lowest_kept = 36, highest_kept = 83;  // by the default data.lowest_note and data.notes

enum class Task { write, check, list };

void list(const Score& score, const Roll& roll) {
  int64_t lowest = 127, highest = 0, below = 0, above = 0;
  for (int64_t step = 0; step < roll.steps(); ++step)
    for (int64_t pitch = 0; pitch < roll.notes(); ++pitch) {
      if (roll.cell(step, pitch) == 0) continue;
      lowest = std::min(lowest, pitch);
      highest = std::max(highest, pitch);
      below += pitch < lowest_kept;
      above += pitch > highest_kept;
    }
  std::cout << score.file << ": " << score.header.at("key") << ", " << score.header.at("meter") << ", "
            << score.order.size() << " bars, " << roll.steps() << " steps, " << roll.sounding_cells()
            << " sounding cells, " << roll.replays() << " replays, pitches " << lowest << ".." << highest
            << ", cells below " << lowest_kept << ": " << below << ", above " << highest_kept << ": " << above << '\n';
}

int run(Task task, const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  require(!paths.empty(), "no scores (.txt) in ", folder.string());
  int stale = 0;
  for (const auto& path : paths) {
    const Score score = read_score(path.filename().string(), read_file(path.string()));
    const Roll roll = roll_of(score);
    const auto encoded = encode(roll, {.beats_per_minute = static_cast<double>(score.tempo)});
    const std::string bytes(encoded.begin(), encoded.end());
    const auto target = fs::path(path).replace_extension(".mid").string();
    if (task == Task::write) write_file_durably(target, bytes);
    if (task == Task::list) list(score, roll);
    if (task == Task::check && (!fs::exists(target) || read_file(target) != bytes)) {
      std::cerr << "write_corpus: " << target << " is not what " << score.file << " gives; run write_corpus\n";
      ++stale;
    }
  }
  if (task != Task::list)
    std::cout << paths.size() << " pieces " << (task == Task::check ? "checked" : "written") << '\n';
  return stale == 0 ? 0 : 1;
}

}  // namespace
}  // namespace poph

int main(int count, char** arguments) {
  poph::Task task = poph::Task::write;
  std::string folder = "data/corpus";
  try {
    for (int i = 1; i < count; ++i) {
      const std::string argument = arguments[i];
      if (argument == "--check")
        task = poph::Task::check;
      else if (argument == "--list")
        task = poph::Task::list;
      else
        folder = argument;
      poph::require(folder.substr(0, 1) != "-", "usage: write_corpus [--check | --list] [FOLDER], not '", argument,
                    "'");
    }
    return poph::run(task, folder);
  } catch (const std::exception& error) {
    std::cerr << "write_corpus: " << error.what() << '\n';
    return 1;
  }
}
