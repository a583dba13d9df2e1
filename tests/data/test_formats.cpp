#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "data/reading/file_names.h"
#include "data/reading/left_out.h"
#include "data/reading/midi_bytes.h"
#include "data/reading/other_formats.h"
#include "tests/support/corpus_folder.h"
#include "tests/support/support.h"

// Music as people keep it: other endings, compressed, wrapped, behind links; and what is no MIDI at all.
using namespace poph;
using namespace poph::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> names(const Corpus& corpus) {
  std::vector<std::string> list;
  for (const auto& piece : corpus.train) list.push_back(piece.name);
  return list;
}

Corpus all_of(const std::vector<std::string>& sources) {
  CorpusSettings settings = corpus_of(sources);
  settings.held_out = 0;
  return load_corpus(settings);
}

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

Bytes rmi(const Bytes& midi, bool padded = false) {  // with a chunk in front that is not the music
  const auto le = [](size_t n) { return Bytes{uint8_t(n), uint8_t(n >> 8), uint8_t(n >> 16), uint8_t(n >> 24)}; };
  const Bytes info = padded ? bytes_of("INFO") + le(3) + Bytes{1, 2, 3, 0} : Bytes{};
  return bytes_of("RIFF") + le(info.size() + midi.size() + 12) + bytes_of("RMID") + info + bytes_of("data") +
         le(midi.size()) + midi;
}

const std::vector<std::string> sorted_names = {"a.kar", "b.RMI", "c.smf", "d.mid.gz", "e.rmi.gz", "f.midi"};

