#include "experiments/compose/given.h"

#include <boost/test/unit_test.hpp>

#include "data/files/file.h"
#include "data/measures/scales.h"
#include "tests/support/folder.h"
#include "tests/support/midi_bytes.h"
#include "tests/support/support.h"

using namespace poph;
using namespace poph::test;

namespace {

// Notes 60 to 71 in steps of a sixteenth.
Roll roll_of(const std::vector<std::vector<Cell>>& steps, std::vector<MeterChange> meters = {}) {
  Roll roll(60, 12);
  for (const std::vector<Cell>& notes : steps) {
    std::vector<Cell> cells(12);
    for (const Cell note : notes) cells[(note & velocity_bits) - 60] = static_cast<Cell>(70 | (note & replay_bit));
    roll.append(cells);
  }
  roll.set_meters(std::move(meters));
  return roll;
}
constexpr Cell again(Cell note) { return note | replay_bit; }

struct Files {
  Folder folder;
  Config config;

  Files() {
    config.data.lowest_note = 60;
    config.data.notes = 12;
    config.generate.bars = 2;
  }
  std::string write(const std::string& name, const Roll& roll) const {
    const std::vector<uint8_t> bytes = encode(roll);
    write_plainly(folder / name, {bytes.begin(), bytes.end()});
    return folder / name;
  }
  // Cells of a step: '.' free, '-' silent, 'o' struck, '=' held; from the lowest note up.
  static std::string cells(const Given& given, int64_t step) {
    std::string text;
    for (int64_t n = 0; n < 12; ++n) {
      const FixedCell cell = given.constraint->at(step, n);
      text += cell.play == Play::free ? '.' : cell.play == Play::silent ? '-' : cell.struck ? 'o' : '=';
    }
    return text;
  }
  std::string error() const {
    std::string message = message_of([&] { read_given(config); });
    for (size_t at; (at = message.find(folder.path.string() + "/")) != message.npos;)
      message.erase(at, folder.path.string().size() + 1);
    return message;
  }
  std::string said(bool as_long_as_given = false) const {
    std::string all;
    for (const std::string& line : read_given(config, as_long_as_given).said) all += line + "\n";
    for (size_t at; (at = all.find(folder.path.string() + "/")) != all.npos;)
      all.erase(at, folder.path.string().size() + 1);
    return all;
  }
};

// Two voices, a repeated note and a rest. Where the upper voice ends, the highest note is one that is held.
Roll tune() { return roll_of({{60, 67}, {60, 67}, {60, again(67)}, {60}, {}, {62, 65}}); }

}  // namespace

BOOST_AUTO_TEST_SUITE(conditions)

BOOST_AUTO_TEST_CASE(a_melody_is_what_is_highest_and_a_bass_what_is_lowest) {
  Files files;
  files.config.generate.melody = files.write("tune.mid", tune());
  const Given melody = read_given(files.config);
  const std::vector<std::string> expected{".......o----", ".......=----", ".......o----",
                                          "=-----------", "............", ".....o------"};
  for (int64_t s = 0; s < 6; ++s) BOOST_TEST(Files::cells(melody, s) == expected[s]);
  BOOST_TEST(Files::cells(melody, 6) == "............");
  BOOST_TEST(melody.constraint->at(0, 7).velocity == 70);
  BOOST_TEST(melody.said.empty());
  files.config.generate.melody.clear();
  files.config.generate.bass = files.write("tune.mid", tune());
  const Given bass = read_given(files.config);
  const std::vector<std::string> below{"o...........", "=...........", "=...........",
                                       "=...........", "............", "--o........."};
  for (int64_t s = 0; s < 6; ++s) BOOST_TEST(Files::cells(bass, s) == below[s]);
  BOOST_TEST(bass.constraint->steps() == 16);  // of 32: the bar in which the file ends
}

