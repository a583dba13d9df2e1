#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "data/reading/file_names.h"
#include "tests/support/corpus_folder.h"

using namespace poph;
using namespace poph::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> names(const std::vector<Piece>& pieces) {
  std::vector<std::string> list;
  for (const auto& piece : pieces) list.push_back(piece.name);
  return list;
}

std::vector<Entry> entries_of(const std::map<std::string, Bytes>& files, bool backwards) {
  std::vector<Entry> entries;
  for (const auto& [name, bytes] : files) entries.push_back({name, bytes});
  if (backwards) std::reverse(entries.begin(), entries.end());
  return entries;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sources)

// The form for 100,000 files is tests/corpora/check_alone.
BOOST_AUTO_TEST_CASE(an_archive_is_read_as_its_files_alone) {
  const Folder folder;
  const auto files = mixed_files(300);
  for (const auto& [name, bytes] : files) write_bytes(folder / ("music/" + name), bytes);
  const std::string music = folder / "music", fresh = described(load_corpus(corpus_of({music})), music);
  for (const std::string kind : {"tar.gz", "zip"})
    for (const bool backwards : {false, true}) {
      const std::string archive = folder / ("a." + kind);
      write_bytes(archive, archive_of(kind, entries_of(files, backwards)));
      for (const int threads : {1, 2, 5}) {
        CorpusSettings settings = corpus_of({archive});
        settings.threads = threads;
        BOOST_TEST(described(load_corpus(settings), archive) == fresh);
      }
    }
  // Each by itself, with nothing that an earlier file could have left behind.
  CorpusSettings settings = corpus_of({folder / "a.zip"});
  settings.held_out = 0;
  const Corpus corpus = load_corpus(settings);
  std::map<std::string, std::shared_ptr<const Roll>> rolls;
  for (const auto& piece : corpus.train) rolls[piece.name] = piece.roll;
  size_t alone = 0;
  for (const auto& [name, bytes] : files) {
    Roll roll;
    try {
      roll = decode(parse_midi(bytes), {});
    } catch (const Error&) {
    }
    BOOST_TEST(rolls.contains(name) == (roll.sounding_cells() > 0), name);
    if (!rolls.contains(name)) continue;
    BOOST_TEST((*rolls[name] == roll));
    ++alone;
  }
  BOOST_TEST(alone > 200u);
  BOOST_TEST(alone == rolls.size());
  BOOST_TEST(corpus.damaged.size() > 50u);
  BOOST_TEST(corpus.skipped.size() > 30u);
}

BOOST_AUTO_TEST_CASE(archives_stand_beside_other_sources) {
  const Folder folder;
  write_bytes(folder / "a.tgz", archive_of("tar.gz", {{"b\x1B[2J.mid", random_piece(1)}, {"a.mid", random_piece(2)}}));
  write_bytes(folder / "c.mid", random_piece(3));
  CorpusSettings settings = corpus_of({folder / "c.mid", folder / "a.tgz", folder / "a.tgz"});
  settings.held_out = 0;
  std::vector<ReadingProgress> seen;
  settings.watch = [&](const ReadingProgress& now) { seen.push_back(now); };
  const Corpus corpus = load_corpus(settings);
  BOOST_TEST(names(corpus.train) == (std::vector<std::string>{"c.mid", "a.mid", "b\\x1b[2J.mid"}),
             boost::test_tools::per_element());
  BOOST_TEST(corpus.files == 3);
  BOOST_REQUIRE_EQUAL(seen.size(), 3u);
  BOOST_TEST(seen[0].files_in_all == 1);
  BOOST_TEST(seen[2].files == 2);
  BOOST_TEST(seen[2].source == "a.tgz");
  BOOST_TEST(seen[2].bytes == seen[2].bytes_in_all);
  BOOST_TEST(seen[2].bytes == static_cast<int64_t>(fs::file_size(folder / "a.tgz")));
  // An exception of the watch comes out, whatever threads wait.
  settings.watch = [](const ReadingProgress&) { fail("stop"); };
  BOOST_TEST(corpus_error(settings) == "stop");
  write_bytes(folder / "bare.zip", archive_of("zip", {{"readme.txt", {1}}}));
  BOOST_TEST(corpus_error(corpus_of({folder / "bare.zip"})) ==
             "data: archive " + (folder / "bare.zip") + ": found no MIDI files, expected some named " + midi_names);
  const Bytes whole = archive_of("tar", {{"a.mid", random_piece(2)}, {"b.mid", random_piece(3)}});
  write_bytes(folder / "cut.tar", Bytes(whole.begin(), whole.begin() + 800));
  BOOST_TEST(corpus_error(corpus_of({folder / "cut.tar"}))
                 .starts_with("data: none of 1 files can be used; the first, " + (folder / "cut.tar/a.mid")));
}

