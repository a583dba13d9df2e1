#include "data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <unordered_set>

#include "data/content_hash.h"
#include "tensor/error.h"
#include "tensor/printable.h"

namespace poph {
namespace {

std::string fingerprint_of(const RollSettings& roll, std::vector<uint64_t> hashes) {
  std::sort(hashes.begin(), hashes.end());
  uint64_t hash = 0;
  for (int64_t value : {roll.lowest_note, roll.notes, roll.steps_per_quarter, int64_t{roll.percussion}, int64_t{roll.sustain}})
    hash = combined(hash, static_cast<uint64_t>(value));
  for (uint64_t value : hashes) hash = combined(hash, value);
  return fmt::format("{:016x}", hash);
}

// All that the cache does not have, read: first every file in one go, then one archive after the other.
void read_sources(std::vector<Source>& sources, const CorpusSettings& settings, std::vector<std::string>& remarks) {
  ReadSettings reading{settings.roll, settings.max_file_bytes, settings.threads, false, settings.watch};
  if (reading.threads <= 0) reading.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<CachedSource> cached;
  cached.reserve(sources.size());
  for (Source& source : sources) cached.emplace_back(settings.cache, reading, source, remarks);
  std::vector<Source*> files;
  std::vector<CachedSource*> to_keep;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].kind == Source::Kind::archive || cached[i].find()) continue;
    files.push_back(&sources[i]);
    to_keep.push_back(&cached[i]);
    reading.digests = reading.digests || cached[i].wants_digests();
  }
  read_files(files, reading);
  for (CachedSource* source : to_keep) source->keep();

  reading.digests = false;
  for (size_t i = 0; i < sources.size(); ++i) {
    Source& source = sources[i];
    if (source.kind != Source::Kind::archive) continue;
    if (!cached[i].find()) {
      read_archive(source, reading);
      cached[i].keep();
    }
    for (const std::string& line : source.damage) remarks.push_back(joined(source.path, ": ", line));
    require(!source.pieces.empty(), "data: archive ", source.path, ": found no MIDI files, expected some named .mid or .midi",
            source.damage.empty() ? "" : "; " + source.damage[0]);
  }
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
  auto sources = find_sources(settings.sources, settings.channels);
  Corpus corpus;
  read_sources(sources, settings, corpus.remarks);

  std::vector<uint64_t> hashes;
  std::vector<SplitPiece> to_split;
  for (Source& source : sources) {
    corpus.files += source.kind == Source::Kind::chords ? 1 : std::ssize(source.pieces);
    for (ReadPiece& piece : source.pieces) {
      if (!piece.reason.empty())
        (piece.roll ? corpus.salvaged : corpus.skipped)
            .push_back({source.path_of(piece.name), std::move(piece.reason), piece.whole_file});
      if (!piece.roll) continue;
      hashes.push_back(piece.hash);
      if (piece.split < 0) to_split.push_back({piece.hash, piece.name});
      corpus.dropped_notes += piece.dropped_notes;
      corpus.steps += piece.roll->steps();
    }
  }
  if (hashes.empty())
    fail("data: none of ", corpus.files, " files can be used; the first, ",
         printable(corpus.skipped.at(0).path, std::string::npos), ": ", corpus.skipped[0].reason);
  corpus.fingerprint = fingerprint_of(settings.roll, std::move(hashes));

  const std::vector<int> sides = split_pieces(to_split, settings.split, settings.held_out, settings.seed);
  auto side = sides.begin();
  for (Source& source : sources)
    for (ReadPiece& piece : source.pieces) {
      if (!piece.roll) continue;
      const bool ours = piece.split < 0;
      const int split = ours ? *side++ : piece.split;
      Piece used{printable(piece.name, piece.name.npos), std::move(piece.roll)};
      if (ours && settings.split == Split::none) {
        corpus.valid.push_back(used);
        ++corpus.shared;
      }
      (split == 0 ? corpus.train : split == 1 ? corpus.valid : corpus.test).push_back(std::move(used));
    }
  return corpus;
}

}  // namespace poph
