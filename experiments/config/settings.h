#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/music/roll.h"
#include "data/reading/split.h"
#include "nn/settings.h"

// An experiment: every key of MODEL.md "Keys" as plain values. The defaults are those of experiments/base.toml, so that
// a file without `extends` trains the same; a test compares them. The list of keys, with their names and limits, is
// each_key() in experiments/config/keys.h.
namespace poph {

// In data.source: the pieces that come with PopH, wherever they lie on this machine. (A folder of that name is
// "./bundled".)
inline constexpr std::string_view bundled_source = "bundled";

// One entry of model.styles: music of one style, in place of data.source.
struct Style {
  std::string name;
  std::vector<std::string> source;  // as data.source
};

struct DataConfig {
  // others are absolute paths once loaded from a file; Config::written has them as they were written
  std::vector<std::string> source = {std::string(bundled_source)};
  int64_t channels = 3;  // 3 = play, replay, volume; 1 = play
  int64_t lowest_note = 36, notes = 48, steps_per_quarter = 4;
  int64_t window = 32, stride = 32;
  double split = 0.05;              // the share, where that is the rule
  Split split_rule = Split::share;  // data.split = 0.05, "none" or "first_hex_digit"
  int64_t max_file_bytes = poph::max_file_bytes;
  Quantize quantize = Quantize::nearest;
  bool file_meter = true;  // data.meter = "file"; false is "4/4"
  bool staggered = false;  // data.windows = "staggered"; false is "lanes"
  bool percussion = false, sustain = false;
  int64_t transpose = 0;
  std::vector<Style> styles;  // the key model.styles; where there are any, `source` is not read
};

struct TrainConfig {
  OptimizerKind optimizer = OptimizerKind::nadam;
  double learning_rate = 0.002;
  Schedule schedule = Schedule::constant;
  int64_t warmup_steps = 0;        // 0: none
  double final_learning_rate = 0;  // of "cosine": the share of the learning rate that it ends at
  double weight_decay = 0.01;      // of "adamw"
  double average = 0.99;           // 0 is off
  double clip_norm = 0;            // 0 is off
  bool skip_not_finite = false;    // train.on_nan = "skip"
  int64_t shards = 1;
  int64_t batch = 4, epochs = 14, patience = 2;  // patience 0: never stops early
  bool monitor_train = false;                    // train.monitor = "train_loss"
  std::string start_from;                        // a checkpoint or a run; empty: weights begin at random
  Precision precision = Precision::float32;
  bool tensorboard = true;  // event files in the run's folder
};

struct StyleShare {
  std::string name;
  double share = 0;
};

struct GenerateConfig {
  int64_t pieces = 4, bars = 32;
  double temperature = 1.0, tempo = 120;
  std::string meter = "4/4";
  std::string prime;    // a MIDI file; empty is none
  int64_t context = 0;  // 0: the state is carried
  // Conditions (MODEL.md "Conditions"); empty and 0 are none.
  std::string melody, bass, keep;  // MIDI files
  std::string keep_bars;           // of `keep`, from 1 on: "1-8,13-16"
  std::string scale;               // as data/measures/scales.h has it
  int64_t most_notes = 0, particles = 32;
  std::vector<StyleShare> style;  // of a model with styles; empty: equal shares (styles.h)

  // Whether there is a condition.
  bool conditioned() const {
    return !melody.empty() || !bass.empty() || !keep.empty() || !scale.empty() || most_notes > 0;
  }
};

// The MIDI files that [generate] may name.
struct GenerateFile {
  const char *name, *key;
  std::string GenerateConfig::*path;
};
inline constexpr std::array<GenerateFile, 4> generate_files = {{{"prime", "generate.prime", &GenerateConfig::prime},
                                                                {"melody", "generate.melody", &GenerateConfig::melody},
                                                                {"bass", "generate.bass", &GenerateConfig::bass},
                                                                {"keep", "generate.keep", &GenerateConfig::keep}}};

struct Config {
  std::string name;
  uint64_t seed = 1;
  DataConfig data;
  ModelSettings model;  // lowest_note, notes, channels and the number of styles are copies of data's
  LossSettings loss;
  TrainConfig train;
  GenerateConfig generate;

  // Not settings: where each key was set ("experiments/x.toml:12" or "command line"; absent means default), and the
  // folder that "bundled" means here.
  std::map<std::string, std::string> set_by;
  std::string bundled_corpus;
  // Of each key that holds paths (data.source, model.styles[0].source): each path as it was written, relative to the
  // file that says it; "" where it was absolute. Absent: none was relative.
  std::map<std::string, std::vector<std::string>> written;

  Meter generate_meter() const { return *meter_of(generate.meter); }  // checked when it is read
  // data.source, or a style's sources, with "bundled" replaced by its folder
  std::vector<std::string> source_paths() const { return paths_of(data.source); }
  std::vector<std::string> paths_of(const std::vector<std::string>& sources) const;
  std::vector<std::string> music_paths()
      const;  // of all styles, or else of data.source, which styles take the place of
};

}  // namespace poph
