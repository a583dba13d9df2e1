#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tensor/error.h"

// What can be wrong with a file of music: one list of kinds, each with the words that messages and summaries have for
// it. Of a damaged file what can be read is read (MidiFile::damage); one of which nothing can be is a Damaged error.
namespace poph {

enum class Damage : uint8_t {
  none,
  // parse_midi reads on.
  riff,
  before_header,
  chunk_length,
  no_chunk,
  truncated,
  no_end,
  track_count,
  data_byte,
  no_status,
  status,
  quantity,
  event_length,
  cut_event,
  signature,
  // parse_midi has nothing to read.
  empty,
  no_header,
  cut_header,
  format,
  division,
  frame_rate,
  no_track,
  // decode makes no roll of it.
  too_long,
  too_much,
  // Its roll is of no use.
  silent,
  out_of_range,
  // Its bytes are not to be had.
  too_large,
  unreadable,
  link,
  device,
  encrypted,
  archive,
  name,
};

inline constexpr auto damage_words = std::to_array<std::pair<Damage, std::string_view>>({
    {Damage::none, ""},
    {Damage::riff, "a RIFF wrapper"},
    {Damage::before_header, "bytes before the header"},
    {Damage::chunk_length, "a wrong chunk length"},
    {Damage::no_chunk, "bytes between or behind the chunks"},
    {Damage::truncated, "the file is cut off within a track"},
    {Damage::no_end, "a track without an end-of-track event"},
    {Damage::track_count, "a wrong number of tracks"},
    {Damage::data_byte, "a data byte above 0x7f"},
    {Damage::no_status, "a data byte without a status before it"},
    {Damage::status, "an undefined status"},
    {Damage::quantity, "a delta time or length of more than 4 bytes"},
    {Damage::event_length, "an event longer than its track"},
    {Damage::cut_event, "an event cut off by its track's end"},
    {Damage::signature, "a time signature that makes no sense"},
    {Damage::empty, "empty files"},
    {Damage::no_header, "no MIDI header: HTML, text, another format"},
    {Damage::cut_header, "cut off within the header"},
    {Damage::format, "a format above 2"},
    {Damage::division, "division 0"},
    {Damage::frame_rate, "an SMPTE division of an unknown frame rate"},
    {Damage::no_track, "no track"},
    {Damage::too_long, "absurd times: notes beyond the longest piece"},
    {Damage::too_much, "absurd times: too much sounds at once, too long"},
    {Damage::silent, "nothing sounds"},
    {Damage::out_of_range, "all notes out of range"},
    {Damage::too_large, "too large"},
    {Damage::unreadable, "cannot be read from the disk"},
    {Damage::link, "links in an archive"},
    {Damage::device, "devices and pipes in an archive"},
    {Damage::encrypted, "encrypted"},
    {Damage::archive, "the archive is damaged there"},
    {Damage::name, "names in no known encoding"},
});

constexpr bool in_order() {
  for (size_t i = 0; i < damage_words.size(); ++i)
    if (static_cast<size_t>(damage_words[i].first) != i) return false;
  return true;
}
static_assert(in_order(), "damage_words has a row for each kind, in their order");

constexpr std::string_view words(Damage damage) { return damage_words[static_cast<size_t>(damage)].second; }

inline std::optional<Damage> damage_named(std::string_view text) {
  for (const auto& [damage, words] : damage_words)
    if (words == text) return damage;
  return {};
}

// A file of which nothing can be read.
struct Damaged : Error {
  template <class... Parts>
  explicit Damaged(Damage damage, const Parts&... parts) : Error(joined(parts...)), damage(damage) {}

  Damage damage;
};

}  // namespace poph
