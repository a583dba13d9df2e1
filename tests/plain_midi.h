#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "data/notes.h"
#include "tensor/error.h"
#include "tests/midi_bytes.h"

// Reading MIDI the plain way, word by word as SPEC 1 and data/midi.h have it, and random files to try it on: the twin of the
// reader, the pairing and the rolls.
namespace poph::test {

struct PlainRefusal {
  size_t byte;
};

struct PlainTrack {
  std::vector<MidiEvent> events;
  int64_t end_tick = 0;
};

struct PlainFile {
  int format = 0, division = 0;
  std::vector<PlainTrack> tracks;
  std::string_view salvaged;
  size_t salvaged_at = 0;
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
    if (!file_.salvaged.empty()) return;
    file_.salvaged = what;
    file_.salvaged_at = byte;
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

  void skip_block() {
    const size_t start = at_;
    const auto length = static_cast<size_t>(quantity());
    if (length > end_ - at_) throw Stop{"an event longer than its track", start};
    at_ += length;
  }

  // One event; whether it is the end of the track, which lies at the last whole event.
  bool event(PlainTrack& track) {
    const int64_t tick = track.end_tick + quantity();
    int first = byte();
    if (first == 0xFF || first == 0xF0 || first == 0xF7) {
      const int type = first == 0xFF ? byte() : 0;
      skip_block();
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
      track.events.push_back({tick, static_cast<uint8_t>(as), static_cast<uint8_t>(channel), static_cast<uint8_t>(first),
                              static_cast<uint8_t>(second)});
    };
    if (kind == 0x9) keep(second > 0 ? 0x90 : 0x80);
    if (kind == 0x8) keep(0x80);
    if (kind == 0xB && first == 64) keep(0xB0);
    track.end_tick = tick;
    return false;
  }

