#include "data/music/midi.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string_view>

#include "data/files/file.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr uint8_t meta_end_of_track = 0x2F, meta_tempo = 0x51, meta_time_signature = 0x58;
constexpr int max_quantity_bytes = 4;
constexpr size_t chunk_head = 8;  // a chunk's kind and length

struct Fault {
  Damage damage = Damage::none;
  size_t byte = 0;
};

// Walks [at, end) of a file. Every read is checked against `end`; it returns false and notes the fault where it fails.
struct Cursor {
  std::span<const uint8_t> bytes;
  size_t at = 0, end = 0;
  Fault fault;

  size_t left() const { return end - at; }

  bool stop(Damage damage, size_t byte) {
    fault = {damage, byte};
    return false;
  }

  bool byte(uint8_t& value) {
    if (at >= end) [[unlikely]]
      return stop(Damage::cut_event, at);
    value = bytes[at++];
    return true;
  }

  bool data_byte(uint8_t& value) {
    if (!byte(value)) return false;
    if (value > 127) [[unlikely]]
      return stop(Damage::data_byte, at - 1);
    return true;
  }

  // A variable-length quantity: seven bits a byte, the last one below 0x80.
  bool quantity(int64_t& value) {
    const size_t start = at;
    value = 0;
    for (int i = 0; i < max_quantity_bytes; ++i) {
      uint8_t b;
      if (!byte(b)) return false;
      value = value << 7 | (b & 0x7F);
      if (b < 0x80) return true;
    }
    return stop(Damage::quantity, start);
  }

  // The bytes of a meta or system exclusive event, by the length that it states.
  bool block(std::span<const uint8_t>& content) {
    const size_t start = at;
    int64_t length;
    if (!quantity(length)) return false;
    if (static_cast<size_t>(length) > left()) return stop(Damage::event_length, start);
    content = bytes.subspan(at, static_cast<size_t>(length));
    at += content.size();
    return true;
  }
};

template <class... Parts>
[[noreturn]] void refuse(Damage damage, size_t where, const Parts&... parts) {
  throw Damaged(damage, "midi: byte ", where, ": ", parts...);
}

void pass_over(Damage damage, size_t byte, MidiFile& file) {
  if (file.damage == Damage::none) file.damage = damage, file.damage_at = byte;
}

template <class T>
uint32_t count(const std::vector<T>& of) {
  return static_cast<uint32_t>(of.size());  // no more than max_file_bytes
}

uint32_t big_endian(std::span<const uint8_t> bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

bool is_chunk(std::span<const uint8_t> bytes, size_t at, const char* kind) {
  return std::memcmp(&bytes[at], kind, 4) == 0;
}

// The next place of `kind` at `at` or later with `room` bytes before the end; the file's size where there is none.
size_t find_kind(std::span<const uint8_t> bytes, size_t at, const char* kind, size_t room) {
  if (bytes.size() < at + room) return bytes.size();
  const void* found = ::memmem(&bytes[at], bytes.size() - room + 4 - at, kind, 4);
  return found ? static_cast<size_t>(static_cast<const uint8_t*>(found) - bytes.data()) : bytes.size();
}

size_t find_track(std::span<const uint8_t> bytes, size_t at) { return find_kind(bytes, at, "MTrk", chunk_head); }

// True where the file goes on as it should at `at`: it ends, or a track begins, or another chunk that fits in.
bool goes_on(std::span<const uint8_t> bytes, size_t at) {
  if (at == bytes.size()) return true;
  if (bytes.size() - at < chunk_head) return false;
  if (is_chunk(bytes, at, "MTrk")) return true;
  const auto kind = bytes.subspan(at, 4);
  return std::all_of(kind.begin(), kind.end(), [](uint8_t b) { return b >= 0x20 && b < 0x7F; }) &&
         big_endian(bytes, at + 4, 4) <= bytes.size() - at - chunk_head;
}

std::string shown(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return "nothing";
  if (std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b >= 0x20 && b < 0x7F; }))
    return fmt::format("'{}'", std::string(bytes.begin(), bytes.end()));
  std::string text;
  for (uint8_t b : bytes) text += fmt::format("{}{:02x}", text.empty() ? "" : " ", b);
  return text;
}

