#include "experiments/compose/given.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "data/measures/scales.h"
#include "data/measures/tonality.h"
#include "data/music/step_map.h"
#include "data/reading/left_out.h"
#include "data/reading/midi_bytes.h"
#include "experiments/config/number_list.h"
#include "experiments/workspace/corpus_settings.h"

namespace poph {
namespace {

constexpr int64_t many_thin_bars = 3, usual_particles = 32;

struct MusicFile {
  const char* key;  // "melody"
  std::string path;
  Roll roll;
  bool has_meter = false;

  std::string name() const { return joined(key, ": ", path, ": "); }
};

// Note-ons in range that begin between two steps.
int64_t notes_between_steps(const MidiFile& midi, const RollSettings& settings) {
  constexpr int64_t finer = 12;  // what is nearer to a step is played, not written, beside it
  RollSettings fine = settings;
  fine.steps_per_quarter *= finer;
  fine.quantize = Quantize::nearest;
  int64_t count = 0;
  for (const MidiTrack& track : midi.tracks) {
    const StepMap steps(midi, midi.tempos_of(track), fine);
    for (uint32_t i = track.first_event; i < track.first_event + track.events; ++i) {
      const MidiEvent& event = midi.events[i];
      const bool counts = event.kind == note_on_kind && event.key >= settings.lowest_note &&
                          event.key < settings.lowest_note + settings.notes &&
                          (settings.percussion || event.channel != percussion_channel);
      count += counts && steps.begin(event.tick) % finer != 0;
    }
  }
  return count;
}

MusicFile read_music(const Config& config, const char* key, const std::string& path, const MusicInMemory& in_memory,
                     std::vector<std::string>& said) {
  const RollSettings settings = roll_settings(config.data);
  try {
    const auto bytes = in_memory.find(path);
    const MidiFile midi = bytes == in_memory.end() ? read_midi(path) : parse_midi(bytes->second);
    DecodeReport report;
    MusicFile file{key, path, decode(midi, settings, &report), false};
    file.has_meter = report.has_meter && config.data.file_meter;
    require(file.roll.sounding_cells() > 0, path, ": ",
            why_silent(report.dropped_notes, report.percussion_notes, settings));
    const int64_t notes = std::count_if(midi.events.begin(), midi.events.end(),
                                        [](const MidiEvent& event) { return event.kind == note_on_kind; });
    if (midi.damage != Damage::none)
      said.push_back(joined(file.name(), "damaged at byte ", midi.damage_at,
                            ", and read as far as that goes: ", words(midi.damage)));
    for (const std::string& line : left_out(notes, report.dropped_notes, report.percussion_notes, settings))
      said.push_back(file.name() + line);
    const int64_t between = key == std::string("prime") ? 0 : notes_between_steps(midi, settings);
    if (between > 0)
      said.push_back(joined(file.name(), between, " of ", notes, " notes begin between two steps, of which there are ",
                            settings.steps_per_quarter, " a quarter note: they are moved to a step"));
    return file;
  } catch (const Damaged& error) {
    fail("generate.", key, ": ", path, ": ", error.what());
  } catch (const Error& error) {
    fail("generate.", key, ": ", error.what());
  }
}

// The conditions become one constraint, a key at a time; what an earlier one gives, a later one must not contradict.
class Conditions {
 public:
  // length: of the longest file, in steps.
  Conditions(const Config& config, const Layout& layout, int64_t first_step, int64_t length)
      : config_(config),
        meters_(Bars(layout.meters, config.data.steps_per_quarter).changes_from(first_step)),
        bars_(Bars(meters_, config.data.steps_per_quarter).until(layout.steps)),
        constraint_{.notes = config.data.notes},
        composed_(layout.steps) {
    const auto end = [&] { return Bars(meters_, config.data.steps_per_quarter).bar_of(length - 1).end; };
    steps_ = length == 0 ? 0 : std::min(layout.steps, end());
    constraint_.cells.resize(steps_ * config.data.notes);
    origin_.resize(constraint_.cells.size());
  }