std::map<std::string, Bytes> every_kind() {
  return {{"a.kar", random_piece(1)},
          {"b.RMI", rmi(random_piece(2))},
          {"c.smf", random_piece(3)},
          {"d.mid.gz", gzipped(random_piece(4))},
          {"e.rmi.gz", gzipped(rmi(random_piece(5), true))},
          {"f.midi", random_piece(6)}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(formats)

BOOST_AUTO_TEST_CASE(every_kind_of_midi_file_is_read) {
  const Folder folder;
  std::vector<Entry> entries;
  for (const auto& [name, bytes] : every_kind()) {
    write_bytes(folder / ("music/" + name), bytes);
    entries.push_back({name, bytes});
    // Beside it what macOS puts there: no file, whatever it is called.
    for (const std::string& fork : {"__MACOSX/._" + name, "._" + name}) {
      write_bytes(folder / ("music/" + fork), Bytes{0, 5, 0x16, 7, 0, 2, 0, 0});
      entries.push_back({fork, Bytes{0, 5, 0x16, 7, 0, 2, 0, 0}});
    }
  }
  for (const char* kind : {"zip", "tar.gz"}) write_bytes(folder / joined("a.", kind), archive_of(kind, entries));
  for (const char* source : {"music", "a.zip", "a.tar.gz"}) {
    const Corpus corpus = all_of({folder / source});
    BOOST_TEST(names(corpus) == sorted_names, boost::test_tools::per_element());
    BOOST_TEST(corpus.files == 6);
    BOOST_TEST(corpus.skipped.empty());
    BOOST_TEST(corpus.damaged.empty());
    BOOST_TEST(corpus.remarks.empty());
    for (size_t i = 0; i < corpus.train.size(); ++i)
      BOOST_TEST((*corpus.train[i].roll == decode(parse_midi(random_piece(i + 1)), {})), sorted_names[i]);
  }
  // Each by itself, as `poph inspect` and primes have it.
  for (size_t i = 0; i < sorted_names.size(); ++i)
    BOOST_TEST(
        (decode(read_midi(folder / ("music/" + sorted_names[i])), {}) == decode(parse_midi(random_piece(i + 1)), {})));
}

BOOST_AUTO_TEST_CASE(copies_stay_on_one_side_compressed_or_not) {
  const Folder folder;
  for (int i = 0; i < 20; ++i) {
    write_bytes(folder / joined("music/", i, ".mid"), random_piece(i));
    write_bytes(folder / joined("music/copy of ", i, ".mid.gz"), gzipped(random_piece(i)));
  }
  CorpusSettings settings = corpus_of({folder / "music"});
  settings.held_out = 0.5;
  const Corpus corpus = load_corpus(settings);
  BOOST_TEST(corpus.valid.size() > 2u);
  for (const Piece& held_out : corpus.valid)
    for (const Piece& piece : corpus.train) BOOST_TEST(!(*held_out.roll == *piece.roll));
}

BOOST_AUTO_TEST_CASE(damaged_and_hostile_gzip) {
  const Folder folder;
  const Bytes whole = gzipped(random_piece(1, 4000));
  const auto read = [&](const Bytes& bytes) {
    write_bytes(folder / "x.mid.gz", bytes);
    return message_of([&] { read_midi(folder / "x.mid.gz"); });
  };
  BOOST_TEST(
      read(Bytes(whole.begin(), whole.begin() + 8)).ends_with("x.mid.gz: gzip: it is damaged and gives nothing"));
  const Bytes bomb = gzipped(Bytes(40'000'000));
  BOOST_TEST(read(bomb).ends_with(joined("x.mid.gz: gzip: its ", bomb.size(), " bytes expand to more than ",
                                         free_gzip_bytes + gzip_expansion * std::ssize(bomb))));
  write_bytes(folder / "music/cut.mid.gz", Bytes(whole.begin(), whole.end() - std::ssize(whole) / 2));
  write_bytes(folder / "music/good.mid", random_piece(2));
  const Corpus corpus = all_of({folder / "music"});
  BOOST_TEST(names(corpus) == (std::vector<std::string>{"cut.mid.gz", "good.mid"}), boost::test_tools::per_element());
  BOOST_REQUIRE_EQUAL(corpus.damaged.size(), 1u);
  BOOST_TEST(words(corpus.damaged[0].damage) == "the archive is damaged there");
  BOOST_TEST(corpus.train[0].roll->steps() > 100);
}

BOOST_AUTO_TEST_CASE(linked_folders_are_searched_once) {
  const Folder folder;
  const auto link = [&](const std::string& to, const std::string& name) {
    fs::create_directories((folder.path / name).parent_path());
    fs::create_directory_symlink(to, folder.path / name);
  };
  for (const char* name : {"music/own/a.mid", "elsewhere/b.mid", "elsewhere/deep/c.mid", "far/d.mid"})
    write_bytes(folder / name, random_piece(name[8]));
  link("own", "music/again");               // a folder that is found without it
  link(folder / "elsewhere", "music/one");  // one that is not, twice
  link("../elsewhere", "music/two");
  link(folder / "music", "music/own/loop");  // loops
  link(folder / "elsewhere", "elsewhere/deep/up");
  link(folder / "far", "elsewhere/deep/far");  // a link behind a link
  link("loop", "music/loop");                  // to itself
  link("/no/such/folder", "music/broken");
  const std::vector<std::string> found = {"one/b.mid", "one/deep/c.mid", "one/deep/far/d.mid", "own/a.mid"};
  const Corpus corpus = all_of({folder / "music"});
  BOOST_TEST(names(corpus) == found, boost::test_tools::per_element());
  BOOST_TEST(corpus.files == 4);
  BOOST_TEST(corpus.skipped.empty());
  // Folders of two sources are searched for the first of them.
  BOOST_TEST(names(all_of({folder / "elsewhere", folder / "music"})) ==
                 (std::vector<std::string>{"b.mid", "deep/c.mid", "deep/far/d.mid", "own/a.mid"}),
             boost::test_tools::per_element());
  BOOST_TEST(names(all_of({folder / "music", folder / "music/own"})) == found, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_is_no_midi_is_named) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"<?xml version=\"1.0\"?>\n<!DOCTYPE score-partwise PUBLIC \"-//Recordare//DTD MusicXML 3.1\">",
       "MusicXML; MuseScore makes MIDI of it: "},
      {"\xEF\xBB\xBF<?xml version='1.0'?>\n<score-partwise version=\"3.1\">", "MusicXML; MuseScore"},
      {std::string("PK\3\4", 4) + "..META-INF/container.xml", "compressed MusicXML; MuseScore"},
      {std::string("PK\3\4", 4) + "..score.mscx", "a score of MuseScore; MuseScore"},
      {"X:1\nT:Air\nK:D\nABcd", "ABC notation; abc2midi makes MIDI of it: abc2midi FILE"},
      {"% tunes\n\nX: 1\nT:Air", "ABC notation; abc2midi"},
      {"!!!COM: Bach\n**kern\t**kern", "Humdrum kern; hum2mid"},
      {"\\version \"2.24\"\n{ c }", "LilyPond; "},
      {"\x18"
       "FICHIER GUITAR PRO v5.00",
       "a tablature of Guitar Pro; "},
      {"RIFF....WAVEfmt ", "sound; a program that transcribes"},
      {"ID3\4", "sound; "},
      {"%PDF-1.7", "PDF; Audiveris"},
      {"<!DOCTYPE html><html>", "a web page; "},
      {std::string("PK\3\4", 4) + "..a.mid", "an archive; take the MIDI files out of it"},
      {std::string("\0\5\x16\7\0\2", 6), "a resource fork of macOS; the music is in the file whose name lacks the ._"},
  };
  const Folder folder;
  for (const auto& [text, wanted] : cases) {
    write_bytes(folder / "music/x.mid", bytes_of(text));
    const std::string message = corpus_error(corpus_of({folder / "music"})),
                      start = "expected the header chunk 'MThd'; this is ";
    BOOST_TEST(message.find(start + wanted) != std::string::npos, message);
    write_bytes(folder / "x", bytes_of(text));
    const std::string alone = message_of([&] { read_midi(folder / "x"); });
    BOOST_TEST(alone.starts_with((folder / "x") + ": midi: byte "), alone);
    BOOST_TEST(alone.find(start + wanted) != std::string::npos, alone);
  }
  BOOST_TEST(other_format(bytes_of("no music at all")) == "");
  BOOST_TEST(other_format({}) == "");
  BOOST_REQUIRE_EQUAL(mkfifo((folder / "pipe.mid").c_str(), 0600), 0);
  BOOST_TEST(message_of([&] { read_midi(folder / "pipe.mid"); }) ==
             (folder / "pipe.mid") + ": cannot be read: a pipe, not a regular file");
  BOOST_TEST(corpus_error(corpus_of({folder / "pipe.mid"})).ends_with("cannot be read: a pipe, not a regular file"));
}

