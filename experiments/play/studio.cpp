#include "experiments/play/studio.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "data/files/base64.h"
#include "data/files/file.h"
#include "data/files/json_text.h"
#include "data/files/stopwatch.h"
#include "data/measures/tonality.h"
#include "data/reading/midi_bytes.h"
#include "experiments/config/toml.h"
#include "experiments/media/synthesizer.h"
#include "experiments/play/asked.h"
#include "experiments/play/steps_json.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/corpus_settings.h"
#include "poph_version.h"

namespace poph {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> bundled_pieces() {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(bundled_corpus(), error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == ".mid") names.push_back(entry->path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

Json notes_json(const Roll& roll) {
  Json notes = Json::array();
  for (const DrawnNote& note : drawn_notes(roll)) notes.push_back({note.pitch, note.step, note.length, note.velocity});
  return notes;
}

Json meters_json(std::span<const MeterChange> changes) {
  Json meters = Json::array();
  for (const MeterChange& change : changes)
    meters.push_back({change.step, change.meter.numerator, change.meter.denominator});
  return meters;
}

Json music_of(const Roll& roll) {
  return {{"notes", notes_json(roll)}, {"steps", roll.steps()}, {"meters", meters_json(roll.meters())}};
}

std::string base64_of(const std::vector<uint8_t>& bytes) {
  return base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Json so_far_json(const PieceSoFar& piece, int64_t lowest_note) {
  Json steps = Json::array();
  for (const ComposedStep& step : piece.fresh) steps.push_back(step_json(step, lowest_note));
  return {{"steps", piece.steps}, {"settled", piece.settled}, {"changed", piece.changed}, {"fresh", steps}};
}

}  // namespace

void Take::tell(const char* event, const std::string& json) {
  const std::lock_guard lock(mutex_);
  events_ += joined("event: ", event, "\ndata: ", json, "\n\n");
  told_.notify_all();
}

void Take::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  told_.notify_all();
}

std::optional<std::string> Take::listen(double seconds) {
  std::unique_lock lock(mutex_);
  told_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return ended_ || !events_.empty(); });
  if (ended_ && events_.empty()) return {};
  return std::exchange(events_, {});
}

Studio::Studio(OpenedModel model, std::string word, int threads)
    : model_(std::move(model)),
      word_(std::move(word)),
      experiment_(to_toml(model_.config)),
      known_(model_.config),
      worker_([this, threads] { work(threads); }) {}

void Studio::close() {
  if (!worker_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    for (const auto& take : takes_) take->leave();
    asked_.notify_all();
  }
  worker_.join();
}

std::shared_ptr<Take> Studio::ask(PlayRequest request) {
  const std::lock_guard lock(mutex_);
  require(!ending_, "the program ends");
  require(takes_.size() <= max_waiting, max_waiting,
          " takes wait already: wait until one is finished, or stop the one that is composed");
  const auto take = takes_.emplace_back(std::make_shared<Take>(++last_, std::move(request)));
  take->tell("waiting", json_text(Json{{"take", take->number}, {"before", takes_.size() - 1}}));
  asked_.notify_all();
  return take;
}

bool Studio::stop(int64_t number) {
  const std::lock_guard lock(mutex_);
  const auto take = std::find_if(takes_.begin(), takes_.end(), [&](const auto& one) { return one->number == number; });
  if (take != takes_.end()) (*take)->stop();
  return take != takes_.end();
}

void Studio::work(int threads) {
  if (threads > 0) set_threads(threads);  // OpenMP has a number for each thread that calls it
  for (;;) {
    std::shared_ptr<Take> take;
    {
      std::unique_lock lock(mutex_);
      asked_.wait(lock, [&] { return ending_ || !takes_.empty(); });
      if (ending_) break;
      take = takes_.front();
    }
    try {
      if (!take->left()) compose_take(*take);
    } catch (const Error& error) {
      take->tell("failed", json_text(Json{{"message", for_the_page(error.what())}}));
    } catch (const std::bad_alloc&) {
      take->tell("failed", json_text(Json{{"message",
                                           "There is too little memory for this: fewer particles or bars "
                                           "take less."}}));
    }
    take->end();
    const std::lock_guard lock(mutex_);
    takes_.pop_front();
  }
  const std::lock_guard lock(mutex_);
  for (const auto& take : takes_) take->end();
}

