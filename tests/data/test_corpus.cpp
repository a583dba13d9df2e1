#include <unistd.h>
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "data/music/chords.h"
#include "data/reading/corpus.h"
#include "data/reading/file_names.h"
#include "tensor/error.h"
#include "tests/support/midi_bytes.h"

using namespace poph;
using namespace poph::test;
namespace fs = std::filesystem;

namespace {

// A folder of its own for one test case.
struct Folder {
  fs::path path = fs::temp_directory_path() / joined("poph_corpus_", ::getpid(), "_", made++);
  static inline int made = 0;

  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }

  void write(const std::string& name, const Bytes& bytes) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
  }
  void write(const std::string& name, const std::string& text) const { write(name, Bytes(text.begin(), text.end())); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

Bytes random_piece(uint64_t seed, int64_t steps = 40) {
  Random random{seed};
  return encode(random_roll(random, steps, 48, 24));
}

CorpusSettings of(std::vector<std::string> sources) {
  CorpusSettings settings;
  settings.sources = std::move(sources);
  settings.threads = 2;
  return settings;
}

std::string message_of(const CorpusSettings& settings) {
  try {
    load_corpus(settings);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::vector<std::string> names(const std::vector<Piece>& pieces) {
  std::vector<std::string> list;
  for (const auto& piece : pieces) list.push_back(piece.name);
  return list;
}

std::string chord_message(const std::string& text) {
  try {
    parse_chords(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()), {});
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(corpus)

BOOST_AUTO_TEST_CASE(folders_are_searched_in_a_stable_order) {
  const Folder folder;
  for (const char* name : {"b.mid", "a/z.MID", "a/y.midi", "c/d/e.Mid"}) folder.write(name, random_piece(name[0]));
  folder.write("readme.txt", "no music");
  fs::create_directory_symlink(folder.path, folder.path / "c" / "loop");
  fs::create_directories(folder.path / "folder.mid");
  CorpusSettings settings = of({folder.path.string()});
  settings.held_out = 0;
  int64_t calls = 0, last = 0;
  settings.watch = [&](const ReadingProgress& now) { ++calls, last = now.files_in_all == 4 ? now.files : -1; };
  const Corpus corpus = load_corpus(settings);
  BOOST_TEST(names(corpus.train) == (std::vector<std::string>{"a/y.midi", "a/z.MID", "b.mid", "c/d/e.Mid"}),
             boost::test_tools::per_element());
  BOOST_TEST(corpus.valid.empty());
  BOOST_TEST(corpus.files == 4);
  BOOST_TEST(corpus.steps == 160);
  BOOST_TEST(calls == 4);
  BOOST_TEST(last == 4);
  // A list; a file that two sources name is read once.
  settings.watch = nullptr;
  settings.sources = {folder / "c", folder / "b.mid", folder / "c/d/../d/e.Mid"};
  const std::vector<std::string> found = {"d/e.Mid", "loop/a/y.midi", "loop/a/z.MID", "loop/b.mid"};
  BOOST_TEST(names(load_corpus(settings).train) == found, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_number_of_threads_changes_nothing) {
  const Folder folder;
  for (int i = 0; i < 60; ++i)
    folder.write(joined("piece", i, ".mid"), i % 7 == 3 ? Bytes(i, 'x') : random_piece(i, 20 + i));
  CorpusSettings settings = of({folder.path.string()});
  settings.threads = 1;
  const Corpus one = load_corpus(settings);
  BOOST_TEST(one.skipped.size() == 9u);
  for (int threads : {0, 2, 5, 100}) {
    settings.threads = threads;
    const Corpus many = load_corpus(settings);
    BOOST_TEST(many.fingerprint == one.fingerprint);
    BOOST_TEST(names(many.train) == names(one.train), boost::test_tools::per_element());
    BOOST_TEST(names(many.valid) == names(one.valid), boost::test_tools::per_element());
    for (size_t i = 0; i < one.train.size(); ++i) BOOST_TEST((*many.train[i].roll == *one.train[i].roll));
    BOOST_REQUIRE_EQUAL(many.skipped.size(), one.skipped.size());
    for (size_t i = 0; i < one.skipped.size(); ++i) BOOST_TEST(many.skipped[i].path == one.skipped[i].path);
  }
}

BOOST_AUTO_TEST_CASE(useless_files_are_skipped_with_a_reason) {
  const Folder folder;
  folder.write("a.mid", random_piece(1));
  folder.write("b.mid", "<html>");
  folder.write("c.mid", Bytes{});
  folder.write("d.mid", one_track(end_of_track));
  folder.write("e.mid", one_track({0, 0x90, 10, 9, 1, 10, 0, 0, 11, 9, 1, 11, 0}));
  fs::create_symlink("/no/such/file", folder.path / "f.mid");
  const Bytes whole = random_piece(2);
  folder.write("g.mid", Bytes(whole.begin(), whole.begin() + 9));
  const Corpus corpus = load_corpus(of({folder.path.string()}));
  BOOST_TEST(corpus.files == 7);
  BOOST_TEST(corpus.train.size() == 1u);
  std::map<std::string, std::string> reasons;
  for (const auto& skipped : corpus.skipped) {
    const std::string name = fs::path(skipped.path).filename().string();
    reasons[name] = skipped.reason;
    BOOST_TEST((skipped.damage == Damage::unreadable) == (name == "f.mid"));
  }
  BOOST_TEST(reasons.size() == 6u);
  BOOST_TEST(reasons["b.mid"] ==
             "midi: byte 0: found '<htm', expected the header chunk 'MThd'; this is a web page; was the download "
             "refused?");
  BOOST_TEST(reasons["c.mid"] == "midi: byte 0: found nothing, expected the header chunk 'MThd'");
  BOOST_TEST(reasons["d.mid"] == "no note sounds");
  BOOST_TEST(reasons["e.mid"] == "all 2 notes are out of range (36 to 83)");
  BOOST_TEST(reasons["f.mid"] == "cannot be read: No such file or directory");
  BOOST_TEST(reasons["g.mid"].starts_with("midi: byte 9: truncated"));
}

BOOST_AUTO_TEST_CASE(errors) {
  const Folder folder;
  fs::create_directories(folder.path / "empty");
  for (const char* name : {"x.json", "silent.mid"}) folder.write(name, one_track(end_of_track));
  BOOST_TEST(message_of(of({})) ==
             "data: found no source, expected a folder, a MIDI file, an archive or a chord .json");
  BOOST_TEST(message_of(of({"/no/such"})) == "data: /no/such: no such file or folder");
  BOOST_TEST(message_of(of({folder / "empty"})) ==
             "data: folder " + (folder / "empty") + ": found no MIDI files, expected some named " + midi_names);
  BOOST_TEST(message_of(of({folder / "silent.mid"})) ==
             "data: none of 1 files can be used; the first, " + (folder / "silent.mid") + ": no note sounds");
  BOOST_TEST(message_of(of({folder / "x.json"})) ==
             "data: " + (folder / "x.json") +
                 ": a chord file has no replays and volumes; set data.channels = [\"play\"]");
  CorpusSettings settings = of({folder / "silent.mid"});
  settings.roll.notes = 0;
  BOOST_TEST(message_of(settings).starts_with("roll: "));
  // An exception of the caller's watch reaches the caller, from whatever thread.
  for (int i = 0; i < 20; ++i) folder.write(joined(i, ".mid"), random_piece(i));
  settings = of({folder.path.string()});
  settings.watch = [](const ReadingProgress&) { fail("stop"); };
  BOOST_TEST(message_of(settings) == "stop");
}

BOOST_AUTO_TEST_CASE(the_split_is_by_content_and_seed) {
  const Folder folder, renamed;
  std::vector<Bytes> pieces;
  for (int i = 0; i < 40; ++i) {
    pieces.push_back(random_piece(i));
    folder.write(joined("p", i, ".mid"), pieces[i]);
    renamed.write(joined("q", (i * 17) % 40, ".mid"), pieces[i]);
  }
  const auto volumes = [](const std::vector<Piece>& list) {  // tells pieces apart, whatever their names
    std::multiset<double> sums;
    for (const auto& piece : list) sums.insert(piece.roll->volume_sum());
    return sums;
  };
  std::set<std::multiset<double>> different;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    CorpusSettings settings = of({folder.path.string()});
    settings.seed = seed;
    settings.held_out = 0.1;
    const Corpus corpus = load_corpus(settings);
    BOOST_TEST(corpus.valid.size() == 4u);
    BOOST_TEST(corpus.train.size() == 36u);
    different.insert(volumes(corpus.valid));
    settings.sources = {renamed.path.string()};
    const Corpus other = load_corpus(settings);
    BOOST_TEST((volumes(other.valid) == volumes(corpus.valid)));
    BOOST_TEST(other.fingerprint == corpus.fingerprint);
  }
  BOOST_TEST(different.size() == 8u);
  // How many: rounded, at least one, never all.
  for (const auto& [share, want] : std::map<double, size_t>{{0, 0}, {0.001, 1}, {0.05, 2}, {0.26, 10}, {0.999, 39}}) {
    CorpusSettings settings = of({folder.path.string()});
    settings.held_out = share;
    BOOST_TEST(load_corpus(settings).valid.size() == want);
  }
  CorpusSettings settings = of({folder.path.string()});
  settings.held_out = 1;
  BOOST_TEST(message_of(settings) == "data: a share of 1 held out, expected 0 or more and less than 1");
}

BOOST_AUTO_TEST_CASE(copies_stay_on_one_side) {
  const Folder folder;
  for (int i = 0; i < 30; ++i) folder.write(joined(i, ".mid"), random_piece(i % 10, 30));
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CorpusSettings settings = of({folder.path.string()});
    settings.seed = seed;
    settings.held_out = seed % 2 ? 0.3 : 0.01;  // nine pieces, or one: then the least there is, three copies
    const Corpus corpus = load_corpus(settings);
    BOOST_TEST(corpus.valid.size() == (seed % 2 ? 9u : 3u));
    for (const auto& v : corpus.valid)
      for (const auto& t : corpus.train) BOOST_TEST(!(*v.roll == *t.roll));
  }
  const Folder same;
  for (int i = 0; i < 3; ++i) same.write(joined(i, ".mid"), random_piece(1));
  BOOST_TEST(load_corpus(of({same.path.string()})).valid.empty());
  BOOST_TEST(load_corpus(of({same / "0.mid"})).valid.empty());
}

BOOST_AUTO_TEST_CASE(without_a_split_valid_is_train) {
  const Folder folder;
  for (int i = 0; i < 5; ++i) folder.write(joined(i, ".mid"), random_piece(i));
  CorpusSettings settings = of({folder.path.string()});
  settings.split = Split::none;
  const Corpus corpus = load_corpus(settings);
  BOOST_TEST(names(corpus.train).size() == 5u);
  BOOST_TEST(names(corpus.train) == names(corpus.valid), boost::test_tools::per_element());
  BOOST_TEST(corpus.train[0].roll == corpus.valid[0].roll);  // the same memory, counted once
  BOOST_TEST(corpus.steps == 200);
  BOOST_TEST(corpus.shared == 5);
  settings.split = Split::share;
  settings.held_out = 0;
  BOOST_TEST(load_corpus(settings).bytes() == corpus.bytes());
}

BOOST_AUTO_TEST_CASE(the_fingerprint_knows_settings_and_contents) {
  const Folder folder;
  folder.write("a.mid", random_piece(1));
  folder.write("b.mid", random_piece(2));
  CorpusSettings settings = of({folder.path.string()});
  const std::string first = load_corpus(settings).fingerprint;
  BOOST_TEST(first.size() == 16u);
  settings.seed = 9;
  settings.held_out = 0;
  BOOST_TEST(load_corpus(settings).fingerprint == first);
  settings.roll.notes = 47;
  BOOST_TEST(load_corpus(settings).fingerprint != first);
  settings.roll = {};
  folder.write("c.mid", "not music");
  BOOST_TEST(load_corpus(settings).fingerprint == first);
  folder.write("c.mid", random_piece(2));
  BOOST_TEST(load_corpus(settings).fingerprint != first);
}

BOOST_AUTO_TEST_CASE(memory_is_a_fraction_of_the_dense_rolls) {
  // As much music as the Mozart folder, 324,073 steps, four notes sounding: 4.7 GB as windows of doubles.
  const Folder folder;
  std::vector<Cell> cells(48);
  for (int i = 0; i < 30; ++i) {
    Random random{static_cast<uint64_t>(i)};
    Roll roll(36, 48);
    for (int step = 0; step < 10802; ++step) {
      std::fill(cells.begin(), cells.end(), Cell{0});
      for (int voice = 0; voice < 4; ++voice)
        cells[12 * voice + random.below(12)] = static_cast<Cell>(1 + random.below(127));
      roll.append(cells);
    }
    folder.write(joined(i, ".mid"), encode(roll));
  }
  const Corpus corpus = load_corpus(of({folder.path.string()}));
  BOOST_TEST(corpus.steps > 324000);
  BOOST_TEST(corpus.bytes() < 5'000'000);
}

BOOST_AUTO_TEST_CASE(chord_files) {
  const Folder folder;
  folder.write("c.json",
               R"({"valid": [[[60], []]], "train": [[[60, 64], [], [36, 83, 83], [35, 84, 61.0]], [], [[20]], [[40]]],)"
               R"( "test": [[[], [50]]]})");
  CorpusSettings settings = of({folder / "c.json"});
  settings.channels = 1;
  const Corpus corpus = load_corpus(settings);
  BOOST_TEST(names(corpus.train) == (std::vector<std::string>{"c.json train[0]", "c.json train[3]"}),
             boost::test_tools::per_element());
  BOOST_TEST(names(corpus.valid) == std::vector<std::string>{"c.json valid[0]"}, boost::test_tools::per_element());
  BOOST_TEST(names(corpus.test) == std::vector<std::string>{"c.json test[0]"}, boost::test_tools::per_element());
  const Roll& first = *corpus.train[0].roll;
  BOOST_TEST(first.steps() == 4);
  BOOST_TEST(first.sounding_cells() == 5);
  for (const auto& [step, pitch] : std::vector<std::pair<int, int>>{{0, 60}, {0, 64}, {2, 36}, {2, 83}, {3, 61}})
    BOOST_TEST(int{first.cell(step, pitch - 36)} == int{chord_velocity});
  BOOST_TEST(corpus.valid[0].roll->steps() == 2);  // silent steps stay, at the end and at the start
  BOOST_TEST(corpus.test[0].roll->steps() == 2);
  BOOST_TEST(corpus.dropped_notes == 2);
  BOOST_TEST(corpus.steps == 9);
  BOOST_REQUIRE_EQUAL(corpus.skipped.size(), 2u);
  BOOST_TEST(corpus.skipped[0].path == (folder / "c.json train[1]"));
  BOOST_TEST(corpus.skipped[0].reason == "no note sounds");
  BOOST_TEST(corpus.skipped[1].reason == "all 1 notes are out of range (36 to 83)");
  BOOST_TEST(corpus.skipped_files() == 0);                                  // the file itself was read
  BOOST_TEST(decode(parse_midi(encode(first)), {}).sounding_cells() == 5);  // play alone can be written, too
}

BOOST_AUTO_TEST_CASE(chord_file_faults) {
  BOOST_TEST(chord_message("[]") == "chords: found an array, expected an object of splits");
  BOOST_TEST(chord_message("7") == "chords: found the number 7, expected an object of splits");
  BOOST_TEST(chord_message(R"({"train": {}})") == "chords: train: found an object, expected a list of pieces");
  BOOST_TEST(chord_message(R"({"train": [5]})") ==
             "chords: train: found the number 5, expected a piece, which is a list of steps");
  BOOST_TEST(chord_message(R"({"valid": [[], [null]]})") ==
             "chords: valid piece 1: found null, expected a step, which is a list of notes");
  BOOST_TEST(chord_message(R"({"valid": [[[60], [61, "x"]]]})") ==
             "chords: valid piece 0, step 1: found a string, expected a MIDI note of 0 to 127");
  BOOST_TEST(chord_message(R"({"test": [[[-1]]]})") ==
             "chords: test piece 0, step 0: found the number -1, expected a MIDI note of 0 to 127");
  BOOST_TEST(
      chord_message(R"({"test": [[[128]]]})").ends_with("found a number above 127, expected a MIDI note of 0 to 127"));
  BOOST_TEST(
      chord_message(R"({"test": [[[60.5]]]})").ends_with("found the number 60.5, expected a MIDI note of 0 to 127"));
  BOOST_TEST(
      chord_message(R"({"test": [[[1e300]]]})").ends_with("found the number 1e300, expected a MIDI note of 0 to 127"));
  BOOST_TEST(chord_message(R"({"test": [[[[60]]]]})").ends_with("found an array, expected a MIDI note of 0 to 127"));
  BOOST_TEST(chord_message(R"({"dev": []})") == "chords: found the key 'dev', expected train, valid or test");
  BOOST_TEST(chord_message(R"({"test": [], "test": []})") == "chords: the key 'test' is there twice");
  BOOST_TEST(chord_message(R"({"test": [[[60)").starts_with("chords: byte "));
  BOOST_TEST(chord_message("").starts_with("chords: byte 1: not JSON: parse error at line 1, column 1"));
  BOOST_TEST(chord_message(std::string(1000000, '[')) == "chords: found an array, expected an object of splits");
  BOOST_TEST(chord_message(R"({"test":)" + std::string(1000000, '[')).ends_with("expected a MIDI note of 0 to 127"));
  const Folder folder;
  folder.write("bad.json", "{");
  folder.write("none.json", R"({"train": []})");
  CorpusSettings settings = of({folder / "bad.json"});
  settings.channels = 1;
  BOOST_TEST(message_of(settings).starts_with("data: " + (folder / "bad.json") + ": chords: byte "));
  settings.sources = {folder / "none.json"};
  BOOST_TEST(message_of(settings) ==
             "data: " + (folder / "none.json") + ": found no pieces, expected some under train, valid or test");
}

BOOST_AUTO_TEST_SUITE_END()
