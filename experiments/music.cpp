#include "experiments/music.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/windows.h"
#include "experiments/picture.h"
#include "experiments/run_folder.h"
#include "experiments/sources.h"
#include "tensor/file.h"

namespace poph {

ComposeSettings compose_settings(const Config& config, uint64_t seed) {
  ComposeSettings settings;
  settings.pieces = config.generate.pieces;
  settings.steps = config.generate.bars * steps_per_bar;
  settings.temperature = config.generate.temperature;
  settings.seed = seed;
  settings.context = config.generate.context;
  return settings;
}

std::shared_ptr<const Roll> read_prime(const Config& config) {
  if (config.generate.prime.empty()) return nullptr;
  std::vector<uint8_t> buffer;
  const RollSettings settings = roll_settings(config.data);
  try {
    auto roll = std::make_shared<Roll>(decode(parse_midi(read_file(config.generate.prime, buffer)), settings));
    require(roll->steps() > 0, "no note of it sounds in the model's range");
    return roll;
  } catch (const Error& error) {
    fail("generate.prime: ", config.generate.prime, ": ", error.what());
  }
}

std::vector<std::string> piece_paths(size_t count, const std::string& folder) {
  std::vector<std::string> paths;
  for (size_t i = 0; i < count; ++i) paths.push_back(fmt::format("{}/piece_{}.mid", folder, i + 1));
  return paths;
}

std::vector<std::string> write_pieces(const std::vector<Roll>& rolls, const std::string& folder, const Config& config) {
  make_folder(folder);
  const std::vector<std::string> paths = piece_paths(rolls.size(), folder);
  for (size_t i = 0; i < rolls.size(); ++i) {
    const std::vector<uint8_t> bytes = encode(rolls[i], config.generate.tempo, config.data.steps_per_quarter);
    write_file_durably(paths[i], {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    const std::string picture = paths[i].substr(0, paths[i].size() - 4) + ".svg";
    const std::string key = tonality(rolls[i]).key;
    write_file_durably(picture, piano_roll_svg(rolls[i], fmt::format("{}, piece {}{}", config.name, i + 1, key.empty() ? "" : ": " + key)));
  }
  return paths;
}

std::string tonality_text(const Tonality& music, const Tonality* corpus) {
  std::string text = fmt::format("{:.1f} % of {} notes in the best-fitting key", 100 * music.in_key, music.notes);
  if (corpus) text += fmt::format(", pitch-class distance {:.3f} from the corpus", histogram_distance(music.pitch_classes, corpus->pitch_classes));
  return text;
}

nlohmann::json tonality_json(const Tonality& music, const Tonality* corpus) {
  nlohmann::json json{{"notes", music.notes}, {"in_key", music.in_key}, {"pitch_classes", music.pitch_classes}};
  if (!music.key.empty()) json["key"] = music.key;
  if (corpus) json["distance_from_corpus"] = histogram_distance(music.pitch_classes, corpus->pitch_classes);
  return json;
}

}  // namespace poph
