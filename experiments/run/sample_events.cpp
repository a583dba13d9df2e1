#include "experiments/run/sample_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "data/files/file.h"
#include "experiments/media/event_file.h"
#include "experiments/media/synthesizer.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr size_t max_samples = 4;
constexpr double max_seconds = 30;

// The text as a block of code, with its line breaks.
std::string as_markdown(const std::string& text) {
  std::string made = "    ";
  for (char c : text) made += c == '\n' ? std::string("\n    ") : std::string(1, c);
  return made;
}

Events::Wav played(const Synthesizer& synthesizer, const std::string& folder, size_t piece) {
  const std::string wav = fmt::format("{}/tensorboard-{}.wav", folder, piece);
  render_audio(synthesizer, fmt::format("{}/samples/piece_{}.mid", folder, piece), wav);
  const std::string bytes = read_file(wav);
  std::filesystem::remove(wav);
  return short_mono(bytes, max_seconds);
}

void remove_earlier(const std::string& folder, const std::string& but) {
  std::vector<std::filesystem::path> earlier;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("events.out.tfevents.") && name.ends_with(".samples") && name != but)
      earlier.push_back(entry.path());
  }
  for (const auto& path : earlier) std::filesystem::remove(path);
}

}  // namespace

void write_sample_events(const std::string& folder, const std::string& experiment,
                         const std::vector<std::shared_ptr<const Roll>>& samples, int64_t steps_per_quarter,
                         int64_t steps_trained, Progress& progress) {
  Events events;
  events.text("experiment", steps_trained, as_markdown(experiment));
  std::string missing;
  auto synthesizer = find_synthesizer(missing);
  for (size_t i = 0; i < std::min(samples.size(), max_samples); ++i) {
    const std::string piece = fmt::format("/piece_{}", i + 1);  // a tag is of one kind
    events.image("piano_roll" + piece, steps_trained, piano_roll_png(*samples[i], steps_per_quarter));
    if (!synthesizer) continue;
    try {
      events.audio("audio" + piece, steps_trained, played(*synthesizer, folder, i + 1));
      // A Ctrl-C ends FluidSynth too, and a broken sound font is no reason to lose a run.
    } catch (const Error& error) {
      missing = error.what();
      synthesizer.reset();
    }
  }
  if (!missing.empty()) progress.line("no sound for TensorBoard: " + missing);
  const std::string name = event_file_name(folder) + ".samples";
  write_file_durably(folder + "/" + name, events.bytes());
  remove_earlier(folder, name);
}

}  // namespace poph
