#include <unistd.h>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <filesystem>

#include "data/midi.h"
#include "tensor/error.h"
#include "tests/midi_bytes.h"

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
                       Bytes{0, 0xB1, 64, 127} + Bytes{0, 0xB1, 7, 100} +  // the pedal is kept, loudness is not
                       Bytes{2, 0x85, 70, 3} + Bytes{3, 0xFF, 0x2F, 0} + Bytes{0, 0x90, 1, 1};  // nothing after the end counts
  const MidiFile file = parse_midi(one_track(events, 96));
  BOOST_TEST(text_of(file) == "0+60v64 5+62v65 133-60v0 134-62v0 134p64v127 136-70v3");
  BOOST_TEST(int{file.events[4].channel} == 1);
  BOOST_TEST(int{file.events[5].channel} == 5);
  BOOST_TEST(file.last_tick() == 139);
  BOOST_TEST(file.ticks_per_quarter == 96);
}

BOOST_AUTO_TEST_CASE(odd_but_harmless) {
  const Bytes note = {0, 0x90, 60, 64, 4, 60, 0};
  const Bytes good = one_track(note + end_of_track);
  const std::string want = "0+60v64 4-60v0";
  BOOST_TEST(text_of(parse_midi(good)) == want);
  BOOST_TEST(text_of(parse_midi(one_track(note))) == want);                                                   // no end of track
  BOOST_TEST(text_of(parse_midi(header(1, 9, 4) + chunk("MTrk", note))) == want);                             // fewer tracks
  BOOST_TEST(text_of(parse_midi(header(1, 0, 4) + chunk("MTrk", note))) == want);                             // more tracks
  BOOST_TEST(text_of(parse_midi(header(1, 1, 4) + chunk("XFIH", {1, 2, 3}) + chunk("MTrk", note))) == want);  // unknown chunk
  BOOST_TEST(text_of(parse_midi(good + Bytes{0, 0, 0})) == want);                                             // junk behind
  BOOST_TEST(text_of(parse_midi(good + Bytes(20, 'x'))) == want);
  BOOST_TEST(text_of(parse_midi(chunk("MThd", {0, 1, 0, 1, 0, 4, 99, 99}) + chunk("MTrk", note))) == want);  // longer header
  BOOST_TEST(parse_midi(header(1, 2, 4) + chunk("MTrk", {}) + chunk("MTrk", note)).tracks.size() == 2u);
}