BOOST_AUTO_TEST_CASE(music_that_is_not_read_is_counted) {
  const Folder folder;
  std::vector<Entry> entries;
  for (const char* name : {"a.musicxml", "b.MusicXML", "sub/c.mxl", "d.abc", "._e.abc", "readme.txt"}) {
    write_bytes(folder / joined("music/", name), bytes_of("x"));
    entries.push_back({name, bytes_of("x")});
  }
  const std::vector<std::string> lines = {
      "2 files of MusicXML are not read; MuseScore makes MIDI of it: mscore -o piece.mid FILE",
      "1 file of compressed MusicXML is not read; MuseScore makes MIDI of it: mscore -o piece.mid FILE",
      "1 file of ABC notation is not read; abc2midi makes MIDI of it: abc2midi FILE -o piece.mid"};
  write_bytes(folder / "a.zip", archive_of("zip", entries));
  BOOST_TEST(corpus_error(corpus_of({folder / "music"})) ==
             joined("data: folder ", folder / "music", ": found no MIDI files, expected some named ", midi_names, "; ",
                    lines[0], "; ", lines[1], "; ", lines[2]));
  BOOST_TEST(corpus_error(corpus_of({folder / "a.zip"})).ends_with(joined(midi_names, "; ", lines[0])));
  write_bytes(folder / "music/good.mid", random_piece(1));
  entries.push_back({"good.mid", random_piece(1)});
  write_bytes(folder / "a.zip", archive_of("zip", entries));
  for (const char* source : {"music", "a.zip"}) {
    const Corpus corpus = all_of({folder / source});
    std::vector<std::string> wanted;
    for (const std::string& line : lines) wanted.push_back((folder / source) + ": " + line);
    BOOST_TEST(corpus.remarks == wanted, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(what_is_left_out_in_words) {
  const RollSettings range{.lowest_note = 60, .notes = 12};
  BOOST_TEST(why_silent(0, 0, range) == "no note sounds");
  BOOST_TEST(why_silent(20, 0, range) == "all 20 notes are out of range (60 to 71)");
  BOOST_TEST(why_silent(0, 12, range) == "all 12 notes are percussion, on channel 10; data.percussion = true reads it");
  BOOST_TEST(why_silent(3, 12, range).starts_with("no note sounds: 3 are out of range (60 to 71), 12 are percussion"));
  BOOST_TEST(left_out(16, 0, 0, range).empty());
  BOOST_TEST(
      left_out(16, 12, 3, range) ==
          (std::vector<std::string>{"12 of 16 notes are out of range (60 to 71)",
                                    "3 of 16 notes are percussion, on channel 10; data.percussion = true reads it"}),
      boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