void parse_division(size_t at, int division, MidiFile& file) {
  file.ticks_per_quarter = file.smpte_ticks = 0;
  file.smpte_seconds = 1;
  if (division < 0x8000) {
    if (division == 0) refuse(Damage::division, at, "found division 0, expected 1 or more ticks per quarter note");
    file.ticks_per_quarter = division;
    return;
  }
  const int frames = 256 - (division >> 8), ticks = division & 0xFF;
  if ((frames != 24 && frames != 25 && frames != 29 && frames != 30) || ticks == 0)
    refuse(Damage::frame_rate, at, "found ", frames, " frames a second of ", ticks,
           " ticks, expected 24, 25, 29 or 30 of 1 to 255");
  // 29 stands for 30 drop-frame: 30000/1001 a second
  file.smpte_ticks = frames == 29 ? 30000 * ticks : frames * ticks;
  file.smpte_seconds = frames == 29 ? 1001 : 1;
}

bool changes_lengths(uint8_t controller) {
  return controller == sustain_pedal || controller == all_sound_off || controller == reset_all_controllers ||
         controller == all_notes_off;
}

// A time signature: its numerator, and the power of two that is its denominator. More may follow.
void take_signature(int64_t tick, std::span<const uint8_t> content, size_t byte, MidiFile& file) {
  if (content.size() >= 2 && content[0] > 0 && content[1] <= 7)
    file.signatures.push_back({tick, {content[0], 1 << content[1]}});
  else
    pass_over(Damage::signature, byte, file);
}

struct Header {
  size_t begin = 0, end = 0, tracks = 0;  // tracks: the number that it states
};

Header parse_header(std::span<const uint8_t> bytes, MidiFile& file) {
  Header header{find_kind(bytes, 0, "MThd", 4)};
  const size_t begin = header.begin, left = bytes.size() - begin;
  if (left == 0)
    refuse(bytes.empty() ? Damage::empty : Damage::no_header, 0, "found ",
           shown(bytes.first(std::min<size_t>(4, bytes.size()))), ", expected the header chunk 'MThd'");
  if (begin > 0) pass_over(is_chunk(bytes, 0, "RIFF") ? Damage::riff : Damage::before_header, 0, file);
  if (left < 14) refuse(Damage::cut_header, bytes.size(), "truncated: found ", left, " bytes, expected a header of 14");
  const size_t length = big_endian(bytes, begin + 4, 4);
  file.format = static_cast<int>(big_endian(bytes, begin + 8, 2));
  if (file.format > 2) refuse(Damage::format, begin + 8, "found format ", file.format, ", expected 0, 1 or 2");
  header.tracks = big_endian(bytes, begin + 10, 2);
  parse_division(begin + 12, static_cast<int>(big_endian(bytes, begin + 12, 2)), file);

  const bool fits = length >= 6 && length <= left - chunk_head;
  if (!fits) pass_over(Damage::chunk_length, begin + 4, file);
  header.end = begin + chunk_head + (fits ? length : 6);
  return header;
}

// Reads up to the end-of-track event, the first fault or the end, and returns true for the event. The events before a
// fault count, and the track ends with the last of them.
bool parse_events(Cursor& in, MidiFile& file) {
  MidiTrack track{
      .first_event = count(file.events), .first_tempo = count(file.tempos), .first_signature = count(file.signatures)};
  int64_t tick = 0;
  uint8_t status = 0;  // the running status
  bool ended = false;
  while (in.left() > 0 && !ended) {
    int64_t delta;
    uint8_t first, second;
    std::span<const uint8_t> content;
    if (!in.quantity(delta) || !in.byte(first)) break;
    const int64_t now = tick + delta;
    if (first < 0xF0) {
      if (first >= 0x80) {
        status = first;
        if (!in.data_byte(first)) break;
      } else if (status == 0) [[unlikely]] {
        in.stop(Damage::no_status, in.at - 1);
        break;
      }
      const uint8_t kind = status & 0xF0, channel = status & 0x0F;
      if (kind != 0xC0 && kind != 0xD0) {  // program, channel pressure: one data byte
        if (!in.data_byte(second)) break;
        if (kind == note_on_kind && second == 0)
          file.events.push_back({now, note_off_kind, channel, first, 0});
        else if (kind <= note_on_kind || (kind == controller_kind && changes_lengths(first)))
          file.events.push_back({now, kind, channel, first, second});
      }
    } else if (first == 0xFF) {
      uint8_t type;
      if (!in.byte(type) || !in.block(content)) break;
      ended = type == meta_end_of_track;
      if (type == meta_tempo && content.size() == 3 && big_endian(content, 0, 3) > 0)
        file.tempos.push_back({now, big_endian(content, 0, 3)});
      if (type == meta_time_signature) take_signature(now, content, in.at - content.size(), file);
    } else if (first == 0xF0 || first == 0xF7) {
      if (!in.block(content)) break;
    } else {
      in.stop(Damage::status, in.at - 1);
      break;
    }
    tick = now;
  }
  track.events = count(file.events) - track.first_event;
  track.tempos = count(file.tempos) - track.first_tempo;
  track.signatures = count(file.signatures) - track.first_signature;
  track.end_tick = tick;
  file.tracks.push_back(track);
  return ended;
}

