#pragma once
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "data/files/file.h"
#include "data/matches.h"
#include "experiments/train/trainer.h"
#include "experiments/workspace/signals.h"
#include "tests/support/models.h"

// Training runs of a tiny model on a tiny tune.
namespace poph::test {

// Two voices that go up and down a scale: something to learn.
inline Piece tune(int64_t steps, int64_t offset) {
  constexpr int scale[] = {0, 2, 4, 5, 7, 9, 11, 9, 7, 5, 4, 2};
  auto roll = std::make_shared<Roll>(60, 12);
  std::vector<Cell> cells(12);
  for (int64_t s = 0; s < steps; ++s) {
    std::fill(cells.begin(), cells.end(), 0);
    cells[scale[(s / 2 + offset) % 12]] = static_cast<Cell>(60 + offset);
    cells[scale[(s / 8 + offset) % 12]] = static_cast<Cell>(90 | (s % 4 == 2 ? replay_bit : 0));
    roll->append(cells);
  }
  return {"tun\xE9", roll};  // a name from a machine that knows no UTF-8
}

inline Config tiny_config(Precision precision = Precision::float32) {
  Config config;
  config.train.precision = precision;
  config.name = "tiny";
  config.seed = 7;
  config.data.lowest_note = 60;
  config.data.notes = 12;
  config.data.window = 16;
  config.data.stride = 8;
  config.data.transpose = 2;
  config.data.staggered = true;
  config.model = tiny_settings({attention_block(BlockKind::attention_notes), lstm_block(BlockKind::lstm_time, 2, 12),
                                lstm_block(BlockKind::lstm_notes, 1, 10)},
                               12);
  config.model.lowest_note = 60;
  config.model.octave_units = 6;
  config.train.average = 0;
  config.train.batch = 4;
  config.train.epochs = 3;
  config.train.learning_rate = 0.01;
  return config;
}

// With their matches, for a model that reads them, and each of a style of its own, for a model with styles.
inline std::vector<Piece> pieces_for(const ModelSettings& model, std::vector<Piece> pieces) {
  for (size_t i = 0; i < pieces.size(); ++i) pieces[i].style = one_style(model, static_cast<int64_t>(i));
  if (model.match) find_matches(pieces, model.channels, 1);
  return pieces;
}

struct Session {
  explicit Session(const Config& settings)
      : config(settings), model(config.model, config.seed, Dtype::f32, Device::cpu) {}
  const Config config;
  Biaxial model;
  // 10 windows: batches of 4, 4 and 2
  const Windows train{pieces_for(config.model, {tune(40, 0), tune(36, 3)}), 16, 8, 4},
      valid{pieces_for(config.model, {tune(24, 5)}), 16, 8, 4};
  Trainer trainer{config, model, train, valid};

  TrainEnd run(const std::string& path, bool stopped = false) {
    const RunFolder folder(path);
    Progress quiet(true);
    watch_signals();
    if (stopped) std::raise(SIGUSR1);
    trainer.resume(folder, quiet);
    const TrainEnd end = trainer.run(folder, quiet);
    for (int signal : {SIGINT, SIGTERM, SIGUSR1}) std::signal(signal, SIG_DFL);
    watch_signals();  // forgets the request
    for (int signal : {SIGINT, SIGTERM, SIGUSR1}) std::signal(signal, SIG_DFL);
    return end;
  }
};

inline const std::vector<std::string> checkpoint_files{
    "checkpoints/best.safetensors", "checkpoints/best.state.safetensors", "checkpoints/last.safetensors",
    "checkpoints/last.state.safetensors"};

// The checkpoints of two run folders are equal, byte for byte.
inline void check_same_checkpoints(const std::string& a, const std::string& b) {
  for (const std::string& name : checkpoint_files)
    BOOST_TEST((read_file(a + "/" + name) == read_file(b + "/" + name)), b << "/" << name);
}

inline std::vector<nlohmann::json> metrics_of(const std::string& path, const std::string& split = "") {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json parsed = nlohmann::json::parse(line);
    BOOST_TEST(parsed.contains("time_s"));
    parsed.erase("time_s");
    if (split.empty() || parsed["split"] == split) lines.push_back(parsed);
  }
  return lines;
}

inline std::vector<int64_t> first_windows(int64_t count) {
  std::vector<int64_t> which(count);
  std::iota(which.begin(), which.end(), 0);
  return which;
}

}  // namespace poph::test
