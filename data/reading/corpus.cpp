#include "data/reading/corpus.h"

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "data/files/hash.h"
#include "data/files/text.h"
#include "data/reading/file_names.h"
#include "tensor/error.h"

namespace poph {
namespace {

std::string fingerprint(const RollSettings& roll, std::vector<uint64_t> hashes) {
  std::sort(hashes.begin(), hashes.end());
  uint64_t hash = 0;
  for (int64_t value :
       {roll.lowest_note, roll.notes, roll.steps_per_quarter, int64_t{roll.percussion}, int64_t{roll.sustain},
        int64_t{roll.quantize == Quantize::floor}, int64_t{roll.file_meter}, int64_t{reader_version}})
    hash = combined(hash, static_cast<uint64_t>(value));
  for (uint64_t value : hashes) hash = combined(hash, value);
  return hex_digits(hash);
}

// The sources, those of styles style by style, and the style of each; -1: none.
std::pair<std::vector<Source>, std::vector<int64_t>> sources_of(const CorpusSettings& settings) {
  if (settings.styles.empty()) {
    std::vector<Source> all = find_sources(settings.sources, settings.channels);
    std::vector<int64_t> none(all.size(), -1);
    return {std::move(all), std::move(none)};
  }
  std::pair<std::vector<Source>, std::vector<int64_t>> found;
  for (size_t style = 0; style < settings.styles.size(); ++style)
    for (Source& source : find_sources(settings.styles[style].sources, settings.channels)) {
      found.first.push_back(std::move(source));
      found.second.push_back(static_cast<int64_t>(style));
    }
  return found;
}

// Takes away pieces whose contents an earlier style holds, and says so, a line a style. Error: a style is left without
// a piece.
void keep_first_styles(const std::vector<StyleSources>& styles, const std::vector<int64_t>& style_of,
                       std::vector<SourceContents>& contents, std::vector<std::string>& remarks) {
  struct Count {
    int64_t own = 0, taken = 0;
    std::string example, unusable;
  };
  std::vector<Count> counts(styles.size());
  std::unordered_map<uint64_t, int64_t> first;  // style that holds a content
  for (size_t i = 0; i < contents.size(); ++i)
    std::erase_if(contents[i].pieces, [&](const ReadPiece& piece) {
      Count& count = counts[style_of[i]];
      if (!piece.roll) {
        if (count.unusable.empty() && !piece.is_left_out())
          count.unusable = joined("; ", piece.name, ": ", piece.reason);
        return false;
      }
      const int64_t holder = first.try_emplace(piece.hash, style_of[i]).first->second;
      ++(holder == style_of[i] ? count.own : count.taken);
      if (holder != style_of[i] && count.example.empty())
        count.example = joined(printable(piece.name, piece.name.npos), " of style ", printable(styles[holder].name));
      return holder != style_of[i];
    });
  for (size_t style = 0; style < styles.size(); ++style) {
    const auto& [own, taken, example, unusable] = counts[style];
    const std::string name = printable(styles[style].name);
    require(own > 0, "data: style ", name, ": found no piece of its own, expected at least one",
            taken > 0 ? joined(": all of ", taken, " are those of earlier styles, such as ", example) : unusable);
    if (taken > 0)
      remarks.push_back(joined("style ", name, ": ", taken, taken == 1 ? " piece is" : " pieces are",
                               " left out, which earlier styles hold too, such as ", example));
  }
}

// The fingerprint of a corpus of styles; hashes: of each style.
std::string fingerprint(const RollSettings& roll, const std::vector<std::vector<uint64_t>>& hashes) {
  uint64_t hash = 0;
  for (const std::vector<uint64_t>& of_style : hashes) hash = text_hash(fingerprint(roll, of_style), hash);
  return hex_digits(hash);
}

// What each source holds, from the cache or read: first every file in one go, then one archive after the other.
std::vector<SourceContents> read_sources(const std::vector<Source>& sources, const CorpusSettings& settings,
                                         std::vector<std::string>& remarks) {
  ReadSettings reading{settings.roll,
                       settings.max_file_bytes,
                       settings.threads,
                       false,
                       settings.channels == 1 && is_part_of_the_piano(settings.roll),
                       settings.watch};
  if (reading.threads <= 0) reading.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<SourceContents> contents(sources.size());
  std::vector<CachedSource> cached;
  cached.reserve(sources.size());
  for (const Source& source : sources) cached.emplace_back(settings.cache, reading, source, remarks);

  std::vector<const Source*> missing;
  std::vector<size_t> places;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].kind == Source::Kind::archive) continue;
    if (auto found = cached[i].find()) {
      contents[i] = std::move(*found);
      continue;
    }
    missing.push_back(&sources[i]);
    places.push_back(i);
    reading.digests = reading.digests || cached[i].wants_digests();
  }
  std::vector<SourceContents> read = read_files(missing, reading);
  for (size_t k = 0; k < places.size(); ++k) cached[places[k]].store(contents[places[k]] = std::move(read[k]));

  reading.digests = false;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].kind != Source::Kind::archive) continue;
    if (auto found = cached[i].find())
      contents[i] = std::move(*found);
    else
      cached[i].store(contents[i] = read_archive(sources[i], reading));
    const std::vector<std::string>& damage = contents[i].damage;
    for (const std::string& line : damage) remarks.push_back(joined(sources[i].path, ": ", line));
    require(!contents[i].pieces.empty(), "data: archive ", sources[i].path,
            ": found no MIDI files, expected some named ", midi_names, damage.empty() ? "" : "; " + damage[0]);
  }
  return contents;
}