// Each gives a note its stroke and its velocity: bars that are kept, then the melody, then the bass.
BOOST_AUTO_TEST_CASE(where_files_agree_the_first_one_counts) {
  Files files;
  Roll loud(60, 12), soft = loud;
  std::vector<Cell> cells(12);
  for (int64_t s = 0; s < 32; ++s) {
    cells[4] = 100;
    loud.append(cells);
    cells[4] = static_cast<Cell>(30 | (s % 2 ? replay_bit : 0));
    soft.append(cells);
  }
  const auto first = [&] { return read_given(files.config).constraint->at(17, 4); };
  files.config.generate.bass = files.write("soft.mid", soft);
  BOOST_TEST((first() == FixedCell{Play::sounds, true, 30}));
  files.config.generate.melody = files.write("loud.mid", loud);
  BOOST_TEST((first() == FixedCell{Play::sounds, false, 100}));
  files.config.generate.keep = files.folder / "soft.mid";
  files.config.generate.keep_bars = "1";
  BOOST_TEST((first() == FixedCell{Play::sounds, false, 100}));
  files.config.generate.keep_bars = "2";
  BOOST_TEST((first() == FixedCell{Play::sounds, true, 30}));
}

BOOST_AUTO_TEST_CASE(conditions_that_fix_nothing_are_said) {
  Files files;
  files.config.generate.scale = "C C# D D# E F F# G G# A A# B";
  files.config.generate.most_notes = 12;
  BOOST_TEST(!read_given(files.config).constraint);
  BOOST_TEST(files.said() ==
             "scale C C# D D# E F F# G G# A A# B, at most 12 notes at once: this leaves all 12 notes free\n");
  std::vector<std::vector<Cell>> late(40);
  late[39] = {64};
  files.config.generate.melody = files.write("late.mid", roll_of(late));
  BOOST_TEST(!read_given(files.config).constraint);
  files.config.generate.bars = 3;
  BOOST_TEST(read_given(files.config).constraint);
  files.config.generate.keep = files.folder / "late.mid";
  files.config.generate.keep_bars = "1,3";
  BOOST_TEST(conditions_text(files.config.generate) ==
             "melody late.mid, bars 1,3 of late.mid, scale C C# D D# E F F# G G# A A# B, at most 12 notes at once");
}

BOOST_AUTO_TEST_CASE(bars_are_kept_whole) {
  Files files;
  std::vector<std::vector<Cell>> steps(36);
  for (int64_t s = 14; s < 20; ++s) steps[s] = {64};
  steps[34] = {65};
  files.config.generate.keep = files.write("tune.mid", roll_of(steps));
  files.config.generate.keep_bars = "2";
  files.config.generate.bars = 3;
  const Given given = read_given(files.config);
  BOOST_TEST(Files::cells(given, 15) == "............");
  BOOST_TEST(Files::cells(given, 16) == "----=-------");
  BOOST_TEST(Files::cells(given, 20) == "------------");
  BOOST_TEST(Files::cells(given, 31) == "------------");
  BOOST_TEST(Files::cells(given, 32) == "............");
  files.config.generate.keep_bars = "1,3";
  BOOST_TEST(Files::cells(read_given(files.config), 14) == "----o-------");
  BOOST_TEST(Files::cells(read_given(files.config), 34) == "-----o------");
  BOOST_TEST(Files::cells(read_given(files.config), 47) == "------------");  // the rest of the file's last bar
  BOOST_TEST(Files::cells(read_given(files.config), 48) == "............");
  files.config.generate.keep_bars = "2-4";
  BOOST_TEST(files.error() == "generate.keep_bars: bar 4 is beyond the 3 bars that are composed");
  files.config.generate.bars = 4;
  BOOST_TEST(files.error() == "generate.keep_bars: bar 4 is not in tune.mid, which has 3 bars");
}

BOOST_AUTO_TEST_CASE(conditions_combine_and_contradictions_are_named) {
  Files files;
  std::vector<std::vector<Cell>> high(20, {67}), low(20, {60});
  files.config.generate.melody = files.write("high.mid", roll_of(high));
  files.config.generate.bass = files.write("low.mid", roll_of(low));
  files.config.generate.scale = "C E G";
  files.config.generate.most_notes = 2;
  const Given all = read_given(files.config);
  BOOST_TEST(Files::cells(all, 3) == "=---.--=----");
  BOOST_TEST(Files::cells(all, 25) == ".---.--.----");
  BOOST_TEST(all.constraint->most_notes == 2);
  files.config.generate.most_notes = 1;
  BOOST_TEST(files.error() == "generate.most_notes = 1: bar 1: 2 notes are given at once");
  files.config.generate.most_notes = 0;
  high[18] = {66};
  files.config.generate.melody = files.write("high.mid", roll_of(high));
  BOOST_TEST(files.error() == "generate.melody: bar 2: F#4 (MIDI 66) is not in the scale C E G");
  files.config.generate.scale.clear();
  low[17] = {70};
  files.config.generate.bass = files.write("low.mid", roll_of(low));
  BOOST_TEST(files.error() ==
             "generate.melody and generate.bass: bar 2: Bb4 (MIDI 70) is silent in the first and sounds in the second");
}

