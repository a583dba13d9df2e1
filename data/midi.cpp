#include "data/midi.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string_view>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr uint8_t sustain_pedal = 64, meta_end_of_track = 0x2F, meta_tempo = 0x51;
constexpr int max_quantity_bytes = 4;
constexpr size_t chunk_head = 8;  // a chunk's kind and length

struct Fault {
  std::string_view what;  // of midi_faults; empty: none
  size_t byte = 0;
};

// Walks [at, end) of a file. Every read is checked against `end`, and false where there is a fault, which is then noted.
struct Cursor {
  std::span<const uint8_t> bytes;
  size_t at = 0, end = 0;
  Fault fault;

  size_t left() const { return end - at; }

  bool stop(std::string_view what, size_t byte) {
    fault = {what, byte};
    return false;
  }

  bool byte(uint8_t& value) {
    if (at >= end) [[unlikely]]
      return stop(midi_faults::cut_event, at);
    value = bytes[at++];
    return true;
  }

  bool data_byte(uint8_t& value) {
    if (!byte(value)) return false;
    if (value > 127) [[unlikely]]
      return stop(midi_faults::data_byte, at - 1);
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
    return stop(midi_faults::quantity, start);
  }

  // The bytes of a meta or system exclusive event, as long as it says it is.
  bool block(std::span<const uint8_t>& content) {
    const size_t start = at;
    int64_t length;
    if (!quantity(length)) return false;
    if (static_cast<size_t>(length) > left()) return stop(midi_faults::event_length, start);
    content = bytes.subspan(at, static_cast<size_t>(length));
    at += content.size();
    return true;
  }
};

template <class... Parts>
[[noreturn]] void complain(size_t where, const Parts&... parts) {
  fail("midi: byte ", where, ": ", parts...);
}

void pass_over(std::string_view what, size_t byte, MidiFile& file) {
  if (file.salvaged.empty()) file.salvaged = what, file.salvaged_at = byte;
}

uint32_t big_endian(std::span<const uint8_t> bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

bool is_chunk(std::span<const uint8_t> bytes, size_t at, const char* kind) { return std::memcmp(&bytes[at], kind, 4) == 0; }

// Where `kind` stands next, at `at` or later and `room` bytes before the end; the file's size where it does not.
size_t find_kind(std::span<const uint8_t> bytes, size_t at, const char* kind, size_t room) {
  if (bytes.size() < at + room) return bytes.size();
  const void* found = ::memmem(&bytes[at], bytes.size() - room + 4 - at, kind, 4);
  return found ? static_cast<size_t>(static_cast<const uint8_t*>(found) - bytes.data()) : bytes.size();
}

size_t find_track(std::span<const uint8_t> bytes, size_t at) { return find_kind(bytes, at, "MTrk", chunk_head); }

// Whether the file goes on as it should at `at`: it ends, or a track begins, or another chunk does that fits in.
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
    if (division == 0) complain(at, "found division 0, expected 1 or more ticks per quarter note");
    file.ticks_per_quarter = division;
    return;
  }
  const int frames = 256 - (division >> 8), ticks = division & 0xFF;
  if ((frames != 24 && frames != 25 && frames != 29 && frames != 30) || ticks == 0)
    complain(at, "found ", frames, " frames a second of ", ticks, " ticks, expected 24, 25, 29 or 30 of 1 to 255");
  file.smpte_ticks = frames == 29 ? 30000 * ticks : frames * ticks;  // 29 stands for 30 drop-frame: 30000/1001 a second
  file.smpte_seconds = frames == 29 ? 1001 : 1;
}

struct Header {
  size_t begin = 0, end = 0, tracks = 0;  // tracks: how many it announces
};