// A line on the music that PopH composed, "" where there is none.
std::string left_out_text(const std::vector<Source>& sources, const std::vector<SourceContents>& contents) {
  std::string first_folder, first_file;
  size_t folders = 0, files = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    for (const std::string& folder : sources[i].run_folders)
      if (folders++ == 0) first_folder = folder;
    for (const ReadPiece& piece : contents[i].pieces)
      if (piece.is_left_out() && files++ == 0) first_file = sources[i].path_to(piece.name);
  }
  std::string text;
  if (folders)
    text += joined(folders, folders == 1 ? " folder of a run, " : " folders of runs, such as ", first_folder);
  if (files)
    text += joined(text.empty() ? "" : ", and ", files, files == 1 ? " file, " : " files, such as ", first_file);
  return text.empty() ? "" : "left out, because PopH composed it: " + text;
}

}  // namespace

int64_t Corpus::style_of(const Piece& piece) {
  const auto own = std::find(piece.style.begin(), piece.style.end(), 1.0);
  return own == piece.style.end() ? -1 : own - piece.style.begin();
}

int64_t Corpus::bytes() const {
  std::unordered_set<const Roll*> seen;
  int64_t sum = 0;
  for (const auto* split : {&train, &valid, &test})
    for (const auto& piece : *split)
      if (seen.insert(piece.roll.get()).second) {
        sum += piece.roll->bytes();
        for (const auto& matches : piece.matches)
          if (matches) sum += std::ssize(*matches) * int64_t{sizeof(Matches)};
      }
  return sum;
}

int64_t Corpus::skipped_files() const {
  return std::count_if(skipped.begin(), skipped.end(), [](const DamagedFile& one) { return one.whole_file; });
}

Corpus load_corpus(const CorpusSettings& settings) {
  check(settings.roll);
  require(settings.channels == 1 || settings.channels == 3, "data: ", settings.channels, " channels, expected 1 or 3");
  const auto found = sources_of(settings);
  const std::vector<Source>& sources = found.first;
  const std::vector<int64_t>& style_of = found.second;  // clang 14 knows no bound names in lambdas
  Corpus corpus;
  std::vector<SourceContents> contents = read_sources(sources, settings, corpus.remarks);

  if (!settings.styles.empty()) keep_first_styles(settings.styles, style_of, contents, corpus.remarks);
  for (const StyleSources& style : settings.styles) corpus.styles.push_back(style.name);

  const size_t groups = std::max<size_t>(1, settings.styles.size());  // that are split each by itself
  const auto group_of = [&](size_t source) { return static_cast<size_t>(std::max<int64_t>(0, style_of[source])); };
  std::vector<std::vector<uint64_t>> hashes(groups);
  std::vector<std::vector<SplitPiece>> to_split(groups);
  for (size_t i = 0; i < sources.size(); ++i) {
    for (const std::string& remark : sources[i].remarks) corpus.remarks.push_back(sources[i].path + ": " + remark);
    corpus.files += sources[i].kind == Source::Kind::chords ? 1 : std::ssize(contents[i].pieces);
    for (ReadPiece& piece : contents[i].pieces) {
      corpus.left_out += piece.is_left_out();
      if (piece.damage != Damage::none)
        (piece.roll ? corpus.damaged : corpus.skipped)
            .push_back({sources[i].path_to(piece.name), piece.damage, std::move(piece.reason), piece.whole_file});
      if (!piece.roll) continue;
      hashes[group_of(i)].push_back(piece.hash);
      if (piece.split < 0) to_split[group_of(i)].push_back({piece.hash, piece.name});
      corpus.dropped_notes += piece.dropped_notes;
      corpus.percussion_notes += piece.percussion_notes;
      corpus.steps += piece.roll->steps();
    }
  }
  corpus.files -= corpus.left_out;
  const std::string left_out = left_out_text(sources, contents);
  if (!left_out.empty()) corpus.remarks.push_back(left_out);
  require(!hashes[0].empty() || !corpus.skipped.empty(), "data: found no music; ", left_out,
          "; a file that is named itself is read");
  if (hashes[0].empty())
    fail("data: none of ", corpus.files, " files can be used; the first, ",
         printable(corpus.skipped.at(0).path, std::string::npos), ": ", corpus.skipped[0].reason);
  corpus.fingerprint =
      settings.styles.empty() ? fingerprint(settings.roll, hashes[0]) : fingerprint(settings.roll, hashes);

  std::vector<std::vector<int>> sides;
  for (const std::vector<SplitPiece>& pieces : to_split)
    sides.push_back(split_pieces(pieces, settings.split, settings.held_out, settings.seed));
  std::vector<size_t> taken(groups);
  for (size_t i = 0; i < sources.size(); ++i)
    for (ReadPiece& piece : contents[i].pieces) {
      if (!piece.roll) continue;
      const bool ours = piece.split < 0;
      const int split = ours ? sides[group_of(i)][taken[group_of(i)]++] : piece.split;
      Piece used{printable(piece.name, piece.name.npos), std::move(piece.roll), std::move(piece.outside)};
      if (style_of[i] >= 0) {
        used.style.assign(settings.styles.size(), 0);
        used.style[style_of[i]] = 1;
      }
      if (ours && settings.split == Split::none) {
        corpus.valid.push_back(used);
        ++corpus.shared;
      }
      (split == 0 ? corpus.train : split == 1 ? corpus.valid : corpus.test).push_back(std::move(used));
    }
  return corpus;
}

}  // namespace poph
