#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace poph {

// What `poph inspect`, `data`, `evaluate` and `generate` do. With json they print one object and nothing else on standard output.

struct InspectOptions {
  std::string path;                    // a MIDI file, a .safetensors file or a run folder
  std::vector<std::string> overrides;  // "data.notes=88": how a MIDI file is read
  bool json = false;
};
void inspect(const InspectOptions& options);

struct DataOptions {
  std::string source;                  // as in data.source
  std::vector<std::string> overrides;  // "data.notes=88"
  int threads = 0;
  bool list = false, json = false;     // list: every file that was skipped or is damaged, and nothing else
};
void read_data(const DataOptions& options);

struct EvaluateOptions {
  std::string checkpoint;  // a file or a run folder
  std::vector<std::string> overrides;
  std::string data;        // a source as in data.source; empty: the experiment's own
  std::string split;       // train, valid, test, all; empty: test where the data has one, all of --data, or else valid
  int64_t windows = 0;     // 0: all; K: the first K as one batch
  std::string dtype = "f32", gradients, device = "auto";
  int threads = 0;
  bool json = false;
};
void evaluate(const EvaluateOptions& options);

struct GenerateOptions {
  std::string checkpoint, out = "composed", prime, device = "auto";
  std::vector<std::string> overrides;
  int64_t bars = 0, pieces = 0, context = -1;  // 0, 0, -1: as the experiment says
  double temperature = 0, tempo = 0;           // 0: as the experiment says
  uint64_t seed = 1;
  int threads = 0;
  bool keep_prime = false, json = false;
};
int generate(const GenerateOptions& options);  // the exit code: 0, or 75 when interrupted (what was composed by then is written)

}  // namespace poph