Header parse_header(std::span<const uint8_t> bytes, MidiFile& file) {
  Header header{find_kind(bytes, 0, "MThd", 4)};
  const size_t begin = header.begin, left = bytes.size() - begin;
  if (left == 0)
    complain(0, "found ", shown(bytes.first(std::min<size_t>(4, bytes.size()))), ", expected the header chunk 'MThd'");
  if (begin > 0) pass_over(is_chunk(bytes, 0, "RIFF") ? midi_faults::riff : midi_faults::before_header, 0, file);
  if (left < 14) complain(bytes.size(), "truncated: found ", left, " bytes, expected a header of 14");
  const size_t length = big_endian(bytes, begin + 4, 4);
  file.format = static_cast<int>(big_endian(bytes, begin + 8, 2));
  if (file.format > 2) complain(begin + 8, "found format ", file.format, ", expected 0, 1 or 2");
  header.tracks = big_endian(bytes, begin + 10, 2);
  parse_division(begin + 12, static_cast<int>(big_endian(bytes, begin + 12, 2)), file);

  const bool fits = length >= 6 && length <= left - chunk_head;
  if (!fits) pass_over(midi_faults::chunk_length, begin + 4, file);
  header.end = begin + chunk_head + (fits ? length : 6);
  return header;
}

// Reads up to the end-of-track event, the first fault or the end; whether it was the event. What came before a fault is kept,
// and the track ends with its last whole event.
bool parse_events(Cursor& in, MidiFile& file) {
  MidiTrack track{file.events.size(), 0, 0};
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
        in.stop(midi_faults::no_status, in.at - 1);
        break;
      }
      const uint8_t kind = status & 0xF0, channel = status & 0x0F;
      if (kind != 0xC0 && kind != 0xD0) {  // program, channel pressure: one data byte
        if (!in.data_byte(second)) break;
        if (kind == note_on_kind && second == 0)
          file.events.push_back({now, note_off_kind, channel, first, 0});
        else if (kind <= note_on_kind || (kind == controller_kind && first == sustain_pedal))
          file.events.push_back({now, kind, channel, first, second});
      }
    } else if (first == 0xFF) {
      uint8_t type;
      if (!in.byte(type) || !in.block(content)) break;
      ended = type == meta_end_of_track;
      if (type == meta_tempo && content.size() == 3 && big_endian(content, 0, 3) > 0)
        file.tempos.push_back({now, big_endian(content, 0, 3)});
    } else if (first == 0xF0 || first == 0xF7) {
      if (!in.block(content)) break;
    } else {
      in.stop(midi_faults::status, in.at - 1);
      break;
    }
    tick = now;
  }
  track.events = file.events.size() - track.first_event;
  track.end_tick = tick;
  file.tracks.push_back(track);
  return ended;
}