BOOST_AUTO_TEST_CASE(what_of_a_file_cannot_count_is_said) {
  Files files;
  files.config.generate.melody = files.folder / "gone.mid";
  BOOST_TEST(files.error() == "generate.melody: gone.mid: cannot be read: No such file or directory");
  Roll other(50, 20);
  std::vector<Cell> cells(20);
  cells[2] = cells[12] = 70;
  for (int64_t s = 0; s < 40; ++s) other.append(cells);
  files.config.generate.melody = files.write("wide.mid", other);
  BOOST_TEST(files.said() ==
             "melody: wide.mid: 1 of 2 notes are out of range (60 to 71)\n"
             "melody: wide.mid: it has 3 bars, and the last 1 are beyond the 2 that are composed\n");
  BOOST_TEST(files.said(true) == "melody: wide.mid: 1 of 2 notes are out of range (60 to 71)\n");
  BOOST_TEST(layout_of(files.config, read_given(files.config, true)).steps == 48);
  Roll fine(60, 12);  // of 8 steps a quarter note
  for (int64_t s = 0; s < 16; ++s) {
    std::vector<Cell> one(12);
    one[s % 3] = 70;
    fine.append(one);
  }
  const std::vector<uint8_t> bytes = encode(fine, {.steps_per_quarter = 8});
  write_plainly(files.folder / "fine.mid", {bytes.begin(), bytes.end()});
  files.config.generate.melody = files.folder / "fine.mid";
  BOOST_TEST(files.said() ==
             "melody: fine.mid: 8 of 16 notes begin between two steps, of which there are 4 a quarter note: they are "
             "moved to a step\n");
  cells = std::vector<Cell>(20);
  cells[1] = 70;
  other.append(cells);
  Roll low(50, 20);
  low.append(cells);
  files.config.generate.melody = files.write("low.mid", low);
  BOOST_TEST(files.error() == "generate.melody: low.mid: all 1 notes are out of range (60 to 71)");
}

BOOST_AUTO_TEST_CASE(the_meter_is_that_of_the_files) {
  Files files;
  const std::vector<std::vector<Cell>> steps(24, {64});
  files.config.generate.melody = files.write("waltz.mid", roll_of(steps, {{0, {3, 4}}}));
  const Layout waltz = layout_of(files.config, read_given(files.config));
  BOOST_TEST((waltz.meters == std::vector<MeterChange>{{0, {3, 4}}}));
  BOOST_TEST(waltz.steps == 24);
  files.config.generate.prime = files.write("prime.mid", roll_of(std::vector<std::vector<Cell>>(16, {64})));
  const Layout behind = layout_of(files.config, read_given(files.config));
  BOOST_TEST((behind.meters == std::vector<MeterChange>{{16, {3, 4}}}));
  BOOST_TEST(behind.steps == 24);
  // A file without a meter goes on in that of the prime, and begins a bar.
  const Bytes plain = one_track(Bytes{0, 0x90, 64, 70, 20, 0x80, 64, 0} + end_of_track);
  write_plainly(files.folder / "plain.mid", {plain.begin(), plain.end()});
  files.config.generate.melody = files.folder / "plain.mid";
  const std::vector<std::vector<Cell>> short_bar(13, {64});
  files.config.generate.prime = files.write("prime.mid", roll_of(short_bar, {{0, {3, 4}}}));
  const Layout in_three = layout_of(files.config, read_given(files.config));
  BOOST_TEST((in_three.meters == std::vector<MeterChange>{{0, {3, 4}}, {13, {3, 4}}}));
  BOOST_TEST(in_three.steps == 24);
  BOOST_TEST(layout_of(files.config, read_given(files.config, true)).steps == 24);
  files.config.generate.melody = files.folder / "waltz.mid";
  files.config.generate.bass = files.write("march.mid", roll_of(steps, {{0, {2, 4}}}));
  BOOST_TEST(files.error() ==
             "generate.melody and generate.bass: their time signatures differ: data.meter = \"4/4\" ignores them");
}

