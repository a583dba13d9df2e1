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

// Walks [at, end) of a file; every read is checked against `end`, every complaint names the byte.
struct Cursor {
  std::span<const uint8_t> bytes;
  size_t at = 0, end = 0;

  size_t left() const { return end - at; }

  template <class... Parts>
  [[noreturn]] void complain(size_t where, const Parts&... parts) const {
    fail("midi: byte ", where, ": ", parts...);
  }

  uint8_t byte(const char* what) {
    if (at >= end) [[unlikely]]
      complain(at, "found the end of the track, expected ", what);
    return bytes[at++];
  }

  uint8_t data_byte() {
    const uint8_t value = byte("a data byte");
    if (value > 127) [[unlikely]]
      complain(at - 1, fmt::format("found {:#04x}, expected a data byte of 0 to 0x7f", value));
    return value;
  }

  // A variable-length quantity: seven bits a byte, the last one below 0x80.
  int64_t quantity(const char* what) {
    const size_t start = at;
    int64_t value = 0;
    for (int i = 0; i < max_quantity_bytes; ++i) {
      const uint8_t b = byte(what);
      value = value << 7 | (b & 0x7F);
      if (b < 0x80) return value;
    }
    complain(start, "found ", what, " of more than ", max_quantity_bytes, " bytes, expected at most ", max_quantity_bytes);
  }

  // The bytes of a meta or system exclusive event, as long as it says it is.
  std::span<const uint8_t> block(const char* what) {
    const size_t start = at;
    const auto length = static_cast<size_t>(quantity("an event's length"));
    if (length > left()) complain(start, "found ", what, " of ", length, " bytes, expected at most the track's last ", left());
    at += length;
    return bytes.subspan(at - length, length);
  }
};

uint32_t big_endian(std::span<const uint8_t> bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

bool is_chunk(std::span<const uint8_t> bytes, size_t at, const char* kind) { return std::memcmp(&bytes[at], kind, 4) == 0; }

std::string shown(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return "nothing";
  if (std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b >= 0x20 && b < 0x7F; }))
    return fmt::format("'{}'", std::string(bytes.begin(), bytes.end()));
  std::string text;
  for (uint8_t b : bytes) text += fmt::format("{}{:02x}", text.empty() ? "" : " ", b);
  return text;
}

// Reads the header chunk, puts `at` behind it and returns how many tracks it announces.
size_t parse_header(Cursor& in, MidiFile& file) {
  const auto bytes = in.bytes;
  if (bytes.size() < 4 || !is_chunk(bytes, 0, "MThd"))
    in.complain(0, "found ", shown(bytes.first(std::min<size_t>(4, bytes.size()))), ", expected the header chunk 'MThd'");
  if (bytes.size() < 14) in.complain(bytes.size(), "truncated: found ", bytes.size(), " bytes, expected a header of 14");
  const uint32_t length = big_endian(bytes, 4, 4);
  if (length < 6 || length > bytes.size() - 8)
    in.complain(4, "found a header length of ", length, ", expected 6 to the ", bytes.size() - 8, " bytes that follow");
  file.format = static_cast<int>(big_endian(bytes, 8, 2));
  if (file.format > 2) in.complain(8, "found format ", file.format, ", expected 0, 1 or 2");

  file.ticks_per_quarter = file.smpte_ticks = 0;
  file.smpte_seconds = 1;
  const int division = static_cast<int>(big_endian(bytes, 12, 2));
  if (division < 0x8000) {
    if (division == 0) in.complain(12, "found division 0, expected 1 or more ticks per quarter note");
    file.ticks_per_quarter = division;
  } else {
    const int frames = 256 - (division >> 8), ticks = division & 0xFF;
    if ((frames != 24 && frames != 25 && frames != 29 && frames != 30) || ticks == 0)
      in.complain(12, "found ", frames, " frames a second of ", ticks, " ticks, expected 24, 25, 29 or 30 of 1 to 255");
    file.smpte_ticks = frames == 29 ? 30000 * ticks : frames * ticks;  // 29 stands for 30 drop-frame: 30000/1001 a second
    file.smpte_seconds = frames == 29 ? 1001 : 1;
  }
  in.at = 8 + size_t{length};
  return big_endian(bytes, 10, 2);
}

void parse_track(Cursor& in, MidiFile& file) {
  MidiTrack track{file.events.size(), 0, 0};
  int64_t tick = 0;
  uint8_t status = 0;  // the running status
  while (in.left() > 0) {
    tick += in.quantity("a delta time");
    uint8_t first = in.byte("an event");
    if (first < 0xF0) {
      if (first >= 0x80) {
        status = first;
        first = in.data_byte();
      } else if (status == 0) [[unlikely]] {
        in.complain(in.at - 1, fmt::format("found data byte {:#04x} with no status before it, expected a status", first));
      }
      const uint8_t kind = status & 0xF0, channel = status & 0x0F;
      if (kind == 0xC0 || kind == 0xD0) continue;  // program, channel pressure: one data byte
      const uint8_t second = in.data_byte();
      if (kind == note_on_kind && second == 0)
        file.events.push_back({tick, note_off_kind, channel, first, 0});
      else if (kind <= note_on_kind || (kind == controller_kind && first == sustain_pedal))
        file.events.push_back({tick, kind, channel, first, second});
    } else if (first == 0xFF) {
      const uint8_t type = in.byte("a meta event's type");
      const auto content = in.block("a meta event");
      if (type == meta_end_of_track) break;
      if (type == meta_tempo && content.size() == 3 && big_endian(content, 0, 3) > 0)
        file.tempos.push_back({tick, big_endian(content, 0, 3)});
    } else if (first == 0xF0 || first == 0xF7) {
      in.block("a system exclusive event");
    } else {
      in.complain(in.at - 1, fmt::format("found status {:#04x}, expected 0x80 to 0xf0, 0xf7 or 0xff", first));
    }
  }
  track.events = file.events.size() - track.first_event;
  track.end_tick = tick;
  file.tracks.push_back(track);
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
  Cursor in{bytes, 0, bytes.size()};
  const size_t announced = parse_header(in, file);
  while (in.left() > 0) {
    const bool complete = file.tracks.size() >= announced && !file.tracks.empty();  // then what follows may be junk
    if (in.left() < 8) {
      if (complete) break;
      in.complain(in.at, "truncated: found ", in.left(), " bytes, expected a chunk (track ", file.tracks.size() + 1, " of ",
                  announced, ")");
    }
    const bool is_track = is_chunk(bytes, in.at, "MTrk");
    const size_t length = big_endian(bytes, in.at + 4, 4), left = in.left() - 8;
    if (length > left) {
      if (complete && !is_track) break;
      in.complain(in.at, "truncated: found a chunk ", shown(bytes.subspan(in.at, 4)), " of ", length, " bytes, but only ", left,
                  " follow");
    }
    in.at += 8;
    if (is_track) {
      Cursor track{bytes, in.at, in.at + length};
      parse_track(track, file);
    }
    in.at += length;
  }
  if (file.tracks.empty()) in.complain(bytes.size(), "found no track chunk 'MTrk', expected ", announced);
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