BOOST_AUTO_TEST_CASE(time) {
  const auto tempo = [](int delta, int us) {
    return Bytes{uint8_t(delta), 0xFF, 0x51, 3, uint8_t(us >> 16), uint8_t(us >> 8), uint8_t(us)};
  };
  // 4 quarters at the default 0.5 s, 2 at 1 s, 1 at 0.25 s; the changes lie in two tracks, the later one first.
  const Bytes late = tempo(24, 250000) + Bytes{4, 0xFF, 0x2F, 0}, early = tempo(16, 1000000) + end_of_track;
  BOOST_TEST(parse_midi(header(1, 2, 4) + chunk("MTrk", late) + chunk("MTrk", early)).seconds() == 4 * 0.5 + 2 * 1 + 0.25,
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

BOOST_AUTO_TEST_CASE(faults_name_the_byte) {
  const auto in_track = [](const Bytes& events) { return message_of(one_track(events)); };
  BOOST_TEST(message_of({}) == "midi: byte 0: found nothing, expected the header chunk 'MThd'");
  BOOST_TEST(message_of({'R', 'I', 'F', 'F', 1}) == "midi: byte 0: found 'RIFF', expected the header chunk 'MThd'");
  BOOST_TEST(message_of({0xEF, 0xBB}) == "midi: byte 0: found ef bb, expected the header chunk 'MThd'");
  BOOST_TEST(message_of({'M', 'T', 'h', 'd', 0}) == "midi: byte 5: truncated: found 5 bytes, expected a header of 14");
  BOOST_TEST(message_of(chunk("MThd", {0, 1, 0, 1}) + Bytes(20)) ==
             "midi: byte 4: found a header length of 4, expected 6 to the 24 bytes that follow");
  BOOST_TEST(message_of(header(1, 1, 4)) == "midi: byte 14: found no track chunk 'MTrk', expected 1");
  BOOST_TEST(message_of(header(3, 1, 4)) == "midi: byte 8: found format 3, expected 0, 1 or 2");
  BOOST_TEST(message_of(header(1, 1, 0)) == "midi: byte 12: found division 0, expected 1 or more ticks per quarter note");
  BOOST_TEST(message_of(header(1, 1, 0x8000)) ==
             "midi: byte 12: found 128 frames a second of 0 ticks, expected 24, 25, 29 or 30 of 1 to 255");
  BOOST_TEST(in_track({0, 60, 64}) == "midi: byte 23: found data byte 0x3c with no status before it, expected a status");
  BOOST_TEST(in_track({0, 0x90, 0x9C, 64}) == "midi: byte 24: found 0x9c, expected a data byte of 0 to 0x7f");
  BOOST_TEST(in_track({0, 0x90, 60, 0x80}) == "midi: byte 25: found 0x80, expected a data byte of 0 to 0x7f");
  BOOST_TEST(in_track({0, 0xF4}) == "midi: byte 23: found status 0xf4, expected 0x80 to 0xf0, 0xf7 or 0xff");
  BOOST_TEST(in_track({0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0x90}) ==
             "midi: byte 22: found a delta time of more than 4 bytes, expected at most 4");
  BOOST_TEST(in_track({0, 0xFF, 1, 0x83, 0xFF, 0xFF, 0x7F, 0}) ==
             "midi: byte 25: found a meta event of 8388607 bytes, expected at most the track's last 1");
  BOOST_TEST(in_track({0, 0xF0, 5, 1}) ==
             "midi: byte 24: found a system exclusive event of 5 bytes, expected at most the track's last 1");
  BOOST_TEST(in_track({0, 0x90, 60}) == "midi: byte 25: found the end of the track, expected a data byte");
  BOOST_TEST(in_track({0}) == "midi: byte 23: found the end of the track, expected an event");
  Bytes liar = one_track({0, 0x90, 60, 64});
  liar[18] = 0xFF;
  BOOST_TEST(message_of(liar) == "midi: byte 14: truncated: found a chunk 'MTrk' of 4278190084 bytes, but only 4 follow");
  BOOST_TEST(message_of(header(1, 2, 4) + chunk("MTrk", {}) + Bytes{'M', 'T'}) ==
             "midi: byte 22: truncated: found 2 bytes, expected a chunk (track 2 of 2)");
}

BOOST_AUTO_TEST_CASE(every_truncation_of_a_file_is_an_error_or_whole_tracks) {
  const Bytes file =
      header(1, 2, 4) + chunk("MTrk", Bytes{0, 0x90, 60, 64} + end_of_track) + chunk("MTrk", Bytes{9, 0x80, 60, 64});
  for (size_t n = 0; n < file.size(); ++n) {
    const std::string message = message_of(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(n)));
    const bool at_a_chunk = n == 14 + 8 + 8;  // reads as a wrong track count
    BOOST_TEST((message == "no error") == at_a_chunk, n << ": " << message);
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

BOOST_AUTO_TEST_CASE(read_file_takes_regular_files_alone) {
  std::vector<uint8_t> buffer;
  BOOST_TEST(read_file(POPH_SOURCE_ROOT "/tests/golden/mz_545_2.mid", buffer).size() == 18457u);
  const auto* before = buffer.data();
  BOOST_TEST(read_file(POPH_SOURCE_ROOT "/tests/golden/fugue_16_g_minor.mid", buffer).size() == 7984u);
  BOOST_TEST(buffer.data() == before);  // the buffer served again
  const auto says = [](const char* text) {
    return [=](const Error& e) { return std::string(e.what()).find(text) != std::string::npos; };
  };
  BOOST_CHECK_EXCEPTION(read_file("/no/such.mid", buffer), Error, says("read /no/such.mid: No such file"));
  BOOST_CHECK_EXCEPTION(read_file("/dev/zero", buffer), Error, says("not a regular file"));
  BOOST_CHECK_EXCEPTION(read_file("/tmp", buffer), Error, says("not a regular file"));
  const std::string huge = (std::filesystem::temp_directory_path() / joined("poph_huge_", ::getpid())).string();
  std::fclose(std::fopen(huge.c_str(), "w"));
  std::filesystem::resize_file(huge, max_file_bytes + 1);  // a sparse file
  BOOST_CHECK_EXCEPTION(read_file(huge, buffer), Error, says("268435457 bytes, expected at most 268435456"));
  std::filesystem::remove(huge);
}

BOOST_AUTO_TEST_SUITE_END()