// Reads the track whose chunk begins at `begin`, and returns where it ends. Its length is believed if the file goes on
// there; otherwise it ends where the next track begins, or with the file.
size_t parse_track(std::span<const uint8_t> bytes, size_t begin, MidiFile& file) {
  const size_t first = begin + chunk_head, length = big_endian(bytes, begin + 4, 4);
  const bool fits = length <= bytes.size() - first, believed = fits && goes_on(bytes, first + length);
  const size_t end = believed ? first + length : find_track(bytes, first);
  Cursor in{bytes, first, end, {}};
  const bool ended = parse_events(in, file);
  if (believed) {
    if (in.fault.damage != Damage::none)
      pass_over(in.fault.damage, in.fault.byte, file);
    else if (!ended)
      pass_over(Damage::no_end, end, file);
  } else if (ended && in.at == first + length) {
    return in.at;  // the length was right: what follows is no chunk
  } else if (!ended && !fits && end == bytes.size()) {
    pass_over(Damage::truncated, end, file);
  } else {
    pass_over(Damage::chunk_length, begin + 4, file);
  }
  return end;
}

}  // namespace

int64_t MidiFile::last_tick() const {
  int64_t last = 0;
  for (const auto& track : tracks) last = std::max(last, track.end_tick);
  return last;
}

double MidiFile::seconds() const {
  const auto seconds_of = [&](int64_t last, const MidiTrack& track) {
    if (ticks_per_quarter == 0) return static_cast<double>(last) * smpte_seconds / smpte_ticks;
    double microseconds = 0;
    TempoChange now;
    for (const auto& next : tempos_of(track)) {
      microseconds += static_cast<double>(next.tick - now.tick) * now.microseconds;
      now = next;
    }
    return (microseconds + static_cast<double>(last - now.tick) * now.microseconds) / ticks_per_quarter * 1e-6;
  };
  if (format != 2) return tracks.empty() ? 0 : seconds_of(last_tick(), tracks[0]);
  double sum = 0;
  for (const auto& track : tracks) sum += seconds_of(track.end_tick, track);
  return sum;
}

void parse_midi(std::span<const uint8_t> bytes, MidiFile& file) {
  file.tracks.clear();
  file.events.clear();
  file.tempos.clear();
  file.signatures.clear();
  file.damage = Damage::none;
  file.damage_at = 0;
  const Header header = parse_header(bytes, file);
  for (size_t at = header.end; at < bytes.size();) {
    if (!goes_on(bytes, at)) {
      const size_t next = find_track(bytes, at);
      if (next < bytes.size() || file.tracks.size() >= header.tracks) pass_over(Damage::no_chunk, at, file);
      at = next;  // where too few tracks were found and none is left, the file is cut off: noted below
    } else if (is_chunk(bytes, at, "MTrk")) {
      at = parse_track(bytes, at, file);
    } else {
      at += chunk_head + big_endian(bytes, at + 4, 4);
    }
  }
  if (file.tracks.empty())
    refuse(Damage::no_track, bytes.size(), "found no track chunk 'MTrk', expected ", header.tracks);
  if (file.tracks.size() != header.tracks) pass_over(Damage::track_count, header.begin + 10, file);
  if (file.format == 2) return;
  const auto by_tick = [](const auto& a, const auto& b) { return a.tick < b.tick; };
  std::stable_sort(file.tempos.begin(), file.tempos.end(), by_tick);
  std::stable_sort(file.signatures.begin(), file.signatures.end(), by_tick);
}

MidiFile parse_midi(std::span<const uint8_t> bytes) {
  MidiFile file;
  parse_midi(bytes, file);
  return file;
}

MidiFile read_midi_file(const std::string& path) {
  std::vector<uint8_t> buffer;
  return parse_midi(read_file(path, buffer, max_file_bytes));
}

