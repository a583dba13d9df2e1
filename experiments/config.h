#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/midi.h"
#include "data/split.h"
#include "nn/settings.h"

// An experiment: every key of SPEC 12 as plain values. The defaults are here and in nn/settings.h and nowhere else; the list
// of keys, with their names and limits, is each_key() in config_keys.h.
namespace poph {

// In data.source: the pieces that come with PopH, wherever they lie on this machine. (A folder of that name is "./bundled".)
inline constexpr std::string_view bundled_source = "bundled";

struct DataConfig {
  std::vector<std::string> source = {std::string(bundled_source)};  // others are absolute paths once loaded from a file
  int64_t channels = 3;                                             // 3 = play, replay, volume; 1 = play
  int64_t lowest_note = 36, notes = 48, steps_per_quarter = 4;
  int64_t window = 128, stride = 16;
  double split = 0.05;              // the share, where that is the rule
  Split split_rule = Split::share;  // data.split = 0.05, "none" or "first_hex_digit"
  int64_t max_file_bytes = poph::max_file_bytes;
  bool percussion = false, sustain = false;
  int64_t transpose = 0;
};

struct TrainConfig {
  OptimizerKind optimizer = OptimizerKind::nadam;
  double learning_rate = 0.002;
  Schedule schedule = Schedule::constant;
  double clip_norm = 0;  // 0 is off
  bool skip_not_finite = false;  // train.on_nan = "skip"
  int64_t batch = 32, epochs = 100, patience = 5;
  bool monitor_train = false;         // train.monitor = "train_loss"
  Precision precision = Precision::float32;
  bool tensorboard = true;  // event files in the run's folder
};

struct GenerateConfig {
  int64_t pieces = 4, bars = 32;
  double temperature = 1.0, tempo = 120;
  std::string prime;    // a MIDI file; empty is none
  int64_t context = 0;  // 0: the state is carried
};

struct Config {
  std::string name;
  uint64_t seed = 1;
  DataConfig data;
  ModelSettings model;  // lowest_note, notes and channels are copies of data's
  LossSettings loss;
  TrainConfig train;
  GenerateConfig generate;

  // Not settings: where each key was set ("experiments/x.toml:12" or "command line"; absent means default), and the folder
  // that "bundled" means here.
  std::map<std::string, std::string> set_by;
  std::string bundled_corpus;

  std::vector<std::string> source_paths() const;  // data.source with "bundled" replaced by its folder
};

// Reads an experiment file, the files it extends, then the overrides: "train.epochs=5", where the value is TOML and a bare word
// is a string. Relative paths in a file are relative to that file, those of an override to the working folder. Throws one line
// that names the file and line, or the override, of the first mistake. The file's words are its user's: it may name any regular file.
// Its size is not trusted: files of at most 1 MB, a chain of at most 100; at most 500 bytes of memory for each byte of them and
// 4 MB, 10 us of a core for each and 0.2 s.
Config load_config(const std::string& file, const std::vector<std::string>& overrides = {},
                   const std::string& bundled_corpus = "");

// The same for text that stands alone: the experiment inside a checkpoint. Keys it lacks have their defaults, `extends` is
// refused, relative paths stay as they are. `origin` names the text in messages and, where name is not set, the experiment.
Config parse_config(std::string_view text, const std::string& origin, const std::vector<std::string>& overrides = {},
                    const std::string& bundled_corpus = "");

// Every key in the order of SPEC 12, as TOML. Reading it back gives the same values, to the last bit.
std::string to_toml(const Config& config);

// The same with a comment on each line: the file and line that set it, "command line" or "default".
std::string describe_config(const Config& config);

// "train.batch: was 8, now 16" for each key whose values differ, in the order of SPEC 12; keys that `ignored` accepts are left
// out.
using KeyFilter = std::function<bool(std::string_view key)>;
std::vector<std::string> differing_keys(const Config& was, const Config& now, const KeyFilter& ignored = {});

// The keys that a resumed run may change: more epochs, more patience, event files or none, and how samples are generated.
KeyFilter may_change_on_resume(const Config& was, const Config& now);

}  // namespace poph
