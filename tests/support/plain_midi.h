#pragma once
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <tuple>

#include "data/music/notes.h"
#include "tensor/error.h"
#include "tests/support/plain_reader.h"

// From events to notes and rolls the plain way, word by word as MODEL.md "Piano roll" and "Bars" have it: the twin of
// the pairing and of decode.
namespace poph::test {

// The tracks that play together: of a file of format 2 each by itself.
inline std::vector<std::vector<size_t>> plain_pieces(const PlainFile& file) {
  std::vector<std::vector<size_t>> pieces(file.format == 2 ? file.tracks.size() : 1);
  for (size_t t = 0; t < file.tracks.size(); ++t) pieces[file.format == 2 ? t : 0].push_back(t);
  return pieces;
}

// Quarter notes from the start to a tick.
inline long double plain_quarters(const PlainFile& file, const std::vector<size_t>& piece, int64_t tick) {
  if (file.division < 0x8000) return static_cast<long double>(tick) / file.division;
  const int frames = 256 - file.division / 256;
  const long double seconds_a_tick = (frames == 29 ? 1001 / 30000.0L : 1.0L / frames) / (file.division % 256);
  std::map<int64_t, int64_t> tempos{{0, 500000}};
  for (const size_t t : piece)
    for (const auto& [at, us] : file.tracks[t].tempos) tempos[at] = us;
  long double quarters = 0;
  for (auto tempo = tempos.begin(); tempo != tempos.end() && tempo->first < tick; ++tempo) {
    const auto next = std::next(tempo);
    const int64_t until = next == tempos.end() ? tick : std::min(tick, next->first);
    quarters += static_cast<long double>(until - tempo->first) * seconds_a_tick * 1e6L / tempo->second;
  }
  return quarters;
}

struct PlainNote {
  size_t track = 0, event = 0;
  int64_t onset = 0, end = 0;
  int channel = 0, pitch = 0, velocity = 0;
};

// The notes of one piece: all its events one by one, in the order in which they happen.
inline void plain_notes(const PlainFile& file, const std::vector<size_t>& piece, const RollSettings& settings,
                        std::vector<PlainNote>& notes) {
  struct Sounding {
    PlainNote note;
    bool down = true;             // no note-off yet
    std::optional<int64_t> late;  // where a note-off may be that of the note before
  };
  std::map<std::tuple<int64_t, size_t, size_t>, const MidiEvent*> events;  // null: a track's end
  int64_t last_tick = 0;
  for (const size_t t : piece) {
    const PlainTrack& track = file.tracks[t];
    for (size_t i = 0; i < track.events.size(); ++i) events[{track.events[i].tick, t, i}] = &track.events[i];
    events[{track.end_tick, t, track.events.size()}] = nullptr;
    last_tick = std::max(last_tick, track.end_tick);
  }
  std::map<std::tuple<size_t, int, int>, Sounding> sounding;  // by track, channel and pitch
  std::map<int, bool> pedal_down;
  const auto end = [&](int64_t tick, const auto& ends) {
    for (auto at = sounding.begin(); at != sounding.end();) {
      if (!ends(at->second)) {
        ++at;
        continue;
      }
      at->second.note.end = tick;
      notes.push_back(at->second.note);
      at = sounding.erase(at);
    }
  };
  for (const auto& place_and_event : events) {
    // Not by a structured binding: clang 14 does not let a lambda see one.
    const MidiEvent* event = place_and_event.second;
    const auto [tick, t, i] = place_and_event.first;
    if (!event) {
      end(tick, [&, track = t](const Sounding& one) { return one.note.track == track && one.down; });
      continue;
    }
    if (event->channel == 9 && !settings.percussion) continue;
    const auto of_channel = [&](const Sounding& one) { return one.note.channel == event->channel; };
    if (event->kind == 0xB0) {
      if (event->key == 120 || event->key == 123) end(tick, of_channel);
      if (event->key != 64 && event->key != 121) continue;
      pedal_down[event->channel] = settings.sustain && event->key == 64 && event->value >= 64;
      if (!pedal_down[event->channel]) end(tick, [&](const Sounding& one) { return of_channel(one) && !one.down; });
      continue;
    }
    const auto found = sounding.find({t, event->channel, event->key});
    const auto here = [&](const Sounding& one) { return found != sounding.end() && &one == &found->second; };
    if (event->kind == 0x90) {
      Sounding next{{t, i, tick, 0, event->channel, event->key, event->value}, true, {}};
      if (found != sounding.end() && found->second.down) next.late = tick;
      end(tick, here);
      sounding[{t, event->channel, event->key}] = next;
      continue;
    }
    if (found == sounding.end() || !found->second.down) continue;
    const auto late = std::exchange(found->second.late, std::nullopt);
    const long double half = 0.5L / settings.steps_per_quarter - 1e-9L;
    if (late && plain_quarters(file, piece, tick) - plain_quarters(file, piece, *late) < half) continue;
    found->second.down = false;
    if (!pedal_down[event->channel]) end(tick, here);
  }
  end(last_tick, [](const Sounding&) { return true; });
}

// By track, in the order of their note-ons.
inline std::vector<PlainNote> plain_notes(const PlainFile& file, const RollSettings& settings) {
  std::vector<PlainNote> notes;
  for (const auto& piece : plain_pieces(file)) plain_notes(file, piece, settings, notes);
  std::sort(notes.begin(), notes.end(), [](const PlainNote& a, const PlainNote& b) {
    return std::tie(a.track, a.event) < std::tie(b.track, b.event);
  });
  return notes;
}

// The roll as text_of() shows it, with the beat of each step behind it; nothing where it would have more than max_steps
// steps or time runs in SMPTE frames.
inline std::optional<std::string> plain_roll(const PlainFile& file, const RollSettings& settings, int64_t max_steps) {
  if (file.division >= 0x8000) return {};
  const int64_t q = settings.steps_per_quarter, r = file.division;
  const bool nearest = settings.quantize == Quantize::nearest;
  const auto round = [&](int64_t tick) { return nearest ? (2 * tick * q + r) / (2 * r) : tick * q / r; };
  std::map<int64_t, std::map<int, int>> volumes;  // by step and pitch
  std::map<int64_t, std::map<int, bool>> begins;
  std::map<int64_t, std::pair<int, int>> meters;  // by step
  int64_t first = 0, length = 0;                  // of a piece
  for (const auto& piece : plain_pieces(file)) {
    first = (first + length + 4 * q - 1) / (4 * q) * (4 * q);
    length = 0;
    std::vector<PlainNote> notes;
    plain_notes(file, piece, settings, notes);
    for (const auto& note : notes) {
      if (note.pitch < settings.lowest_note || note.pitch >= settings.lowest_note + settings.notes) continue;
      if (note.end == note.onset) continue;
      const int64_t end =
          nearest ? std::max(round(note.onset) + 1, round(note.end)) : (note.end * q + r - 1) / r;  // rounded up
      if (end > max_steps) return {};
      begins[first + round(note.onset)][note.pitch] = true;
      for (int64_t step = round(note.onset); step < end; ++step) {
        int& loudest = volumes[first + step][note.pitch];
        loudest = std::max(loudest, note.velocity);
      }
      length = std::max(length, end);
    }
    if (length == 0) {  // no piece
      continue;
    }
    if (!settings.file_meter) continue;
    meters[first] = {4, 4};
    std::vector<std::tuple<int64_t, int, int>> signatures;
    for (const size_t t : piece)
      signatures.insert(signatures.end(), file.tracks[t].signatures.begin(), file.tracks[t].signatures.end());
    std::stable_sort(signatures.begin(), signatures.end(),
                     [](const auto& a, const auto& b) { return std::get<0>(a) < std::get<0>(b); });
    for (const auto& [tick, n, d] : signatures)
      if (round(tick) < length) meters[first + round(tick)] = {n, d};
  }
  std::string text;
  std::pair<int, int> meter{4, 4};
  int64_t place = 0;  // in its bar
  for (int64_t step = 0; !volumes.empty() && step <= volumes.rbegin()->first; ++step, ++place) {
    for (int64_t n = 0; n < settings.notes; ++n) {
      const int pitch = static_cast<int>(settings.lowest_note + n), volume = volumes[step][pitch];
      const bool again = begins[step][pitch] && step > 0 && volumes[step - 1][pitch] > 0;
      text += n ? " " : "";
      text += volume == 0 ? "." : std::to_string(volume) + (again ? "'" : "");
    }
    if (const auto change = meters.find(step); change != meters.end()) {
      meter = change->second;
      place = 0;
    }
    const double bar = std::max(1.0, std::floor(4.0 * static_cast<double>(q) * meter.first / meter.second + 0.5));
    if (place >= static_cast<int64_t>(bar)) place = 0;
    text += joined("@", place * 4 / q % 16, "|");
  }
  return text;
}

inline std::string text_with_beats(const Roll& roll, int64_t steps_per_quarter) {
  std::string text, steps = text_of(roll);
  int64_t step = 0;
  for (const char c : steps)
    text += c == '|' ? joined("@", Bars(roll.meters(), steps_per_quarter).beat_place(step++), "|") : std::string(1, c);
  return text;
}

// Counts of the files so far: a comparison in which every file is refused would prove nothing.
struct Compared {
  int refused = 0, read = 0, damaged = 0, rolls = 0;
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
  compared.damaged += file.damage != Damage::none;
  if (words(file.damage) != plain->damage || file.damage_at != plain->damage_at)
    return joined("damage '", words(file.damage), "' at ", file.damage_at, ", expected '", plain->damage, "' at ",
                  plain->damage_at);