  // The highest (descending) or the lowest note of each step.
  void outer_voice(const MusicFile& file, bool highest, std::vector<std::string>& said) {
    const int64_t notes = constraint_.notes, steps = heard(file, said);
    for (int64_t s = 0; s < steps; ++s) {
      int64_t voice = -1;
      for (int64_t n = 0; n < notes; ++n)
        if (file.roll.cell(s, n) != 0 && (highest || voice < 0)) voice = n;
      if (voice < 0) continue;
      fix(file.key, s, voice, cell_of(file.roll, s, voice));
      for (int64_t n = highest ? voice + 1 : 0; n < (highest ? notes : voice); ++n) fix(file.key, s, n, silent);
    }
  }

  void kept_bars(const MusicFile& file, const std::string& list, std::vector<std::string>& said) {
    heard(file, said);
    const int64_t of_file = bar_number(file.roll.steps() - 1, meters_);
    for (const NumberRange& range : parse_number_list(list)) {
      require(range.last <= std::ssize(bars_), "generate.keep_bars: bar ", range.last, " is beyond the ",
              std::ssize(bars_), " bars that are composed");
      require(range.last <= of_file, "generate.keep_bars: bar ", range.last, " is not in ", file.path, ", which has ",
              of_file, " bars");
      for (int64_t s = bars_[range.first - 1].first; s < std::min(steps_, bars_[range.last - 1].end); ++s)
        for (int64_t n = 0; n < constraint_.notes; ++n)
          fix(file.key, s, n, s < file.roll.steps() ? cell_of(file.roll, s, n) : silent);
    }
  }

  void scale(const std::string& name) {
    const Scale scale = *scale_of(name);  // checked when it is read
    for (int64_t n = 0; n < constraint_.notes; ++n)
      constraint_.always_silent.push_back(!scale[(config_.data.lowest_note + n) % pitch_classes]);
    for (size_t i = 0; i < constraint_.cells.size(); ++i)
      require(constraint_.cells[i].play != Play::sounds || !constraint_.always_silent[i % constraint_.notes],
              "generate.", origin_[i], ": bar ", bar_of(i), ": ", pitch(i), " is not in the scale ", name);
  }

  void most_notes(int64_t most) {
    constraint_.most_notes = most;
    for (int64_t s = 0; s < steps_; ++s) {
      const int64_t given = constraint_.given_notes(s);
      require(given <= most, "generate.most_notes = ", most, ": bar ", bar_of(s * constraint_.notes), ": ", given,
              " notes are given at once");
    }
  }

  Constraint take() { return std::move(constraint_); }

 private:
  static constexpr FixedCell silent{.play = Play::silent};
  // As the file has it: a note is struck where it begins there, and else held.
  static FixedCell cell_of(const Roll& roll, int64_t step, int64_t note) {
    const Cell cell = roll.cell(step, note);
    if (cell == 0) return silent;
    const bool struck = step == 0 || roll.cell(step - 1, note) == 0 || (cell & replay_bit);
    return {Play::sounds, struck, static_cast<Cell>(cell & velocity_bits)};
  }

  // From 1 on, of the composed piece.
  int64_t bar_number(int64_t step, const std::vector<MeterChange>& meters) const {
    return std::ssize(Bars(meters, config_.data.steps_per_quarter).starts(step + 1));
  }
  int64_t bar_of(size_t cell) const { return bar_number(static_cast<int64_t>(cell) / constraint_.notes, meters_); }
  std::string pitch(size_t cell) const {
    const int64_t number = config_.data.lowest_note + static_cast<int64_t>(cell) % constraint_.notes;
    return fmt::format("{}{} (MIDI {})", pitch_class_name(static_cast<int>(number % 12)), number / 12 - 1, number);
  }

