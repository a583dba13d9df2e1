#pragma once
#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "data/music/roll.h"

// The controllers that change how long notes last. They stand in any track and hold for all tracks' notes of their
// channel, so they are gathered before the tracks are read one by one.
namespace poph {

// The place of an event: events of one tick are applied track by track, in file order.
struct EventPlace {
  int64_t tick = 0;
  uint32_t event = 0;  // of MidiFile::events

  auto operator<=>(const EventPlace&) const = default;
};
inline constexpr EventPlace never{std::numeric_limits<int64_t>::max(), 0};

class Controls {
 public:
  // Of events [first, end) of the file, which last until `last_tick`.
  Controls(const MidiFile& file, uint32_t first, uint32_t end, int64_t last_tick, const RollSettings& settings)
      : last_tick_(last_tick) {
    for (uint32_t i = first; i < end; ++i) {
      const MidiEvent& event = file.events[i];
      if (event.kind != controller_kind || (event.channel == percussion_channel && !settings.percussion)) continue;
      const bool ends = event.key == all_sound_off || event.key == all_notes_off;
      if (ends) channels_[event.channel].ends.push_back({event.tick, i});
      if (ends || !settings.sustain) continue;
      channels_[event.channel].pedal.push_back({{event.tick, i}, event.key == sustain_pedal && event.value >= 64});
    }
    for (Channel& channel : channels_) {
      std::sort(channel.ends.begin(), channel.ends.end());
      std::sort(channel.pedal.begin(), channel.pedal.end(), [](const Move& a, const Move& b) { return a.at < b.at; });
      bool down = false;
      std::erase_if(channel.pedal, [&](const Move& move) { return move.down == std::exchange(down, move.down); });
      channel.any = !channel.ends.empty() || !channel.pedal.empty();
      any_ = any_ || channel.any;
    }
  }

  bool any() const { return any_; }
  bool any(uint8_t channel) const { return channels_[channel].any; }

  // Where all notes of a channel end that sound at `at`: never, or a later place.
  EventPlace end_after(uint8_t channel, EventPlace at) const {
    const auto& ends = channels_[channel].ends;
    const auto next = std::upper_bound(ends.begin(), ends.end(), at);
    return next == ends.end() ? never : *next;
  }

  // Where a note-off at `at` takes effect: there, or where the pedal goes up. A pedal that stays down holds to the end.
  EventPlace release(uint8_t channel, EventPlace at) const {
    const auto& pedal = channels_[channel].pedal;
    const auto next = std::upper_bound(pedal.begin(), pedal.end(), at,
                                       [](EventPlace place, const Move& move) { return place < move.at; });
    if (next == pedal.begin() || !next[-1].down) return at;
    return next == pedal.end() ? EventPlace{last_tick_, std::numeric_limits<uint32_t>::max()} : next->at;
  }

 private:
  struct Move {
    EventPlace at;
    bool down;
  };
  struct Channel {
    std::vector<EventPlace> ends;
    std::vector<Move> pedal;  // down and up in turn
    bool any = false;
  };

  std::array<Channel, 16> channels_;
  bool any_ = false;
  int64_t last_tick_;
};

}  // namespace poph