  if (file.format != plain->format || file.ticks_per_quarter != (plain->division < 0x8000 ? plain->division : 0))
    return "header";
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
  pair_notes(file, settings, list);
  const auto notes = plain_notes(*plain, settings);
  if (list.tracks.size() != file.tracks.size() || list.notes.size() != notes.size()) return "number of notes";
  for (size_t i = 0; i < notes.size(); ++i) {
    const Note& note = list.notes[i];
    const NoteList::Track& run = list.tracks[notes[i].track];
    if (i < run.first_note || i >= run.first_note + run.notes) return "a note's track";
    if (note.onset != notes[i].onset || note.duration != notes[i].end - notes[i].onset ||
        note.channel != notes[i].channel || note.pitch != notes[i].pitch || note.velocity != notes[i].velocity)
      return joined("note ", i);
  }

  const auto roll = plain_roll(*plain, settings, 200);
  try {
    const Roll decoded = decode(file, settings);
    const std::string text = text_with_beats(decoded, settings.steps_per_quarter);
    if (roll && text != *roll) return "roll " + text + ", expected " + *roll;
  } catch (const Error& error) {  // too long a piece
    if (roll) return joined("no roll: ", error.what());
  }
  compared.rolls += roll.has_value();
  return "";
}

}  // namespace poph::test
