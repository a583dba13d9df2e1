#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "data/music/midi.h"
#include "tests/support/midi_bytes.h"

// A MIDI file's bytes to events the plain way, word by word as data/music/midi.h has it.
namespace poph::test {

struct PlainRefusal {
  size_t byte;
};

struct PlainTrack {
  std::vector<MidiEvent> events;
  std::map<int64_t, int64_t> tempos;                      // microseconds of a quarter note, by tick
  std::vector<std::tuple<int64_t, int, int>> signatures;  // tick, numerator, denominator
  int64_t end_tick = 0;
};

struct PlainFile {
  int format = 0, division = 0;
  std::vector<PlainTrack> tracks;
  std::string_view damage;
  size_t damage_at = 0;
};

class PlainReader {
 public:
  explicit PlainReader(const Bytes& bytes) : bytes_(bytes.begin(), bytes.end()) {}

  PlainFile read() {
    const size_t begin = bytes_.find("MThd");
    if (begin == std::string::npos) throw PlainRefusal{0};
    if (begin != 0) odd(bytes_.starts_with("RIFF") ? "a RIFF wrapper" : "bytes before the header", 0);
    if (bytes_.size() < begin + 14) throw PlainRefusal{bytes_.size()};
    file_.format = static_cast<int>(number(begin + 8, 2));
    const uint64_t announced = number(begin + 10, 2);
    file_.division = static_cast<int>(number(begin + 12, 2));
    if (file_.format > 2) throw PlainRefusal{begin + 8};
    if (file_.division == 0) throw PlainRefusal{begin + 12};
    if (file_.division >= 0x8000) {
      const int frames = 256 - file_.division / 256;
      if ((frames != 24 && frames != 25 && frames != 29 && frames != 30) || file_.division % 256 == 0)
        throw PlainRefusal{begin + 12};
    }
    size_t next = begin + 8 + number(begin + 4, 4);
    if (number(begin + 4, 4) < 6 || next > bytes_.size()) {
      odd("a wrong chunk length", begin + 4);
      next = begin + 14;
    }
    while (next < bytes_.size()) next = chunk(next, announced);
    if (file_.tracks.empty()) throw PlainRefusal{bytes_.size()};
    if (file_.tracks.size() != announced) odd("a wrong number of tracks", begin + 10);
    return file_;
  }

 private:
  struct Stop {
    std::string_view what;
    size_t byte;
  };

  void odd(std::string_view what, size_t byte) {
    if (!file_.damage.empty()) return;
    file_.damage = what;
    file_.damage_at = byte;
  }

  uint64_t number(size_t at, int count) const {
    uint64_t value = 0;
    for (int i = 0; i < count; ++i) value = value * 256 + static_cast<uint8_t>(bytes_.at(at + i));
    return value;
  }

  bool goes_on(size_t at) const {
    if (at == bytes_.size()) return true;
    if (at + 8 > bytes_.size()) return false;
    const std::string kind = bytes_.substr(at, 4);
    if (kind == "MTrk") return true;
    for (const char c : kind)
      if (c < ' ' || c > '~') return false;
    return at + 8 + number(at + 4, 4) <= bytes_.size();
  }

  size_t next_track(size_t at) const {
    const size_t found = bytes_.find("MTrk", at);
    return found == std::string::npos || found + 8 > bytes_.size() ? bytes_.size() : found;
  }

  // Reads the chunk at `begin` and returns where the next one is to be looked for.
  size_t chunk(size_t begin, uint64_t announced) {
    if (!goes_on(begin)) {
      const size_t next = next_track(begin);
      if (next != bytes_.size() || file_.tracks.size() >= announced) odd("bytes between or behind the chunks", begin);
      return next;
    }
    const size_t stated = begin + 8 + number(begin + 4, 4);
    if (bytes_.substr(begin, 4) != "MTrk") return stated;
    const bool believed = stated <= bytes_.size() && goes_on(stated);
    at_ = begin + 8;
    end_ = believed ? stated : next_track(at_);
    file_.tracks.emplace_back();
    std::optional<Stop> fault;
    bool ended = false;
    try {
      while (at_ < end_ && !ended) ended = event(file_.tracks.back());
    } catch (const Stop& stop) {
      fault = stop;
    }
    status_ = 0;
    if (believed && fault) odd(fault->what, fault->byte);
    if (believed && !fault && !ended) odd("a track without an end-of-track event", end_);
    if (believed) return stated;
    if (ended && at_ == stated) return stated;
    if (!ended && stated > bytes_.size() && end_ == bytes_.size())
      odd("the file is cut off within a track", end_);
    else
      odd("a wrong chunk length", begin + 4);
    return end_;
  }

  int byte() {
    if (at_ == end_) throw Stop{"an event cut off by its track's end", at_};
    return static_cast<uint8_t>(bytes_[at_++]);
  }

  int data_byte() {
    const int value = byte();
    if (value > 127) throw Stop{"a data byte above 0x7f", at_ - 1};
    return value;
  }

  int64_t quantity() {
    const size_t start = at_;
    int64_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const int next = byte();
      value = value * 128 + next % 128;
      if (next < 128) return value;
    }
    throw Stop{"a delta time or length of more than 4 bytes", start};
  }

  std::string block() {
    const size_t start = at_;
    const auto length = static_cast<size_t>(quantity());
    if (length > end_ - at_) throw Stop{"an event longer than its track", start};
    at_ += length;
    return bytes_.substr(at_ - length, length);
  }

  void meta(PlainTrack& track, int64_t tick, int type, const std::string& content) {
    const auto value = [&](size_t i) { return static_cast<uint8_t>(content[i]); };
    if (type == 0x51 && content.size() == 3) {
      const int64_t us = (value(0) * 256 + value(1)) * 256 + value(2);
      if (us > 0) track.tempos[tick] = us;
    }
    if (type != 0x58) return;
    if (content.size() < 2 || value(0) == 0 || value(1) > 7)
      odd("a time signature that makes no sense", at_ - content.size());
    else
      track.signatures.emplace_back(tick, value(0), 1 << value(1));
  }

  // One event; whether it is the end of the track, which lies at the last whole event.
  bool event(PlainTrack& track) {
    const int64_t tick = track.end_tick + quantity();
    int first = byte();
    if (first == 0xFF || first == 0xF0 || first == 0xF7) {
      const int type = first == 0xFF ? byte() : 0;
      meta(track, tick, type, block());
      track.end_tick = tick;
      return type == 0x2F;
    }
    if (first > 0xF0) throw Stop{"an undefined status", at_ - 1};
    if (first >= 0x80) {
      status_ = first;
      first = data_byte();
    }
    if (status_ == 0) throw Stop{"a data byte without a status before it", at_ - 1};
    const int kind = status_ / 16, channel = status_ % 16;
    const int second = kind == 0xC || kind == 0xD ? 0 : data_byte();
    const auto keep = [&](int as) {
      track.events.push_back({tick, static_cast<uint8_t>(as), static_cast<uint8_t>(channel),
                              static_cast<uint8_t>(first), static_cast<uint8_t>(second)});
    };
    if (kind == 0x9) keep(second > 0 ? 0x90 : 0x80);
    if (kind == 0x8) keep(0x80);
    if (kind == 0xB && (first == 64 || first == 120 || first == 121 || first == 123)) keep(0xB0);
    track.end_tick = tick;
    return false;
  }

  const std::string bytes_;
  PlainFile file_;
  size_t at_ = 0, end_ = 0;
  int status_ = 0;
};

}  // namespace poph::test