void Studio::compose_take(Take& take) {
  const Stopwatch watch;
  const Asked asked = ask_for(take.request, model_, experiment_);
  ComposeSettings settings = asked.settings();
  require_memory(*model_.model, settings);
  const int64_t lowest = asked.config.data.lowest_note, first = settings.keep_prime ? asked.given.prime->steps() : 0;
  std::vector<std::string> said;
  for (const std::string& line : asked.given.said) said.push_back(for_the_page(line));
  take.tell("begin", json_text(Json{{"take", take.number},
                                    {"steps", settings.steps},
                                    {"first", first},
                                    {"said", said},
                                    {"command", asked.command(word_)},
                                    {"given", base64_of(asked.music)}}));
  std::vector<double> likelihoods;
  settings.watcher = [&](const PieceSoFar& piece) {
    likelihoods.resize(static_cast<size_t>(piece.changed));
    for (const ComposedStep& step : piece.fresh) likelihoods.push_back(step.log_probability);
    take.tell("step", json_text(so_far_json(piece, lowest)));
  };
  int64_t done = 0;
  std::vector<ConditionReport> conditions;
  const std::vector<Roll> rolls = compose(
      *model_.model, settings,
      [&](int64_t steps) {
        done = steps;
        return !take.stopped() && !take.left();
      },
      settings.constraint ? &conditions : nullptr);
  if (take.left()) return;
  const Roll& roll = rolls.front();
  double sum = 0;
  for (const double one : likelihoods) sum += one;
  Json told = music_of(roll);
  told.update({{"first", first},
               {"cut", done < settings.steps},
               {"midi", base64_of(piece_midi(roll, asked.config, asked.given, first))},
               {"log_likelihood", sum},
               {"key", tonality(roll).key},
               {"seconds", watch.seconds()},
               {"warnings", Json::array()}});
  for (const std::string& line : condition_lines(conditions, settings.particles, "particles: "))
    told[line.starts_with("condition of") ? "condition" : "warnings"].push_back(line);
  take.tell("done", json_text(told));
  tell_copies(take, roll);
}

void Studio::tell_copies(Take& take, const Roll& roll) {
  const Copied found = known_.copied(roll);
  take.tell("copies", json_text(Json{{"longest", found.longest},
                                     {"of", found.of},
                                     {"share", std::isfinite(found.share()) ? found.share() : 0},
                                     {"among", known_.name()}}));
}

std::string Studio::model_json() const {
  const Config& config = model_.config;
  Json styles = Json::array();
  for (const Style& style : config.data.styles) styles.push_back(style.name);
  std::string missing;
  const bool sound = find_synthesizer(missing).has_value();
  const Meter meter = config.generate_meter();
  return json_text(Json{{"name", word_},
                        {"version", POPH_VERSION},
                        {"lowest_note", config.data.lowest_note},
                        {"notes", config.data.notes},
                        {"steps_per_quarter", config.data.steps_per_quarter},
                        {"bars", std::min(config.generate.bars, max_play_bars)},
                        {"meter", {meter.numerator, meter.denominator}},
                        {"temperature", config.generate.temperature},
                        {"tempo", config.generate.tempo},
                        {"particles", std::min(config.generate.particles, max_play_particles)},
                        {"styles", styles},
                        {"pieces", bundled_pieces()},
                        {"sound", sound},
                        {"no_sound", missing},
                        {"autoregressive", config.model.autoregressive()},
                        {"limits",
                         {{"bars", max_play_bars},
                          {"particles", max_play_particles},
                          {"notes", max_play_notes},
                          {"steps", max_play_steps},
                          {"body", max_play_body}}}});
}

std::string Studio::music_json(std::span<const uint8_t> bytes) const {
  MidiFile midi;
  std::vector<uint8_t> buffer;
  try {
    parse_midi(unwrap("", bytes, max_play_body, buffer), midi);
  } catch (const Error& error) {
    fail("this is no MIDI file that can be read: ", error.what());
  }
  const RollSettings settings = roll_settings(model_.config.data);
  DecodeReport report;
  const Roll roll = decode(midi, settings, &report);
  require(roll.sounding_cells() > 0, "nothing sounds in this file among the notes that the model plays");
  require(roll.steps() <= max_play_steps, "the file has ", roll.steps(), " steps, and the page shows at most ",
          max_play_steps);
  Json told = music_of(roll);
  require(std::ssize(told["notes"]) <= max_play_notes, "the file has ", told["notes"].size(),
          " notes, and the page shows at most ", max_play_notes);
  if (!report.has_meter) told["meters"] = Json::array();
  const int64_t out = report.dropped_notes;
  told["said"] = out > 0 ? fmt::format("{} notes lie outside of what the model plays and are left out.", out) : "";
  return json_text(told);
}

std::string Studio::piece_json(const std::string& name) const {
  const std::vector<std::string> pieces = bundled_pieces();  // a name of the list, so that no other file is read
  require(std::find(pieces.begin(), pieces.end(), name) != pieces.end(), "there is no bundled piece of this name");
  const std::string bytes = read_file(bundled_corpus() + "/" + name + ".mid", max_play_body);
  return music_json(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

std::vector<uint8_t> Studio::drawn_midi(const PlayRequest& request) const {
  const DataConfig& data = model_.config.data;
  return encode(drawn_roll(request, data.lowest_note, data.notes), {request.tempo, data.steps_per_quarter});
}

}  // namespace poph
