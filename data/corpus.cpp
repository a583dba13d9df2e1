#include "data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_set>

#include "data/chords.h"
#include "tensor/error.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

uint64_t mixed(uint64_t x) {  // splitmix64's finaliser: every input bit reaches every output bit
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t combined(uint64_t hash, uint64_t value) { return mixed((hash ^ value) * 0x9E3779B97F4A7C15u + 1); }

uint64_t hash_of(std::span<const uint8_t> bytes) {
  uint64_t hash = combined(0, bytes.size());
  for (size_t at = 0; at < bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, &bytes[at], std::min<size_t>(8, bytes.size() - at));
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return mixed(hash);
}

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  return extension;
}

struct File {
  std::string path, name;  // name: within its source
  bool chords = false;
};

void find_midi(const std::string& folder, std::vector<File>& files) {
  const size_t before = files.size();
  std::error_code error;
  const auto skip = fs::directory_options::skip_permission_denied;  // links to folders are not followed: no loops
  for (fs::recursive_directory_iterator at(folder, skip, error), end; !error && at != end; at.increment(error)) {
    const std::string extension = lower_extension(at->path());
    std::error_code unreadable;  // a broken link, say: the reader will tell
    if ((extension != ".mid" && extension != ".midi") || at->is_directory(unreadable)) continue;
    files.push_back({at->path().string(), at->path().lexically_relative(folder).string()});
  }
  require(!error, "data: folder ", folder, ": ", error.message());
  require(files.size() > before, "data: folder ", folder, ": found no MIDI files, expected some named .mid or .midi");
  std::sort(files.begin() + static_cast<std::ptrdiff_t>(before), files.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
}

std::vector<File> list_files(const CorpusSettings& settings) {
  require(!settings.sources.empty(), "data: found no source, expected a folder, a MIDI file or a chord .json");
  std::vector<File> files;
  for (const auto& source : settings.sources) {
    std::error_code error;
    const auto status = fs::status(source, error);
    require(fs::exists(status), "data: ", source, ": no such file or folder");
    if (fs::is_directory(status)) {
      find_midi(source, files);
      continue;
    }
    const fs::path path(source);
    const std::string extension = lower_extension(path);
    require(extension != ".zip" && extension != ".gz" && extension != ".tgz" && extension != ".tar", "data: ", source,
            ": archives are not read yet; unpack it and name the folder");
    require(extension != ".json" || settings.channels == 1, "data: ", source,
            ": a chord file has no replays and volumes; set data.channels = [\"play\"]");
    files.push_back({source, path.filename().string(), extension == ".json"});
  }
  std::set<std::string> seen;  // sources may overlap
  std::erase_if(files, [&](const File& f) { return !seen.insert(fs::path(f.path).lexically_normal().string()).second; });
  return files;
}

// What came of one file: pieces, or the reason why there are none.
struct Loaded {
  struct Part {
    Piece piece;
    int split = -1;  // -1: for us to decide
    int64_t dropped_notes = 0;
    uint64_t hash = 0;
  };
  std::vector<Part> parts;
  std::vector<Skipped> skipped;
};

void keep_or_skip(const File& file, std::string name, Roll roll, int split, int64_t dropped, uint64_t hash, Loaded& into) {
  const std::string path = file.path + name.substr(file.name.size());
  if (roll.sounding_cells() == 0)
    into.skipped.push_back(
        {path, dropped == 0 ? "no note sounds" : fmt::format("all {} notes are out of range", dropped), !file.chords});
  else
    into.parts.push_back({{std::move(name), std::make_shared<const Roll>(std::move(roll))}, split, dropped, hash});
}

// One thread's reader: its buffers serve file after file.
class FileLoader {
 public:
  explicit FileLoader(const RollSettings& settings) : settings_(settings) {}

  Loaded load(const File& file) {
    Loaded result;
    if (file.chords) {  // asked for by name and all there is to read: its faults are the user's to know
      load_chords(file, result);
      return result;
    }
    try {
      const auto bytes = read_file(file.path, buffer_);
      parse_midi(bytes, midi_);
      DecodeReport report;
      Roll roll = decode(midi_, settings_, &report);
      keep_or_skip(file, file.name, std::move(roll), -1, report.dropped_notes, hash_of(bytes), result);
    } catch (const std::exception& error) {
      result.skipped.push_back({file.path, error.what()});
    }
    return result;
  }

 private:
  void load_chords(const File& file, Loaded& result) {
    const auto bytes = read_file(file.path, buffer_);
    const uint64_t hash = hash_of(bytes);
    std::vector<ChordPiece> pieces;
    try {
      pieces = parse_chords(bytes, settings_);
    } catch (const Error& error) {
      fail("data: ", file.path, ": ", error.what());
    }
    require(!pieces.empty(), "data: ", file.path, ": found no pieces, expected some under train, valid or test");
    for (size_t i = 0; i < pieces.size(); ++i) {
      auto& piece = pieces[i];
      keep_or_skip(file, fmt::format("{} {}[{}]", file.name, split_names[piece.split], piece.index), std::move(piece.roll),
                   piece.split, piece.dropped_notes, combined(hash, i), result);
    }
  }

  const RollSettings& settings_;
  std::vector<uint8_t> buffer_;
  MidiFile midi_;
};

// Threads take the next file each; results lie in the files' order, whoever made them.
std::vector<Loaded> load_all(const std::vector<File>& files, const CorpusSettings& settings) {
  std::vector<Loaded> results(files.size());
  std::atomic<size_t> next = 0;
  std::mutex lock;  // of the two below, and of the caller's progress
  int64_t done = 0;
  std::exception_ptr failure;
  const auto work = [&] {
    try {
      FileLoader loader(settings.roll);
      for (size_t i; (i = next++) < files.size();) {
        results[i] = loader.load(files[i]);
        if (!settings.progress) continue;
        const std::lock_guard guard(lock);
        settings.progress(++done, static_cast<int64_t>(files.size()));
      }
    } catch (...) {
      const std::lock_guard guard(lock);
      if (!failure) failure = std::current_exception();
      next = files.size();
    }
  };
  const size_t cores = settings.threads > 0 ? settings.threads : std::max(1u, std::thread::hardware_concurrency());
  {
    std::vector<std::jthread> others;
    for (size_t i = 1; i < std::min(cores, files.size()); ++i) others.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  return results;
}

// The contents to hold out. In an order that the seed gives, contents are taken with all their copies as long as they fit.
std::unordered_set<uint64_t> held_out(std::vector<uint64_t> hashes, double share, uint64_t seed) {
  require(share >= 0 && share < 1, "data: a share of ", share, " held out, expected 0 or more and less than 1");
  const auto pieces = static_cast<int64_t>(hashes.size());
  std::unordered_set<uint64_t> chosen;
  if (share == 0 || pieces < 2) return chosen;
  const int64_t wanted = std::clamp<int64_t>(std::llround(share * static_cast<double>(pieces)), 1, pieces - 1);

  std::sort(hashes.begin(), hashes.end(),
            [&](uint64_t a, uint64_t b) { return std::pair(combined(seed, a), a) < std::pair(combined(seed, b), b); });
  int64_t taken = 0, fewest_copies = pieces;
  uint64_t rarest = hashes[0];
  for (size_t first = 0, last; first < hashes.size(); first = last) {
    for (last = first; last < hashes.size() && hashes[last] == hashes[first];) ++last;
    const auto copies = static_cast<int64_t>(last - first);
    if (copies < fewest_copies) fewest_copies = copies, rarest = hashes[first];
    if (taken + copies > wanted) continue;
    chosen.insert(hashes[first]);
    taken += copies;
  }
  if (taken == 0 && fewest_copies < pieces) chosen.insert(rarest);  // every content has more copies than were wanted
  return chosen;
}

std::string fingerprint_of(const RollSettings& roll, std::vector<uint64_t> hashes) {
  std::sort(hashes.begin(), hashes.end());
  uint64_t hash = 0;
  for (int64_t value : {roll.lowest_note, roll.notes, roll.steps_per_quarter, int64_t{roll.percussion}, int64_t{roll.sustain}})
    hash = combined(hash, static_cast<uint64_t>(value));
  for (uint64_t value : hashes) hash = combined(hash, value);
  return fmt::format("{:016x}", hash);
}

}  // namespace

int64_t Corpus::bytes() const {
  std::unordered_set<const Roll*> seen;
  int64_t sum = 0;
  for (const auto* split : {&train, &valid, &test})
    for (const auto& piece : *split)
      if (seen.insert(piece.roll.get()).second) sum += piece.roll->bytes();
  return sum;
}

int64_t Corpus::skipped_files() const {
  return std::count_if(skipped.begin(), skipped.end(), [](const Skipped& one) { return one.whole_file; });
}

Corpus load_corpus(const CorpusSettings& settings) {
  check(settings.roll);
  require(settings.channels == 1 || settings.channels == 3, "data: ", settings.channels, " channels, expected 1 or 3");
  const auto files = list_files(settings);
  auto results = load_all(files, settings);

  Corpus corpus;
  corpus.files = static_cast<int64_t>(files.size());
  std::vector<uint64_t> all_hashes, unsplit_hashes;
  for (auto& result : results) {
    for (auto& skipped : result.skipped) corpus.skipped.push_back(std::move(skipped));
    for (const auto& part : result.parts) {
      all_hashes.push_back(part.hash);
      if (part.split < 0) unsplit_hashes.push_back(part.hash);
      corpus.dropped_notes += part.dropped_notes;
      corpus.steps += part.piece.roll->steps();
    }
  }
  if (all_hashes.empty())
    fail("data: none of ", corpus.files, " files can be used; the first, ", corpus.skipped.at(0).path, ": ",
         corpus.skipped[0].reason);
  corpus.fingerprint = fingerprint_of(settings.roll, all_hashes);

  const auto chosen = held_out(std::move(unsplit_hashes), settings.no_split ? 0 : settings.held_out, settings.seed);
  for (auto& result : results)
    for (auto& part : result.parts) {
      const int split = part.split >= 0 ? part.split : chosen.contains(part.hash) ? 1 : 0;
      if (settings.no_split && part.split < 0) {
        corpus.valid.push_back(part.piece);
        ++corpus.shared;
      }
      (split == 0 ? corpus.train : split == 1 ? corpus.valid : corpus.test).push_back(std::move(part.piece));
    }
  return corpus;
}

}  // namespace poph
