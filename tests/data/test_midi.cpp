#include <unistd.h>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <filesystem>

#include "data/files/file.h"
#include "data/music/midi.h"
#include "poph_paths.h"
#include "tensor/error.h"
#include "tests/support/midi_bytes.h"

using namespace poph;
using namespace poph::test;

namespace {

std::string message_of(const Bytes& bytes) {
  try {
    parse_midi(bytes);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string text_of(const MidiFile& file) {
  std::string text;
  for (const auto& e : file.events)
    text += joined(text.empty() ? "" : " ", e.tick,
                   e.kind == 0x90   ? "+"
                   : e.kind == 0x80 ? "-"
                                    : "p",
                   int{e.key}, "v", int{e.value});
  return text;
}

// The events, the last tick, and the first damage with its byte.
std::string read_text(const Bytes& bytes) {
  const MidiFile file = parse_midi(bytes);
  return joined(text_of(file), " to ", file.last_tick(), ": ", words(file.damage), " at ", file.damage_at);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(midi)

BOOST_AUTO_TEST_CASE(events_of_every_kind) {
  const Bytes events = Bytes{0, 0x90, 60, 64} +          // on
                       Bytes{5, 62, 65} +                // running status
                       Bytes{0x81, 0, 60, 0} +           // velocity 0 is an off; a delta time of two bytes
                       Bytes{0, 0xFF, 1, 2, 'h', 'i'} +  // text; running status goes on behind it
                       Bytes{1, 62, 0} + Bytes{0, 0xF0, 3, 1, 2, 0xF7} +
                       Bytes{0, 0xF7, 1, 0xFF} +  // system exclusive, both forms
                       Bytes{0, 0xC0, 7} + Bytes{0, 0xD3, 9} + Bytes{0, 0xA0, 60, 9} + Bytes{0, 0xE0, 0, 64} +
                       Bytes{0, 0xB1, 64, 127} + Bytes{0, 0xB1, 7, 100} +  // the pedal is read, loudness is not
                       // nothing after the end counts
                       Bytes{2, 0x85, 70, 3} + Bytes{3, 0xFF, 0x2F, 0} + Bytes{0, 0x90, 1, 1};
  const MidiFile file = parse_midi(one_track(events, 96));
  BOOST_TEST(text_of(file) == "0+60v64 5+62v65 133-60v0 134-62v0 134p64v127 136-70v3");
  BOOST_TEST(int{file.events[4].channel} == 1);
  BOOST_TEST(int{file.events[5].channel} == 5);
  BOOST_TEST(file.last_tick() == 139);
  BOOST_TEST(file.ticks_per_quarter == 96);
}

BOOST_AUTO_TEST_CASE(nothing_odd) {
  const Bytes note = Bytes{0, 0x90, 60, 64, 4, 60, 0} + end_of_track;
  const std::string want = "0+60v64 4-60v0 to 4:  at 0";
  BOOST_TEST(read_text(one_track(note)) == want);
  BOOST_TEST(read_text(header(1, 1, 4) + chunk("XFIH", {1, 2, 3}) + chunk("MTrk", note) + chunk("XFKM", {})) ==
             want);                                                                                // unknown chunks
  BOOST_TEST(read_text(chunk("MThd", {0, 1, 0, 1, 0, 4, 99, 99}) + chunk("MTrk", note)) == want);  // longer header
  BOOST_TEST(read_text(header(1, 2, 4) + chunk("MTrk", end_of_track) + chunk("MTrk", note)) == want);
  BOOST_TEST(read_text(one_track(note + Bytes{0, 60, 9})) == want);  // nothing after the end counts
  MidiFile file = parse_midi(one_track({0}));
  BOOST_TEST((file.damage != Damage::none));
  parse_midi(one_track(note), file);
  BOOST_TEST((file.damage == Damage::none));  // of this file, not of the one before
}

BOOST_AUTO_TEST_CASE(a_track_keeps_what_comes_before_its_first_fault) {
  const auto in_track = [](const Bytes& events) {
    const std::string alone = read_text(one_track(events + end_of_track));
    // Other tracks are read all the same.
    const std::string both = read_text(header(1, 2, 4) + chunk("MTrk", events + end_of_track) +
                                       chunk("MTrk", Bytes{9, 0x90, 1, 2} + end_of_track));
    const size_t to = alone.find(" to "), colon = alone.find(": ");
    BOOST_TEST(both == alone.substr(0, to) + (to ? " " : "") + "9+1v2 to 9" + alone.substr(colon));
    return alone;
  };
  const Bytes on = {7, 0x90, 60, 64};  // 22 to 25
  BOOST_TEST(in_track({0, 60, 64}) == " to 0: a data byte without a status before it at 23");
  BOOST_TEST(in_track(on + Bytes{5, 0x9C, 0x9C, 64}) == "7+60v64 to 7: a data byte above 0x7f at 28");
  BOOST_TEST(in_track(on + Bytes{5, 60, 0x80}) == "7+60v64 to 7: a data byte above 0x7f at 28");
  BOOST_TEST(in_track(on + Bytes{5, 0xF4}) == "7+60v64 to 7: an undefined status at 27");
  BOOST_TEST(in_track(on + Bytes{5, 0xF8}) == "7+60v64 to 7: an undefined status at 27");
  BOOST_TEST(in_track(on + Bytes{0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 60, 0}) ==
             "7+60v64 to 7: a delta time or length of more than 4 bytes at 26");
  BOOST_TEST(in_track(on + Bytes{0, 0xFF, 1, 0x83, 0xFF, 0xFF, 0x7F}) ==
             "7+60v64 to 7: an event longer than its track at 29");
  BOOST_TEST(in_track(on + Bytes{0, 0xF0, 5}) == "7+60v64 to 7: an event longer than its track at 28");
  // An event cut off by the end of its track; the end-of-track event of `in_track` would complete it.
  BOOST_TEST(read_text(one_track(on + Bytes{5, 0x90, 60})) ==
             "7+60v64 to 7: an event cut off by its track's end at 29");
  BOOST_TEST(read_text(one_track(on + Bytes{5})) == "7+60v64 to 7: an event cut off by its track's end at 27");
  BOOST_TEST(read_text(one_track(on + Bytes{0x85})) == "7+60v64 to 7: an event cut off by its track's end at 27");
  BOOST_TEST(read_text(one_track(on)) == "7+60v64 to 7: a track without an end-of-track event at 26");
}

BOOST_AUTO_TEST_CASE(lengths_and_counts_that_lie) {
  const Bytes on = {7, 0x90, 60, 64}, off = {5, 0x80, 60, 0}, first = on + off + end_of_track;  // 22 to 33
  const Bytes second = Bytes{9, 0x90, 1, 2} + end_of_track;
  const std::string notes = "7+60v64 12-60v0", both = notes + " 9+1v2 to 12";
  const auto with_length = [](Bytes file, int length) {
    for (int i = 0; i < 4; ++i) file[18 + i] = static_cast<uint8_t>(length >> (24 - 8 * i));
    return file;
  };
  const Bytes file = header(1, 2, 4) + chunk("MTrk", first) + chunk("MTrk", second);
  BOOST_TEST(read_text(file) == both + ":  at 0");
  for (int length : {0, 1, 4, 8, 11, 13, 20, 27, 29, 1000, 0x7FFFFFFF, -1})
    BOOST_TEST(read_text(with_length(file, length)) == both + ": a wrong chunk length at 18", "length " << length);
  BOOST_TEST(read_text(with_length(one_track(first), 4)) == notes + " to 12: a wrong chunk length at 18");
  BOOST_TEST(read_text(with_length(one_track(first), 13)) == notes + " to 12: a wrong chunk length at 18");

  BOOST_TEST(read_text(header(1, 3, 4) + chunk("MTrk", first) + chunk("MTrk", second)) ==
             both + ": a wrong number of tracks at 10");
  BOOST_TEST(read_text(header(1, 1, 4) + chunk("MTrk", first) + chunk("MTrk", second)) ==
             both + ": a wrong number of tracks at 10");
  BOOST_TEST(read_text(header(1, 2, 4) + chunk("MTrk", first) + Bytes{'M', 'T'}) ==
             notes + " to 12: a wrong number of tracks at 10");

  const std::string junk = ": bytes between or behind the chunks at ";
  BOOST_TEST(read_text(one_track(first) + Bytes{0, 0, 0}) == notes + " to 12" + junk + "34");
  BOOST_TEST(read_text(one_track(first) + Bytes(20, 'x')) == notes + " to 12" + junk + "34");
  BOOST_TEST(read_text(header(1, 2, 4) + chunk("MTrk", first) + Bytes{1, 2, 3} + chunk("MTrk", second)) ==
             both + junk + "34");
  BOOST_TEST(read_text(header(1, 2, 4) + Bytes{1, 2, 3} + chunk("MTrk", first) + chunk("MTrk", second)) ==
             both + junk + "14");
  BOOST_TEST(read_text(Bytes{1, 2, 3} + file) == both + ": bytes before the header at 0");
  BOOST_TEST(read_text(Bytes{'R', 'I', 'F', 'F', 76, 0, 0, 0, 'R', 'M', 'I', 'D', 'd', 'a', 't', 'a', 56, 0, 0, 0} +
                       file) == both + ": a RIFF wrapper at 0");
  for (uint8_t length : {0, 5, 0xFF}) {
    Bytes header_lies = file;
    header_lies[7] = length;
    BOOST_TEST(read_text(header_lies) == both + ": a wrong chunk length at 4");
  }
}

BOOST_AUTO_TEST_CASE(time) {
  const auto tempo = [](int delta, int us) {
    return Bytes{uint8_t(delta), 0xFF, 0x51, 3, uint8_t(us >> 16), uint8_t(us >> 8), uint8_t(us)};
  };
  // 4 quarters at the default 0.5 s, 2 at 1 s, 1 at 0.25 s; the changes lie in two tracks, the later one first.
  const Bytes late = tempo(24, 250000) + Bytes{4, 0xFF, 0x2F, 0}, early = tempo(16, 1000000) + end_of_track;
  BOOST_TEST(
      parse_midi(header(1, 2, 4) + chunk("MTrk", late) + chunk("MTrk", early)).seconds() == 4 * 0.5 + 2 * 1 + 0.25,
      boost::test_tools::tolerance(1e-12));
  const Bytes silence = {0x8F, 0x50, 0xFF, 0x2F, 0};  // 2000 ticks
  const MidiFile frames = parse_midi(one_track(silence, (256 - 25) << 8 | 40));
  BOOST_TEST(frames.ticks_per_quarter == 0);
  BOOST_TEST(frames.seconds() == 2.0, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(parse_midi(one_track(silence, (256 - 29) << 8 | 100)).seconds() == 2000 * 1001 / 3e6,
             boost::test_tools::tolerance(1e-12));
  // No division by a tempo of zero, or of a length that is not three bytes.
  BOOST_TEST(parse_midi(one_track(tempo(0, 0) + Bytes{0, 0xFF, 0x51, 1, 9} + silence)).tempos.empty());
}

BOOST_AUTO_TEST_CASE(what_is_no_music_is_refused) {
  BOOST_TEST(message_of({}) == "midi: byte 0: found nothing, expected the header chunk 'MThd'");
  BOOST_TEST(message_of({'R', 'I', 'F', 'F', 1}) == "midi: byte 0: found 'RIFF', expected the header chunk 'MThd'");
  BOOST_TEST(message_of({0xEF, 0xBB}) == "midi: byte 0: found ef bb, expected the header chunk 'MThd'");
  BOOST_TEST(message_of({'M', 'T', 'h', 'd', 0}) == "midi: byte 5: truncated: found 5 bytes, expected a header of 14");
  BOOST_TEST(message_of(chunk("MThd", {0, 1, 0, 1})) ==
             "midi: byte 12: truncated: found 12 bytes, expected a header of 14");
  BOOST_TEST(message_of(header(1, 1, 4)) == "midi: byte 14: found no track chunk 'MTrk', expected 1");
  BOOST_TEST(message_of(header(1, 1, 4) + Bytes{'M', 'T', 'r', 'k', 0, 0, 0}) ==
             "midi: byte 21: found no track chunk 'MTrk', expected 1");
  BOOST_TEST(message_of(header(3, 1, 4)) == "midi: byte 8: found format 3, expected 0, 1 or 2");
  BOOST_TEST(message_of(Bytes{0} + header(3, 1, 4)) == "midi: byte 9: found format 3, expected 0, 1 or 2");
  BOOST_TEST(message_of(header(1, 1, 0)) ==
             "midi: byte 12: found division 0, expected 1 or more ticks per quarter note");
  BOOST_TEST(message_of(header(1, 1, 0x8000)) ==
             "midi: byte 12: found 128 frames a second of 0 ticks, expected 24, 25, 29 or 30 of 1 to 255");
}

BOOST_AUTO_TEST_CASE(a_file_cut_anywhere_keeps_what_was_whole) {
  const Bytes file = header(1, 2, 4) + chunk("MTrk", Bytes{0, 0x90, 60, 64} + end_of_track) +
                     chunk("MTrk", Bytes{9, 0x90, 61, 64, 5, 0x80, 61, 64} + end_of_track);
  const size_t first_track = 14, second_track = 30;
  for (size_t n = 0; n < file.size(); ++n) {
    const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(n));
    if (n < first_track + 8) {
      BOOST_TEST(message_of(cut) != "no error", n);
      continue;
    }
    const std::string notes = n >= second_track + 16   ? "0+60v64 9+61v64 14-61v64 to 14"
                              : n >= second_track + 12 ? "0+60v64 9+61v64 to 9"
                              : n >= first_track + 12  ? "0+60v64 to 0"
                                                       : " to 0";
    // an end-of-track event may lack its last zero
    const bool between = n >= second_track - 1 && n < second_track + 8;
    const std::string why = n == second_track - 1 ? "the file is cut off within a track at 29"
                            : between             ? "a wrong number of tracks at 10"
                                                  : joined("the file is cut off within a track at ", n);
    BOOST_TEST(read_text(cut) == notes + ": " + why, n);
  }
}

BOOST_AUTO_TEST_CASE(long_delta_times_add_up) {
  Bytes events;
  for (int i = 0; i < 1000; ++i) events = events + Bytes{0xFF, 0xFF, 0xFF, 0x7F, 0x90, 60, 64};
  BOOST_TEST(parse_midi(one_track(events)).last_tick() == 1000 * ((int64_t{1} << 28) - 1));
}

BOOST_AUTO_TEST_CASE(writer_is_read_back) {
  MidiWriter writer(480, 90);
  int64_t tick = 0;
  const int64_t gaps[] = {0, 1, 127, 128, 16383, 16384, 2097151, 2097152, (1 << 28) - 1};
  for (int64_t gap : gaps) writer.note_on(tick += gap, 60, 1 + gap % 127);
  writer.note_off(tick, 60);
  const MidiFile file = parse_midi(writer.finish(tick + 5));
  BOOST_TEST(file.format == 0);
  BOOST_TEST(file.last_tick() == tick + 5);
  BOOST_REQUIRE_EQUAL(file.events.size(), std::size(gaps) + 1);
  tick = 0;
  for (size_t i = 0; i < std::size(gaps); ++i) BOOST_TEST(file.events[i].tick == (tick += gaps[i]));
  BOOST_TEST(file.tempos.at(0).microseconds == 666667);

  MidiWriter bad(480, 120);
  BOOST_CHECK_THROW(bad.note_on(int64_t{1} << 28, 60, 1), Error);
  BOOST_CHECK_THROW(bad.note_on(0, 128, 1), Error);
  BOOST_CHECK_THROW(bad.note_on(0, 60, 0), Error);
  BOOST_CHECK_THROW(MidiWriter(480, 0), Error);
  BOOST_CHECK_THROW(MidiWriter(480, 1), Error);
}

BOOST_AUTO_TEST_CASE(files_up_to_the_limit_are_read) {
  BOOST_TEST(!read_midi_file(POPH_SOURCE_ROOT "/tests/golden/mz_545_2.mid").events.empty());
  const auto says = [](const char* text) {
    return [=](const Error& e) { return std::string(e.what()).find(text) != std::string::npos; };
  };
  BOOST_CHECK_EXCEPTION(read_midi_file("/no/such.mid"), FileError, says("cannot read /no/such.mid: No such file"));
  const std::string huge = (std::filesystem::temp_directory_path() / joined("poph_huge_", ::getpid())).string();
  std::fclose(std::fopen(huge.c_str(), "w"));
  std::filesystem::resize_file(huge, max_file_bytes + 1);  // a sparse file
  BOOST_CHECK_EXCEPTION(read_midi_file(huge), FileError, says("268435457 bytes, expected at most 268435456"));
  std::filesystem::remove(huge);
}

BOOST_AUTO_TEST_SUITE_END()
