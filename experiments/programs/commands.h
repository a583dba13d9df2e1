#pragma once
#include <cstdint>
#include <string>
#include <vector>

// The commands of the program poph: inspect, data, evaluate, baseline, generate, play. With `json` they print one JSON
// object and nothing else on standard output.
namespace poph {

// An experiment where music alone is read.
inline constexpr const char* no_model = "model.blocks = [{ kind = \"lstm_time\" }]";

struct InspectOptions {
  std::string path;  // a MIDI file, a .safetensors file, a run folder; other music as read_data has it
  std::vector<std::string> overrides;  // "data.notes=88": how a MIDI file is read
  bool json = false;
};
void inspect(const InspectOptions& options);

struct DataOptions {
  std::string source;                  // as in data.source
  std::vector<std::string> overrides;  // "data.notes=88"
  int threads = 0;
  bool list = false, json = false;  // list: every file that was skipped or is damaged, and nothing else
};
void read_data(const DataOptions& options);

struct EvaluateOptions {
  std::vector<std::string> checkpoints;  // files or run folders; several are scored alone and as a mixture
  std::vector<std::string> overrides;
  std::string data;     // a source as in data.source; empty: the experiment's own
  std::string split;    // train, valid, test, all; empty: test where the data has one, all of --data, or else valid
  std::string pieces;   // "0,3,4-9": of the split; empty: all
  int64_t windows = 0;  // 0: all; K: the first K as one batch
  std::string dtype = "f32", gradients, device = "auto";
  std::string style;  // the words of --style; empty: each piece's own, or equal shares where `data` has none
  int threads = 0;
  bool per_piece = false, json = false;
};
void evaluate(const EvaluateOptions& options);

struct BaselineOptions {
  std::string experiment;  // an experiment file, a run folder or a checkpoint; empty: of `data`, all keys of the piano
  std::vector<std::string> overrides;
  std::string data;  // a source as in data.source; empty: the experiment's own
  int threads = 0;
  bool json = false;
};
void baseline(const BaselineOptions& options);

struct GenerateOptions {
  std::string checkpoint, out = "composed", device = "auto";
  std::vector<std::string> overrides, given;  // KEY=VALUE words; those that options stand for, which count more
  uint64_t seed = 1;
  int threads = 0;
  bool keep_prime = false, force = false, json = false;  // force: files that are there are overwritten
  bool copies = false;                                   // say what each piece copies
};
// the exit code: 0, or 75 when interrupted: then no piece is written
int generate(const GenerateOptions& options);

struct PlayOptions {
  std::string checkpoint, device = "auto";
  std::vector<std::string> overrides;
  int port = -1, threads = 0;  // port: 0 is any that is free, -1 the usual one, or where it is taken any
  bool no_browser = false;
};
void play(const PlayOptions& options);  // until a signal asks it to stop

}  // namespace poph
