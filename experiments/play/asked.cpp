#include "experiments/play/asked.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "experiments/compose/pieces.h"
#include "experiments/config/number_list.h"
#include "experiments/config/toml.h"

namespace poph {
namespace {

constexpr const char* drawn_name = "the drawn notes";  // stands for the path of a file

// A word of a shell's command.
std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) || std::string_view("/._-=+,:").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string style_toml(const PlayRequest& request) {
  std::string shares;
  for (const auto& [name, share] : request.style)
    shares += (shares.empty() ? "" : ", ") + toml_quoted(name) + " = " + real_digits(share);
  return "{ " + shares + " }";
}

// The keys of [generate] and their options, set as they are asked for.
class Keys {
 public:
  void set(const char* option, const char* key, const std::string& word, const std::string& toml) {
    overrides.push_back(joined("generate.", key, "=", toml));
    words.insert(words.end(), {option, word});
  }
  void unset(const char* key, const std::string& toml, bool was_set) {
    overrides.push_back(joined("generate.", key, "=", toml));
    if (was_set) words.push_back(overrides.back());
  }

  std::vector<std::string> overrides, words;
};

}  // namespace

ComposeSettings Asked::settings() const {
  ComposeSettings settings = compose_settings(config, seed, given);
  settings.keep_prime = given.prime != nullptr;
  require(settings.all_steps() <= max_play_steps, "the piece would have ", settings.all_steps(),
          " steps, and the page composes at most ", max_play_steps);
  return settings;
}

std::string Asked::command(const std::string& model) const {
  std::string text = "build/poph generate " + shell_word(model);
  for (const std::string& word : words) text += " " + shell_word(word);
  return text;
}

Asked ask_for(const PlayRequest& request, const OpenedModel& model, const std::string& experiment) {
  const GenerateConfig& own = model.config.generate;
  Keys keys;
  const std::string bars = std::to_string(request.bars), seed = std::to_string(request.seed);
  keys.set("--bars", "bars", bars, bars);
  keys.set("--pieces", "pieces", "1", "1");
  keys.set("--temperature", "temperature", real_digits(request.temperature), real_digits(request.temperature));
  keys.set("--tempo", "tempo", real_digits(request.tempo), real_digits(request.tempo));
  keys.overrides.push_back("generate.particles=" + std::to_string(request.particles));
  if (!request.scale.empty())
    keys.set("--scale", "scale", request.scale, toml_quoted(request.scale));
  else
    keys.unset("scale", "\"\"", !own.scale.empty());
  if (request.most_notes > 0)
    keys.set("--most-notes", "most_notes", std::to_string(request.most_notes), std::to_string(request.most_notes));
  else
    keys.unset("most_notes", "0", own.most_notes != 0);
  if (!request.style.empty()) {
    require(!model.config.data.styles.empty(), "style: this model has learnt no styles");
    keys.unset("style", style_toml(request), true);
  } else if (!model.config.data.styles.empty()) {
    keys.unset("style", "{}", !own.style.empty());
  }
  if (!request.meters.empty())
    keys.unset(
        "meter",
        joined("\"", request.meters.front().meter.numerator, "/", request.meters.front().meter.denominator, "\""),
        true);
  for (const char* key : {"prime", "melody", "bass", "keep", "keep_bars"})
    keys.overrides.push_back(joined("generate.", key, "=\"\""));

  Asked asked{parse_saved_config(experiment, model.path, keys.overrides, model.config.bundled_corpus),
              {},
              {},
              static_cast<uint64_t>(request.seed),
              std::move(keys.words)};
  asked.words.insert(asked.words.end(), {"--seed", seed});
  GenerateConfig& generate = asked.config.generate;
  const auto give = [&](bool given, std::string& path, const char* option, const std::string& of_model) {
    if (!given) {
      if (!of_model.empty()) asked.words.push_back(joined("generate.", option + 2, "=\"\""));
      return;
    }
    path = drawn_name;
    asked.words.insert(asked.words.end(), {option, "given.mid"});
  };
  give(request.before, generate.prime, "--prime", own.prime);
  give(request.melody, generate.melody, "--melody", own.melody);
  give(request.bass, generate.bass, "--bass", own.bass);
  give(!request.keep_bars.empty(), generate.keep, "--keep", own.keep);
  if (request.before) asked.words.push_back("--keep-prime");
  if (!request.keep_bars.empty()) {
    const std::string problem = number_list_problem(request.keep_bars, "bars such as 1-8,13-16");
    require(problem.empty(), "the bars that are kept: ", problem);
    generate.keep_bars = request.keep_bars;
    asked.words.insert(asked.words.end(), {"--keep-bars", request.keep_bars});
  }
  MusicInMemory music;
  if (request.before || request.melody || request.bass || !request.keep_bars.empty()) {
    require(!request.notes.empty(), "no notes are drawn: draw some, or keep nothing");
    const DataConfig& data = asked.config.data;
    asked.music = encode(drawn_roll(request, data.lowest_note, data.notes), {request.tempo, data.steps_per_quarter});
    music[drawn_name] = asked.music;
  }
  asked.given = read_given(asked.config, false, music);
  if (asked.given.constraint) asked.words.insert(asked.words.end(), {"--particles", std::to_string(request.particles)});
  return asked;
}

std::string for_the_page(std::string_view message) {
  constexpr std::pair<std::string_view, std::string_view> words[] = {
      {"command line: ", ""},
      {": the drawn notes:", ":"},
      {"generate.keep_bars", "the bars that are kept"},
      {"generate.keep", "the kept bars"},
      {"keep: ", "the kept bars: "},
      {"generate.melody", "the melody"},
      {"generate.bass", "the bass"},
      {"generate.prime", "the notes before"},
      {"generate.", ""},
      {"not in the drawn notes, which has", "not in the drawn notes, which have"}};
  std::string text(message);
  for (const auto& [from, to] : words)
    for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace poph