MidiWriter::MidiWriter(int64_t ticks_per_quarter, double beats_per_minute, int tracks) {
  require(ticks_per_quarter > 0 && ticks_per_quarter < 0x8000, "midi: ", ticks_per_quarter,
          " ticks per quarter note, expected 1 to 32767");
  require(tracks >= 1 && tracks <= percussion_channel, "midi: ", tracks, " tracks, expected 1 to ", percussion_channel);
  const double tempo = std::round(60e6 / beats_per_minute);
  require(tempo >= 1 && tempo < 0x1000000, "midi: a tempo of ", beats_per_minute,
          " beats a minute, expected 3.58 to 60000000");
  const auto us = static_cast<uint32_t>(tempo);
  const auto division = static_cast<uint16_t>(ticks_per_quarter);
  for (char byte : std::string_view("MThd\0\0\0\6\0", 9)) bytes_.push_back(byte);
  bytes_.insert(bytes_.end(), {uint8_t(tracks > 1), uint8_t(tracks >> 8), uint8_t(tracks), uint8_t(division >> 8),
                               uint8_t(division)});
  begin_track();
  bytes_.insert(bytes_.end(), {0, 0xFF, meta_tempo, 3, uint8_t(us >> 16), uint8_t(us >> 8), uint8_t(us)});
}

void MidiWriter::begin_track() {
  for (char byte : std::string_view("MTrk\0\0\0\0", 8)) bytes_.push_back(byte);  // end_track sets the length
  track_ = bytes_.size();
  tick_ = 0;
}

void MidiWriter::text_event(uint8_t kind, std::string_view line) {
  require(line.size() < 0x80, "midi: a text of ", line.size(), " bytes, expected at most 127");
  delta(tick_);
  bytes_.insert(bytes_.end(), {0xFF, kind, uint8_t(line.size())});
  bytes_.insert(bytes_.end(), line.begin(), line.end());
}

void MidiWriter::time_signature(int64_t tick, Meter meter) {
  require(is_meter(meter), "midi: a time signature of ", meter.numerator, "/", meter.denominator,
          ", expected 1 to 255 of a power of two up to 128");
  delta(tick);
  // 24 MIDI clocks and 8 thirty-second notes to a quarter note
  bytes_.insert(bytes_.end(), {0xFF, meta_time_signature, 4, uint8_t(meter.numerator),
                               uint8_t(std::countr_zero(static_cast<unsigned>(meter.denominator))), 24, 8});
}

void MidiWriter::delta(int64_t tick) {
  const int64_t gap = tick - tick_;
  require(gap >= 0 && gap < (int64_t{1} << 28), "midi: a delta time of ", gap, " ticks, expected 0 to ", (1 << 28) - 1);
  for (int shift = 21; shift > 0; shift -= 7)
    if (gap >> shift) bytes_.push_back(static_cast<uint8_t>((gap >> shift & 0x7F) | 0x80));
  bytes_.push_back(static_cast<uint8_t>(gap & 0x7F));
  tick_ = tick;
}

void MidiWriter::note_on(int64_t tick, int64_t pitch, int64_t velocity) {
  require(pitch >= 0 && pitch < 128 && velocity > 0 && velocity < 128, "midi: note-on of pitch ", pitch,
          " at velocity ", velocity, ", expected 0..127 and 1..127");
  delta(tick);
  bytes_.insert(bytes_.end(), {uint8_t(note_on_kind | channel_), uint8_t(pitch), uint8_t(velocity)});
}

void MidiWriter::note_off(int64_t tick, int64_t pitch) {
  require(pitch >= 0 && pitch < 128, "midi: note-off of pitch ", pitch, ", expected 0..127");
  delta(tick);
  bytes_.insert(bytes_.end(), {uint8_t(note_off_kind | channel_), uint8_t(pitch), 0});
}

void MidiWriter::end_track(int64_t end_tick) {
  delta(end_tick);
  bytes_.insert(bytes_.end(), {0xFF, meta_end_of_track, 0});
  const auto length = static_cast<uint32_t>(bytes_.size() - track_);
  for (size_t i = 0; i < 4; ++i) bytes_[track_ - 4 + i] = static_cast<uint8_t>(length >> (24 - 8 * i));
}

std::vector<uint8_t> MidiWriter::finish(int64_t end_tick) {
  end_track(end_tick);
  return std::move(bytes_);
}

}  // namespace poph