// Reads the track whose chunk begins at `begin`, and returns where it ends. Its length is believed if the file goes on there;
// otherwise it ends where the next track begins, or with the file.
size_t parse_track(std::span<const uint8_t> bytes, size_t begin, MidiFile& file) {
  const size_t first = begin + chunk_head, length = big_endian(bytes, begin + 4, 4);
  const bool fits = length <= bytes.size() - first, believed = fits && goes_on(bytes, first + length);
  const size_t end = believed ? first + length : find_track(bytes, first);
  Cursor in{bytes, first, end, {}};
  const bool ended = parse_events(in, file);
  if (believed) {
    if (!in.fault.what.empty())
      pass_over(in.fault.what, in.fault.byte, file);
    else if (!ended)
      pass_over(midi_faults::no_end, end, file);
  } else if (ended && in.at == first + length) {
    return in.at;  // the length was right: what follows is no chunk
  } else if (!ended && !fits && end == bytes.size()) {
    pass_over(midi_faults::truncated, end, file);
  } else {
    pass_over(midi_faults::chunk_length, begin + 4, file);
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
  const int64_t last = last_tick();
  if (ticks_per_quarter == 0) return static_cast<double>(last) * smpte_seconds / smpte_ticks;
  double microseconds = 0;
  TempoChange now;
  for (const auto& next : tempos) {
    microseconds += static_cast<double>(next.tick - now.tick) * now.microseconds;
    now = next;
  }
  return (microseconds + static_cast<double>(last - now.tick) * now.microseconds) / ticks_per_quarter * 1e-6;
}

void parse_midi(std::span<const uint8_t> bytes, MidiFile& file) {
  file.tracks.clear();
  file.events.clear();
  file.tempos.clear();
  file.salvaged = {};
  file.salvaged_at = 0;
  const Header header = parse_header(bytes, file);
  for (size_t at = header.end; at < bytes.size();) {
    if (!goes_on(bytes, at)) {
      const size_t next = find_track(bytes, at);
      if (next < bytes.size() || file.tracks.size() >= header.tracks) pass_over(midi_faults::no_chunk, at, file);
      at = next;  // and where none is left and too few were found, the file is cut off: that is noted below
    } else if (is_chunk(bytes, at, "MTrk")) {
      at = parse_track(bytes, at, file);
    } else {
      at += chunk_head + big_endian(bytes, at + 4, 4);
    }
  }
  if (file.tracks.empty()) complain(bytes.size(), "found no track chunk 'MTrk', expected ", header.tracks);
  if (file.tracks.size() != header.tracks) pass_over(midi_faults::track_count, header.begin + 10, file);
  std::stable_sort(file.tempos.begin(), file.tempos.end(), [](const auto& a, const auto& b) { return a.tick < b.tick; });
}

MidiFile parse_midi(std::span<const uint8_t> bytes) {
  MidiFile file;
  parse_midi(bytes, file);
  return file;
}

std::span<const uint8_t> read_file(const std::string& path, std::vector<uint8_t>& buffer, int64_t most_bytes) {
  struct Descriptor {
    int number;
    ~Descriptor() { ::close(number); }
  };
  // Without O_NONBLOCK opening a pipe would wait for its writer.
  const int opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  require(opened >= 0, "read ", path, ": ", std::strerror(errno));
  const Descriptor file{opened};
  struct stat info;
  require(::fstat(file.number, &info) == 0, "read ", path, ": ", std::strerror(errno));
  require(S_ISREG(info.st_mode), "read ", path, ": not a regular file");
  require(info.st_size <= most_bytes, "read ", path, ": it has ", info.st_size, " bytes, expected at most ", most_bytes);
  const auto size = static_cast<size_t>(info.st_size);
  if (buffer.size() < size) buffer.resize(size);
  size_t have = 0;
  while (have < size) {
    const ssize_t got = ::read(file.number, buffer.data() + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    require(got >= 0, "read ", path, ": ", std::strerror(errno));
    if (got == 0) break;  // it shrank meanwhile
    have += static_cast<size_t>(got);
  }
  return {buffer.data(), have};
}

MidiWriter::MidiWriter(int64_t ticks_per_quarter, double beats_per_minute) {
  require(ticks_per_quarter > 0 && ticks_per_quarter < 0x8000, "midi: ", ticks_per_quarter,
          " ticks per quarter note, expected 1 to 32767");
  const double tempo = std::round(60e6 / beats_per_minute);
  require(tempo >= 1 && tempo < 0x1000000, "midi: a tempo of ", beats_per_minute, " beats a minute, expected 3.58 to 60000000");
  const auto us = static_cast<uint32_t>(tempo);
  const auto division = static_cast<uint16_t>(ticks_per_quarter);
  for (char byte : std::string_view("MThd\0\0\0\6\0\0\0\1", 12)) bytes_.push_back(byte);
  bytes_.insert(bytes_.end(), {uint8_t(division >> 8), uint8_t(division)});
  for (char byte : std::string_view("MTrk\0\0\0\0", 8)) bytes_.push_back(byte);  // finish sets the length
  bytes_.insert(bytes_.end(), {0, 0xFF, meta_tempo, 3, uint8_t(us >> 16), uint8_t(us >> 8), uint8_t(us)});
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
  require(pitch >= 0 && pitch < 128 && velocity > 0 && velocity < 128, "midi: note-on of pitch ", pitch, " at velocity ",
          velocity, ", expected 0..127 and 1..127");
  delta(tick);
  bytes_.insert(bytes_.end(), {note_on_kind, uint8_t(pitch), uint8_t(velocity)});
}

void MidiWriter::note_off(int64_t tick, int64_t pitch) {
  require(pitch >= 0 && pitch < 128, "midi: note-off of pitch ", pitch, ", expected 0..127");
  delta(tick);
  bytes_.insert(bytes_.end(), {note_off_kind, uint8_t(pitch), 0});
}

std::vector<uint8_t> MidiWriter::finish(int64_t end_tick) {
  delta(end_tick);
  bytes_.insert(bytes_.end(), {0xFF, meta_end_of_track, 0});
  const auto length = static_cast<uint32_t>(bytes_.size() - 22);
  for (int i = 0; i < 4; ++i) bytes_[18 + i] = static_cast<uint8_t>(length >> (24 - 8 * i));
  return std::move(bytes_);
}

}  // namespace poph