  const std::string bytes_;
  PlainFile file_;
  size_t at_ = 0, end_ = 0;
  int status_ = 0;
};

struct PlainNote {
  size_t track = 0;
  int64_t onset = 0, end = 0;
  int channel = 0, pitch = 0, velocity = 0;
};

inline std::vector<PlainNote> plain_notes(const PlainFile& file, const NoteSettings& settings) {
  struct Sounding {
    size_t note;
    std::optional<int> pedal;  // the channel whose pedal holds it
  };
  std::vector<PlainNote> notes;
  for (size_t t = 0; t < file.tracks.size(); ++t) {
    std::map<std::pair<int, int>, Sounding> sounding;  // by the channel that counts as a track, and pitch
    std::map<int, bool> pedal_down;
    for (const auto& event : file.tracks[t].events) {
      if (event.channel == 9 && !settings.percussion) continue;
      if (event.kind == 0xB0 && !settings.sustain) continue;
      const std::pair<int, int> where{file.format == 0 ? event.channel : 0, event.key};
      const auto found = sounding.find(where);
      if (event.kind == 0xB0) {
        if (event.value < 64)
          std::erase_if(sounding, [&](const auto& entry) {
            const bool ends = entry.second.pedal == int{event.channel};
            if (ends) notes[entry.second.note].end = event.tick;
            return ends;
          });
        pedal_down[event.channel] = event.value >= 64;
        continue;
      }
      if (event.kind == 0x80 && pedal_down[event.channel]) {
        if (found != sounding.end()) found->second.pedal = event.channel;
        continue;
      }
      if (found != sounding.end()) {
        notes[found->second.note].end = event.tick;
        sounding.erase(found);
      }
      if (event.kind == 0x90) {
        sounding[where] = {notes.size(), {}};
        notes.push_back({t, event.tick, 0, event.channel, event.key, event.value});
      }
    }
    for (const auto& [where, last] : sounding) notes[last.note].end = file.tracks[t].end_tick;
  }
  return notes;
}

// The roll as text_of() shows it; nothing where it would have more steps than `most` or time runs in SMPTE frames.
inline std::optional<std::string> plain_roll(const PlainFile& file, const RollSettings& settings, int64_t most) {
  if (file.division >= 0x8000) return {};
  struct Cells {
    std::map<int, int> loudest;  // by pitch
    std::map<int, bool> struck;
  };
  std::map<int64_t, std::map<int, int>> volumes;  // of all parts, by step and pitch; replays likewise
  std::map<int64_t, std::map<int, bool>> replays;
  std::map<std::pair<size_t, int>, std::map<int64_t, Cells>> parts;
  const auto step_of = [&](int64_t tick) { return tick * settings.steps_per_quarter / file.division; };
  for (const auto& note : plain_notes(file, {settings.percussion, settings.sustain})) {
    if (note.pitch < settings.lowest_note || note.pitch >= settings.lowest_note + settings.notes) continue;
    auto& steps = parts[{note.track, file.format == 0 ? note.channel : 0}];
    if (step_of(note.end) >= most) return {};
    steps[step_of(note.onset)].struck[note.pitch] = true;
    if (note.end == note.onset) continue;
    for (int64_t step = step_of(note.onset); step <= step_of(note.end - 1); ++step) {  // those without a tick of their own, too
      int& loudest = steps[step].loudest[note.pitch];
      loudest = std::max(loudest, note.velocity);
    }
  }
  for (auto& [part, steps] : parts)
    for (auto& [step, cells] : steps)
      for (const auto& [pitch, velocity] : cells.loudest) {
        volumes[step][pitch] += velocity;
        if (cells.struck[pitch] && steps.contains(step - 1) && steps[step - 1].loudest.contains(pitch))
          replays[step][pitch] = true;
      }
  std::string text;
  for (int64_t step = 0; !volumes.empty() && step <= volumes.rbegin()->first; ++step) {
    for (int64_t n = 0; n < settings.notes; ++n) {
      const int pitch = static_cast<int>(settings.lowest_note + n), volume = volumes[step][pitch];
      text += n ? " " : "";
      text += volume == 0 ? "." : std::to_string(std::min(volume, 127)) + (replays[step][pitch] ? "'" : "");
    }
    text += "|";
  }
  return text;
}

// A file of a few tracks with events of every kind: short times, few pitches and channels, so that much happens at one place.
inline Bytes random_file(Random& random) {
  const auto any = [&](std::initializer_list<int> of) { return static_cast<uint8_t>(of.begin()[random.below(std::ssize(of))]); };
  const auto tracks = static_cast<int>(1 + random.below(3));
  const int division = random.below(8) == 0 ? 0xE728 : any({1, 3, 24, 96, 96});
  Bytes file = header(static_cast<int>(random.below(3)), tracks, division);
  for (int t = 0; t < tracks; ++t) {
    Bytes events;
    uint8_t status = 0;
    for (int64_t left = random.below(40); left > 0; --left) {
      const int64_t time = random.below(4);
      if (time == 3) events.push_back(static_cast<uint8_t>(0x80 + random.below(2)));
      events.push_back(time == 0 ? 0 : static_cast<uint8_t>(random.below(9)));
      const int64_t kind = random.below(20);
      const uint8_t channel = any({0, 0, 0, 1, 9}), pitch = any({60, 61, 62, 80}), value = any({0, 0, 1, 64, 100, 127});
      if (kind == 0) events = events + Bytes{0xFF, any({1, 0x51, 0x58}), 3, 7, 0xA1, value};
      if (kind == 1) events = events + Bytes{any({0xF0, 0xF7}), 2, value, 0xF7};
      if (kind < 2) continue;
      uint8_t next = static_cast<uint8_t>(any({0x80, 0x90, 0x90, 0x90, 0x90, 0xA0, 0xE0}) | channel);
      if (kind == 2) next = static_cast<uint8_t>(0xC0 | channel);
      if (kind == 3 || kind == 4) next = static_cast<uint8_t>(0xB0 | channel);
      if (next != status || random.below(2)) events.push_back(next);
      status = next;
      events.push_back(kind == 3 || kind == 4 ? any({64, 64, 64, 7}) : pitch);
      if (kind != 2) events.push_back(value);
    }
    file = file + chunk("MTrk", random.below(4) ? events + end_of_track : events);
  }
  return file;
}

// A few bytes changed in place, and now and then dropped, put in, doubled or cut off: then lengths are wrong, too.
inline void mutate(Bytes& file, Random& random) {
  for (int64_t left = 1 + random.below(3); left > 0 && !file.empty(); --left) {
    const auto at = file.begin() + random.below(std::ssize(file));
    const uint8_t telling[] = {0x00, 0x7F, 0x80, 0x90, 0xB0, 0xF0, 0xF4, 0xFF};
    const auto value = static_cast<uint8_t>(random.below(2) ? telling[random.below(8)] : random.below(128));
    switch (random.below(16)) {
      case 0:
        file.erase(at);
        break;
      case 1:
        file.insert(at, value);
        break;
      case 2:
        file.erase(at, file.end());
        break;
      case 3: {
        const Bytes some(at, at + std::min<int64_t>(1 + random.below(12), file.end() - at));
        file.insert(at, some.begin(), some.end());
        break;
      }
      case 4:
      case 5:
      case 6:
      case 7:
        *at ^= static_cast<uint8_t>(1 << random.below(8));
        break;
      default:
        *at = value;
    }
  }
}

// What came of the files so far: a comparison that never gets anywhere proves nothing.
struct Compared {
  int refused = 0, read = 0, salvaged = 0, rolls = 0;
};

// How the two ways of reading differ on a file, in a few words; empty when they do not.
inline std::string difference(const Bytes& bytes, const RollSettings& settings, Compared& compared) {
  std::optional<PlainFile> plain;
  size_t refused_at = 0;
  try {
    plain = PlainReader(bytes).read();
  } catch (const PlainRefusal& refusal) {
    refused_at = refusal.byte;
  }
  MidiFile file;
  try {
    parse_midi(bytes, file);
  } catch (const Error& error) {
    if (plain) return joined("refused alone: ", error.what());
    ++compared.refused;
    const std::string text = error.what(), want = joined("midi: byte ", refused_at, ": ");
    return text.starts_with(want) ? "" : text + ", expected " + want;
  }
  if (!plain) return joined("read what is to be refused at byte ", refused_at);
  ++compared.read;
  compared.salvaged += !file.salvaged.empty();
  if (file.salvaged != plain->salvaged || file.salvaged_at != plain->salvaged_at)
    return joined("salvaged '", file.salvaged, "' at ", file.salvaged_at, ", expected '", plain->salvaged, "' at ",
                  plain->salvaged_at);

  if (file.format != plain->format || file.ticks_per_quarter != (plain->division < 0x8000 ? plain->division : 0)) return "header";
  if (file.tracks.size() != plain->tracks.size()) return "number of tracks";
  const auto same = [](const MidiEvent& a, const MidiEvent& b) {
    return a.tick == b.tick && a.kind == b.kind && a.channel == b.channel && a.key == b.key && a.value == b.value;
  };
  for (size_t t = 0; t < file.tracks.size(); ++t) {
    const auto events = std::span(file.events).subspan(file.tracks[t].first_event, file.tracks[t].events);
    const auto& want = plain->tracks[t];
    if (file.tracks[t].end_tick != want.end_tick) return "a track's end";
    if (!std::equal(events.begin(), events.end(), want.events.begin(), want.events.end(), same)) return "events";
  }

  NoteList list;
  pair_notes(file, {settings.percussion, settings.sustain}, list);
  const auto notes = plain_notes(*plain, {settings.percussion, settings.sustain});
  if (list.tracks.size() != file.tracks.size() || list.notes.size() != notes.size()) return "number of notes";
  for (size_t i = 0; i < notes.size(); ++i) {
    const Note& note = list.notes[i];
    const NoteList::Track& run = list.tracks[notes[i].track];
    if (i < run.first_note || i >= run.first_note + run.notes) return "a note's track";
    if (note.onset != notes[i].onset || note.duration != notes[i].end - notes[i].onset || note.channel != notes[i].channel ||
        note.pitch != notes[i].pitch || note.velocity != notes[i].velocity)
      return joined("note ", i);
  }

  const auto roll = plain_roll(*plain, settings, 200);
  try {
    const Roll decoded = decode(file, settings);
    if (roll && text_of(decoded) != *roll) return "roll " + text_of(decoded) + ", expected " + *roll;
  } catch (const Error& error) {  // too long a piece
    if (roll) return joined("no roll: ", error.what());
  }
  compared.rolls += roll.has_value();
  return "";
}

inline RollSettings random_settings(Random& random) {
  RollSettings settings{.lowest_note = 60, .notes = 3, .percussion = random.below(2) > 0, .sustain = random.below(2) > 0};
  if (random.below(4) == 0) settings.lowest_note = 0, settings.notes = 62 + random.below(67);  // more than a word of bits
  return settings;
}

}  // namespace poph::test