BOOST_AUTO_TEST_CASE(given_notes_have_a_track_of_their_own) {
  Files files;
  files.config.generate.melody = files.write("tune.mid", tune());
  const Given given = read_given(files.config);
  const Roll piece = roll_of({{64}, {60, 67, 64}, {60, 67}, {60, 62, again(67)}, {60}, {61}, {62, 65}}, {{0, {3, 4}}});
  const std::vector<RollTrack> tracks = given.tracks(piece, 1);
  BOOST_TEST(tracks.size() == 2u);
  BOOST_TEST((tracks[0].roll == roll_of({{64}, {60, 64}, {60}, {60, 62}, {}, {61}, {62}}, {{0, {3, 4}}})));
  BOOST_TEST((tracks[1].roll == roll_of({{}, {67}, {67}, {again(67)}, {60}, {}, {65}})));
  BOOST_TEST(Given().tracks(piece, 0).size() == 1u);

  const std::vector<uint8_t> bytes = encode(tracks), alone = encode(piece);
  const MidiFile midi = parse_midi({bytes.begin(), bytes.end()});
  BOOST_TEST(midi.format == 1);
  BOOST_TEST((midi.damage == Damage::none));
  BOOST_TEST(midi.tracks.size() == 2u);
  BOOST_TEST(midi.tracks[1].end_tick == 7 * 120);
  for (const MidiTrack& track : midi.tracks)  // where one track ends a key that the other strikes, it sounds
    for (uint32_t i = track.first_event; i < track.first_event + track.events; ++i)
      if (midi.events[i].kind == note_on_kind || midi.events[i].kind == note_off_kind)
        BOOST_TEST(midi.events[i].channel == &track - midi.tracks.data());
  const Roll back = decode(midi, {60, 12});
  BOOST_TEST((back.meters().front() == MeterChange{0, {3, 4}}));
  for (int64_t s = 0; s < 7; ++s)
    for (int64_t n = 0; n < 12; ++n)
      BOOST_TEST((back.cell(s, n) & velocity_bits) == (piece.cell(s, n) & velocity_bits));
  BOOST_TEST(back.cell(4, 0) == (70 | replay_bit));  // the melody comes to a note that was composed before
  BOOST_TEST((encode(Given().tracks(piece, 0)) == alone));
}

BOOST_AUTO_TEST_CASE(scales_have_names) {
  const auto notes = [](const char* text) {
    std::string found;
    const std::optional<Scale> scale = scale_of(text);
    for (int i = 0; scale && i < 12; ++i) found += (*scale)[i] ? 'x' : '.';
    return found;
  };
  BOOST_TEST(notes("C major") == "x.x.xx.x.x.x");
  BOOST_TEST(notes("D minor") == "x.x.xx.x.xx.");
  BOOST_TEST(notes("C# major") == notes("Db major"));
  BOOST_TEST(notes("A minor") == notes("C major"));
  BOOST_TEST(notes("C D E G A") == "x.x.x..x.x..");
  BOOST_TEST(notes("Bb, F#") == "......x...x.");
  BOOST_TEST(notes("0,2,4 7 9") == notes("C D E G A"));
  BOOST_TEST(notes("11") == "...........x");
  for (const char* text : {"", "H minor", "D", "minor", " minor", "D  minor", "D minor ", "d minor", "C X", ",", "12",
                           "-1", "1.5", "0 minor x"})
    BOOST_TEST((notes(text) == (std::string(text) == "D" ? "..x........." : "")), text);
}

BOOST_AUTO_TEST_CASE(too_few_particles_are_said) {
  const ConditionReport good{-12.34, 3.21, 4, 2}, thin{-80, 1, 9, 5};
  using Lines = std::vector<std::string>;
  BOOST_TEST(condition_lines({good}, 32, "--particles ") ==
                 (Lines{"condition of piece 1: log probability -12.3, effective size at "
                        "least 3.2 of 32 particles, resampled 4 times"}),
             boost::test_tools::per_element());
  const Lines lines = condition_lines({good, thin}, 32, "--particles ");
  BOOST_TEST(lines.size() == 3u);
  BOOST_TEST(lines.back() ==
             "too few particles for what is asked: in 5 bars of a piece one of 32 has nearly all the weight; try "
             "--particles 128");
  BOOST_TEST(condition_lines({thin}, 1, "generate.particles=").back() ==
             "too few particles for what is asked: what comes before a given note does not know of it; try "
             "generate.particles=32");
  BOOST_TEST(condition_lines({}, 32, "--particles ").empty());
}

BOOST_AUTO_TEST_SUITE_END()
