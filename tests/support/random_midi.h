#pragma once
#include "data/music/roll.h"
#include "tests/support/midi_bytes.h"

// Random MIDI files, whole and damaged, and random settings to read them with.
namespace poph::test {

// A file of a few tracks with events of every kind: short times, few pitches and channels, so that much happens at one
// place.
inline Bytes random_file(Random& random) {
  const auto any = [&](std::initializer_list<int> of) {
    return static_cast<uint8_t>(of.begin()[random.below(std::ssize(of))]);
  };
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
      if (kind == 0) events = events + Bytes{0xFF, any({1, 0x51, 0x58}), 3, 7, any({0xA1, 2}), value};
      if (kind == 1) events = events + Bytes{any({0xF0, 0xF7}), 2, value, 0xF7};
      if (kind < 2) continue;
      uint8_t next = static_cast<uint8_t>(any({0x80, 0x90, 0x90, 0x90, 0x90, 0xA0, 0xE0}) | channel);
      if (kind == 2) next = static_cast<uint8_t>(0xC0 | channel);
      if (kind == 3 || kind == 4) next = static_cast<uint8_t>(0xB0 | channel);
      if (next != status || random.below(2)) events.push_back(next);
      status = next;
      events.push_back(kind == 3 || kind == 4 ? any({64, 64, 64, 7, 120, 121, 123}) : pitch);
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

inline RollSettings random_settings(Random& random) {
  RollSettings settings{
      .lowest_note = 60, .notes = 3, .percussion = random.below(2) > 0, .sustain = random.below(2) > 0};
  if (random.below(2)) settings.quantize = Quantize::floor;
  settings.file_meter = random.below(4) > 0;
  // more than a word of bits
  if (random.below(4) == 0) settings.lowest_note = 0, settings.notes = 62 + random.below(67);
  return settings;
}

}  // namespace poph::test