BOOST_AUTO_TEST_CASE(large_files_are_skipped_everywhere) {
  const Folder folder;
  const Bytes large = random_piece(1, 400), small = random_piece(2, 20);
  write_bytes(folder / "music/large.mid", large);
  write_bytes(folder / "music/small.mid", small);
  write_bytes(folder / "a.tar", archive_of("tar", {{"large.mid", large}, {"small.mid", small}}));
  for (const std::string& source : {folder / "music", folder / "a.tar"}) {
    CorpusSettings settings = corpus_of({source});
    settings.max_file_bytes = std::ssize(large) - 1;
    const Corpus corpus = load_corpus(settings);
    BOOST_REQUIRE_EQUAL(corpus.skipped.size(), 1u);
    BOOST_TEST(corpus.skipped[0].path == source + "/large.mid");
    BOOST_TEST(words(corpus.skipped[0].damage) == "too large");
    settings.max_file_bytes = std::ssize(large);
    BOOST_TEST(load_corpus(settings).skipped.empty());
  }
}

BOOST_AUTO_TEST_CASE(split_by_the_first_hex_digit) {
  const std::vector<SplitPiece> pieces = {{1, "lmd/0/0a.mid"}, {2, "e1.mid"},  {3, "x/E9.mid"},
                                          {4, "f.mid"},        {5, "F0"},      {6, "a/d.mid"},
                                          {2, "copies/9.mid"}, {4, "eee.mid"}, {3, "fff.mid"}};
  BOOST_TEST(split_pieces(pieces, Split::first_hex_digit, 0.5, 1) == (std::vector<int>{0, 0, 1, 1, 2, 0, 0, 1, 1}),
             boost::test_tools::per_element());
  std::vector<SplitPiece> other(pieces.rbegin(), pieces.rend());
  BOOST_TEST(split_pieces(other, Split::first_hex_digit, 0.5, 7) == (std::vector<int>{1, 1, 0, 0, 2, 1, 1, 0, 0}),
             boost::test_tools::per_element());
  for (const char* name : {"gavotte.mid", "0/waltz.mid", "", "0/"})
    BOOST_CHECK_EXCEPTION(split_pieces({{1, name}}, Split::first_hex_digit, 0, 1), Error, [&](const Error& error) {
      return error.what() == joined("data.split = \"first_hex_digit\": found the file ", name,
                                    ", expected names that begin with a hexadecimal digit, as Lakh's do");
    });
  BOOST_TEST(split_pieces(pieces, Split::none, 0.5, 1) == std::vector<int>(9, 0), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(kinds_of_damage) {
  const Bytes good = one_track(Bytes{0, 0x90, 60, 9, 4, 60, 0} + end_of_track);
  const auto with = [&](size_t at, Bytes bytes) {
    Bytes file = good;
    std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
    return file;
  };
  const Bytes longest = {0xFF, 0xFF, 0xFF, 0x7F};
  const std::vector<std::pair<std::string, Bytes>> cases = {
      {"", good},
      {"empty files", {}},
      {"no MIDI header: HTML, text, another format", Bytes(40, '<')},
      {"cut off within the header", Bytes(good.begin(), good.begin() + 11)},
      {"a format above 2", with(8, {0, 3})},
      {"division 0", with(12, {0, 0})},
      {"an SMPTE division of an unknown frame rate", with(12, {0x80, 4})},
      {"no track", Bytes(good.begin(), good.begin() + 14)},
      {"nothing sounds", one_track(end_of_track)},
      {"all notes out of range", with(24, {3, 9, 4, 3})},
      {"absurd times: notes beyond the longest piece", one_track(Bytes{0, 0x90, 60, 9} + longest + Bytes{60, 0})},
      {"a data byte above 0x7f", with(25, {0x85})},
      {"a data byte without a status before it", one_track({0, 60, 9, 0, 0xFF, 0x2F, 0})},
      {"a delta time or length of more than 4 bytes",
       one_track(Bytes{0, 0x90, 60, 9, 4, 60, 0} + Bytes(5, 0x80) + end_of_track)},
      {"a wrong chunk length", with(18, {0, 0, 9, 9})},
      {"a wrong number of tracks", with(10, {0, 9})},
      {"a track without an end-of-track event", one_track({0, 0x90, 60, 9, 4, 60, 0})},
      {"the file is cut off within a track", Bytes(good.begin(), good.end() - 3)},
      {"a RIFF wrapper", Bytes{'R', 'I', 'F', 'F', 1, 2, 3, 4} + good},
      {"bytes before the header", Bytes{1, 2, 3} + good},
      {"bytes between or behind the chunks", good + Bytes{0, 0, 0}},
      {"an undefined status", one_track({0, 0x90, 60, 9, 4, 0xF4, 0, 0xFF, 0x2F, 0})},
  };
  const Folder folder;
  std::vector<Entry> entries;
  for (size_t i = 0; i < cases.size(); ++i) entries.push_back({joined(i + 100, ".mid"), cases[i].second});
  entries.push_back({"200.mid", {}, AE_IFLNK, "", "100.mid"});
  entries.push_back({"201.mid", {}, AE_IFIFO});
  write_bytes(folder / "a.tar", archive_of("tar", entries));
  const Corpus corpus = load_corpus(corpus_of({folder / "a.tar"}));
  std::map<std::string, std::string> kinds;
  for (const auto* list : {&corpus.skipped, &corpus.damaged})
    for (const auto& file : *list) kinds[fs::path(file.path).filename().string()] = words(file.damage);
  for (size_t i = 0; i < cases.size(); ++i) BOOST_TEST(kinds[joined(i + 100, ".mid")] == cases[i].first);
  BOOST_TEST(kinds["200.mid"] == "links in an archive");
  BOOST_TEST(kinds["201.mid"] == "devices and pipes in an archive");
}

BOOST_AUTO_TEST_CASE(rolls_packed_and_unpacked) {
  Random random{3};
  for (const int64_t notes : {1, 7, 8, 9, 48, 64, 65, 88, 128})
    for (const int64_t steps : {1, 2, 63}) {
      const Roll roll = random_roll(random, steps, 0, notes);
      BOOST_TEST((Roll::from_packed(0, notes, roll.packed_play(), roll.packed_cells()) == roll));
    }
  BOOST_TEST((Roll::from_packed(3, 9, {}, {}) == Roll(3, 9)));
  const Roll roll = random_roll(random, 20, 0, 12);
  const Bytes play(roll.packed_play().begin(), roll.packed_play().end());
  const Bytes cells(roll.packed_cells().begin(), roll.packed_cells().end());
  const auto refused = [&](Bytes wrong_play, Bytes wrong_cells) {
    BOOST_CHECK_THROW(Roll::from_packed(0, 12, wrong_play, wrong_cells), Error);
  };
  refused(Bytes(play.begin(), play.end() - 1), cells);
  refused(play, Bytes(cells.begin(), cells.end() - 1));
  refused(play, cells + Bytes{9});
  Bytes other = play;
  other[1] |= 0x10;  // note 12 of 12
  refused(other, cells + Bytes{9});
  Bytes silent = cells;
  silent[3] = replay_bit;
  refused(play, silent);
}

BOOST_AUTO_TEST_SUITE_END()