  // The steps of a file that are composed.
  int64_t heard(const MusicFile& file, std::vector<std::string>& said) const {
    const int64_t length = file.roll.steps();
    if (length > composed_)
      said.push_back(fmt::format("{}it has {} bars, and the last {} are beyond the {} that are composed", file.name(),
                                 bar_number(length - 1, meters_), bar_number(length - 1, meters_) - std::ssize(bars_),
                                 std::ssize(bars_)));
    return std::min(length, composed_);
  }

  void fix(const char* key, int64_t step, int64_t note, FixedCell cell) {
    const size_t at = static_cast<size_t>(step * constraint_.notes + note);
    FixedCell& known = constraint_.cells[at];
    require(known.play == Play::free || known.play == cell.play, "generate.", origin_[at], " and generate.", key,
            ": bar ", bar_of(at), ": ", pitch(at), known.play == Play::sounds ? " sounds" : " is silent",
            " in the first and ", cell.play == Play::sounds ? "sounds" : "is silent", " in the second");
    if (known.play != Play::free) return;  // its stroke and loudness count
    known = cell;
    origin_[at] = key;
  }

  const Config& config_;
  const std::vector<MeterChange> meters_;
  const std::vector<Bars::Bar> bars_;
  Constraint constraint_;
  std::vector<const char*> origin_;  // of each cell: the key that fixed it
  int64_t composed_, steps_ = 0;     // of the piece, and of those that the files may fix
};

}  // namespace

Layout layout_of(const Config& config, const Given& given) {
  const int64_t q = config.data.steps_per_quarter, first = given.prime ? given.prime->steps() : 0;
  const int64_t bars = given.bars.value_or(config.generate.bars);
  Layout layout;
  Meter meter = config.generate_meter();
  if (given.prime_meters) {
    layout.meters = *given.prime_meters;
    meter = Bars(layout.meters, q).bar_of(first).meter;
  }
  if (given.meters) {
    std::erase_if(layout.meters, [&](const MeterChange& change) { return change.step >= first; });
    if (given.meters->empty() || given.meters->front().step > 0) layout.meters.push_back({first, Meter{}});
    for (const MeterChange& change : *given.meters) layout.meters.push_back({first + change.step, change.meter});
    const Bars all(layout.meters, q);
    for (int64_t bar = 0; bar < bars; ++bar) layout.steps = all.bar_of(first + layout.steps).end - first;
    return layout;
  }
  if (!given.prime_meters && meter != Meter{}) layout.meters = {{first, meter}};
  layout.steps = bars * bar_steps(meter, q);
  return layout;
}

Given read_given(const Config& config, bool as_long_as_given, const MusicInMemory& in_memory) {
  const GenerateConfig& generate = config.generate;
  Given given;
  const auto meters_of = [](const MusicFile& file) {
    return std::vector<MeterChange>(file.roll.meters().begin(), file.roll.meters().end());
  };
  if (!generate.prime.empty()) {
    MusicFile file = read_music(config, "prime", generate.prime, in_memory, given.said);
    if (file.has_meter) given.prime_meters = meters_of(file);
    given.prime = std::make_shared<const Roll>(std::move(file.roll));
  }
  std::vector<MusicFile> files;
  const std::pair<const char*, const std::string*> named[] = {
      {"keep", &generate.keep}, {"melody", &generate.melody}, {"bass", &generate.bass}};
  for (const auto& [key, path] : named)
    if (!path->empty()) files.push_back(read_music(config, key, *path, in_memory, given.said));
  if (!generate.conditioned()) return given;

  int64_t longest = 0;
  const MusicFile* with_meter = nullptr;
  for (const MusicFile& file : files) {
    longest = std::max(longest, file.roll.steps());
    if (!file.has_meter) continue;
    require(!with_meter || meters_of(file) == *given.meters, "generate.", with_meter ? with_meter->key : "",
            " and generate.", file.key, ": their time signatures differ: data.meter = \"4/4\" ignores them");
    with_meter = &file;
    given.meters = meters_of(file);
  }
  const int64_t q = config.data.steps_per_quarter, first = given.prime ? given.prime->steps() : 0;
  if (!files.empty() && !given.meters && first > 0) {  // they begin a bar, wherever the prime ends
    const bool goes_on = given.prime_meters.has_value();
    given.meters = {{0, goes_on ? Bars(*given.prime_meters, q).bar_of(first).meter : config.generate_meter()}};
  }
  if (as_long_as_given && longest > 0) {
    const std::vector<MeterChange> meters = layout_of(config, given).meters;
    const Bars all(meters, q);
    given.bars = 0;
    for (int64_t step = first; step - first < longest; step = all.bar_of(step).end) ++*given.bars;
  }
  const Layout layout = layout_of(config, given);
  Conditions conditions(config, layout, first, longest);
  for (const MusicFile& file : files)
    if (file.key == std::string("keep"))
      conditions.kept_bars(file, generate.keep_bars, given.said);
    else
      conditions.outer_voice(file, file.key == std::string("melody"), given.said);
  if (!generate.scale.empty()) conditions.scale(generate.scale);
  if (generate.most_notes > 0) conditions.most_notes(generate.most_notes);
  given.constraint = std::make_shared<const Constraint>(conditions.take());
  if (!given.constraint->fixes_nothing()) return given;
  given.constraint = nullptr;
  given.said.push_back(joined(conditions_text(generate), ": this leaves all ", config.data.notes, " notes free"));
  return given;
}

std::vector<RollTrack> Given::tracks(const Roll& piece, int64_t first_composed) const {
  if (!constraint) return {{"composed", piece}};
  Roll composed(piece.lowest_note(), piece.notes()), fixed = composed;
  std::vector<Cell> now(static_cast<size_t>(piece.notes())), given_now(now);
  for (int64_t s = 0; s < piece.steps(); ++s) {
    piece.row(s, now);
    for (int64_t n = 0; n < piece.notes(); ++n) {
      const bool is_given = s >= first_composed && constraint->at(s - first_composed, n).play == Play::sounds;
      given_now[n] = is_given ? std::exchange(now[n], 0) : 0;
    }
    composed.append(now);
    fixed.append(given_now);
  }
  if (fixed.sounding_cells() == 0) return {{"composed", piece}};
  composed.set_meters({piece.meters().begin(), piece.meters().end()});
  return {{"composed", std::move(composed)}, {"given", std::move(fixed)}};
}

std::string conditions_text(const GenerateConfig& generate) {
  std::vector<std::string> words;
  const auto file_name = [](const std::string& path) { return std::filesystem::path(path).filename().string(); };
  if (!generate.melody.empty()) words.push_back("melody " + file_name(generate.melody));
  if (!generate.bass.empty()) words.push_back("bass " + file_name(generate.bass));
  if (!generate.keep.empty()) words.push_back("bars " + generate.keep_bars + " of " + file_name(generate.keep));
  if (!generate.scale.empty()) words.push_back("scale " + generate.scale);
  if (generate.most_notes > 0) words.push_back(joined("at most ", generate.most_notes, " notes at once"));
  return fmt::format("{}", fmt::join(words, ", "));
}

std::vector<std::string> condition_lines(const std::vector<ConditionReport>& reports, int64_t particles,
                                         const std::string& option) {
  std::vector<std::string> lines;
  int64_t thin = 0;
  for (size_t i = 0; i < reports.size(); ++i) {
    lines.push_back(joined("condition of piece ", i + 1, ": ", condition_text(reports[i], particles)));
    thin = std::max(thin, reports[i].thin_bars);
  }
  if (thin >= many_thin_bars)
    lines.push_back(fmt::format(
        "too few particles for what is asked: {}; try {}{}",
        particles == 1 ? "what comes before a given note does not know of it"
                       : fmt::format("in {} bars of a piece one of {} has nearly all the weight", thin, particles),
        option, std::max(usual_particles, 4 * particles)));
  return lines;
}

}  // namespace poph
