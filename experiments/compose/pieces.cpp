#include "experiments/compose/pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>

#include "data/files/file.h"
#include "data/files/stopwatch.h"
#include "data/reading/composed.h"
#include "data/reading/left_out.h"
#include "data/reading/midi_bytes.h"
#include "data/windows.h"
#include "experiments/config/styles.h"
#include "experiments/media/piano_roll_svg.h"
#include "experiments/workspace/corpus_settings.h"
#include "experiments/workspace/run_folder.h"
#include "experiments/workspace/signals.h"

namespace poph {

ComposeSettings compose_settings(const Config& config, uint64_t seed, const Given& given) {
  const Layout layout = layout_of(config, given);
  ComposeSettings settings;
  settings.prime = given.prime.get();
  settings.meters = layout.meters;
  settings.pieces = config.generate.pieces;
  settings.steps = layout.steps;
  settings.steps_per_quarter = config.data.steps_per_quarter;
  settings.temperature = config.generate.temperature;
  settings.seed = seed;
  settings.context = config.generate.context;
  settings.style = mixture_of(config.generate.style, config.data.styles);
  settings.constraint = given.constraint.get();
  settings.particles = config.generate.particles;
  return settings;
}

Composition compose_with_progress(const Biaxial& model, const ComposeSettings& settings, Progress& progress) {
  const Stopwatch watch;
  int64_t steps = 0;
  Composition composed;
  composed.rolls = compose(
      model, settings,
      [&](int64_t done) {
        steps = done;
        const std::string stage =
            fmt::format("composing {} pieces{}", settings.pieces,
                        settings.constraint ? fmt::format(" of {} particles each", settings.particles) : "");
        progress.live(fmt::format("{}: step {}/{}  {:.1f} steps/s", stage, done, settings.steps,
                                  per_second(done, watch.seconds())),
                      stage);
        return !stop_requested();
      },
      settings.constraint ? &composed.conditions : nullptr);
  composed.seconds = watch.seconds();
  composed.steps_per_second = per_second(steps, composed.seconds);
  composed.cut_off = steps < settings.steps;
  return composed;
}

std::vector<uint8_t> piece_midi(const Roll& roll, const Config& config, const Given& given, int64_t first_composed) {
  return encode(given.tracks(roll, first_composed),
                {config.generate.tempo, config.data.steps_per_quarter, composed_text});
}

Rolls rolls_of(const std::vector<Piece>& pieces) {
  Rolls rolls;
  for (const Piece& piece : pieces) rolls.push_back(piece.roll);
  return rolls;
}

Rolls shared_rolls(std::vector<Roll> rolls) {
  Rolls shared;
  for (Roll& roll : rolls) shared.push_back(std::make_shared<const Roll>(std::move(roll)));
  return shared;
}

namespace {

std::string piece_path(const std::string& folder, int64_t number, const char* ending) {
  return fmt::format("{}/piece_{}.{}", folder, number, ending);
}

// The number behind all of the pieces in the folder.
int64_t first_free_number(const std::string& folder) {
  int64_t first = 1;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().stem().string(), begin = "piece_";
    int64_t number = 0;
    if (name.starts_with(begin) &&
        std::from_chars(name.data() + begin.size(), name.data() + name.size(), number).ec == std::errc() &&
        number < std::numeric_limits<int32_t>::max())
      first = std::max(first, number + 1);
  }
  return first;
}

}  // namespace

std::vector<std::string> write_pieces(const std::vector<Roll>& rolls, const std::string& folder, const Config& config,
                                      Existing existing, const Given& given, int64_t first_composed) {
  make_folder(folder);
  int64_t number = existing == Existing::keep ? first_free_number(folder) : 1;
  std::vector<std::string> paths;
  for (const Roll& roll : rolls) {
    const std::vector<uint8_t> bytes = piece_midi(roll, config, given, first_composed);
    PendingFile midi(piece_path(folder, number, "mid"), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (existing == Existing::replace)
      midi.commit();
    else
      while (!midi.commit_new(piece_path(folder, number, "mid"))) ++number;
    paths.push_back(piece_path(folder, number, "mid"));
    const std::string key = tonality(roll).key;
    write_file_durably(
        piece_path(folder, number, "svg"),
        piano_roll_svg(roll, fmt::format("{}, piece {}{}", config.name, number, key.empty() ? "" : ": " + key),
                       config.data.steps_per_quarter));
    ++number;
  }
  return paths;
}

TonalityRecord tonality_record(const Tonality& music, const Tonality* corpus) {
  TonalityRecord record{music.notes, music.in_key, music.pitch_classes, {}};
  if (corpus) record.distance_from_corpus = histogram_distance(music.pitch_classes, corpus->pitch_classes);
  return record;
}

std::string tonality_text(const TonalityRecord& music) {
  std::string text = fmt::format("{:.1f} % of {} notes in the best-fitting key", 100 * music.in_key, music.notes);
  if (music.distance_from_corpus)
    text += fmt::format(", pitch-class distance {:.3f} from the corpus", *music.distance_from_corpus);
  return text;
}

}  // namespace poph
