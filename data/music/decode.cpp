#include <algorithm>

#include "data/music/notes.h"
#include "data/music/roll.h"
#include "data/music/step_map.h"
#include "tensor/error.h"

// From MIDI to rolls (MODEL.md "Piano roll"): notes to steps, and all voices merged.
namespace poph {
namespace {

// A cell per step and note of a piece, behind the step before it.
class Grid {
 public:
  Grid(int64_t steps, const Roll& before)
      : notes_(before.notes()), cells_(static_cast<size_t>((1 + steps) * before.notes())) {
    before.row(before.steps() - 1, std::span(cells_).first(static_cast<size_t>(notes_)));
  }

  void add(int64_t first, int64_t end, int64_t note, Cell velocity) {
    onsets_.push_back((1 + first) * notes_ + note);
    for (int64_t at = onsets_.back(), step = first; step < end; ++step, at += notes_)
      cells_[at] = std::max(cells_[at], velocity);
  }

  // A note that begins where its pitch sounds in the step before is a replay.
  std::span<const Cell> finish() {
    for (const int64_t at : onsets_)
      if (cells_[at - notes_] != 0) cells_[at] |= replay_bit;
    return std::span(cells_).subspan(static_cast<size_t>(notes_));
  }

 private:
  int64_t notes_;
  std::vector<Cell> cells_;
  std::vector<int64_t> onsets_;  // cells
};

class Decoder {
 public:
  Decoder(const MidiFile& file, const RollSettings& settings)
      : file_(file),
        settings_(settings),
        events_(std::ssize(file.events)),
        max_steps_(std::min(max_steps, free_steps + steps_per_event * events_)),
        max_sounding_(std::min(max_sounding_steps, free_sounding_steps + sounding_steps_per_event * events_)),
        roll_(settings.lowest_note, settings.notes) {
    pair_notes(file, settings, list_);
  }

  // In a file of format 2 the tracks are pieces of their own, one behind the other.
  Roll decode() {
    if (file_.format == 2) {
      for (size_t t = 0; t < file_.tracks.size(); ++t) {
        const NoteList::Track& run = list_.tracks[t];
        read(file_.tracks[t], std::span(list_.notes).subspan(run.first_note, run.notes));
      }
    } else if (!file_.tracks.empty()) {
      read(file_.tracks[0], list_.notes);
    }
    roll_.set_meters(std::move(meters_));
    roll_.shrink();
    return std::move(roll_);
  }

  DecodeReport report() const {
    return {dropped_notes_, list_.percussion_notes, std::ssize(file_.tracks), file_.seconds(),
            !file_.signatures.empty()};
  }

 private:
  bool in_range(const Note& note) const {
    return note.pitch >= settings_.lowest_note && note.pitch < settings_.lowest_note + settings_.notes;
  }

  void read(const MidiTrack& track, std::span<const Note> notes) {
    const StepMap steps(file_, file_.tempos_of(track), settings_);
    const int64_t length = count_steps(notes, steps);
    if (length == 0) return;
    const int64_t bar = bar_steps(Meter{}, settings_.steps_per_quarter), first = (roll_.steps() + bar - 1) / bar * bar;
    if (first + length > max_steps_) too_long();
    roll_.append(std::vector<Cell>(static_cast<size_t>((first - roll_.steps()) * settings_.notes)));
    Grid grid(length, roll_);
    for (const Note& note : notes) {
      if (!in_range(note) || note.duration == 0) continue;
      const int64_t begin = steps.begin(note.onset), end = steps.end(note.onset, note.onset + note.duration);
      sounding_ += end - begin;
      if (sounding_ > max_sounding_)
        throw Damaged(Damage::too_much, "decode: notes sound for more than ", max_sounding_,
                      " steps together, expected at most so many for ", events_, " events");
      grid.add(begin, end, note.pitch - settings_.lowest_note, note.velocity);
    }
    roll_.append(grid.finish());
    if (settings_.file_meter) read_meters(track, steps, first, length);
  }

  int64_t count_steps(std::span<const Note> notes, const StepMap& steps) {
    int64_t onset = 0, end = 0;  // the last ones of what sounds: both maps rise
    for (const Note& note : notes) {
      const bool heard = in_range(note);
      dropped_notes_ += !heard;
      if (!heard || note.duration == 0) continue;
      onset = std::max(onset, note.onset);
      end = std::max(end, note.onset + note.duration);
    }
    const int64_t length = end > 0 ? steps.end(onset, end) : 0;
    if (length > max_steps_) too_long();
    return length;
  }

  // The changes of meter, of which one is none where the same bars follow.
  void read_meters(const MidiTrack& track, const StepMap& steps, int64_t first, int64_t length) {
    if (first > 0 && !meters_.empty()) change_meter({first, {}});
    for (const TimeSignature& signature : file_.signatures_of(track)) {
      const int64_t step = steps.begin(signature.tick);
      if (step < length) change_meter({first + step, signature.meter});
    }
  }

  void change_meter(MeterChange change) {
    if (!meters_.empty() && meters_.back().step == change.step) meters_.pop_back();
    const Bars::Bar bar = Bars(meters_, settings_.steps_per_quarter).bar_of(change.step);
    if (bar.first != change.step || bar.meter != change.meter) meters_.push_back(change);
  }

  [[noreturn]] void too_long() const {
    throw Damaged(Damage::too_long, "decode: a note sounds at or after step ", max_steps_,
                  ", expected a piece of at most ", max_steps_, " steps for ", events_, " events");
  }

  const MidiFile& file_;
  const RollSettings& settings_;
  const int64_t events_, max_steps_, max_sounding_;
  NoteList list_;
  Roll roll_;
  std::vector<MeterChange> meters_;
  int64_t dropped_notes_ = 0, sounding_ = 0;
};

}  // namespace

Roll decode(const MidiFile& file, const RollSettings& settings, DecodeReport* report) {
  check(settings);
  Decoder decoder(file, settings);
  Roll roll = decoder.decode();
  if (report) *report = decoder.report();
  return roll;
}

}  // namespace poph
