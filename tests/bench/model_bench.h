#pragma once
#include <string>
#include <vector>

#include "experiments/train/trainer.h"
#include "nn/safetensors.h"
#include "poph_paths.h"
#include "tests/bench/measure.h"

// A model with its data for the measurements.
namespace poph {

struct ModelOptions {
  std::string file = POPH_SOURCE_ROOT "/experiments/sa_lstm_lstm.toml", device = "cpu";
  std::vector<std::string> overrides;
  int64_t batch = 16, window = 128;
};

// A model as an experiment file describes it, with made-up music to train on.
struct ModelBench {
  static constexpr int64_t batches = 4;  // taken in turn

  Config config;
  Device device;
  Biaxial model;
  LossFunction loss;
  Windows windows;  // of `batches` batches

  explicit ModelBench(const ModelOptions& options);

  std::vector<int64_t> batch_of(int64_t step) const;  // which windows
  Batch data_of(int64_t step) const;                  // on the device
  Losses losses(const Batch& data);                   // dropout off
  void zero_grad();
  TensorFile weights();  // copies
  Json about() const;
};

// A part of the model that is timed by itself, as the model calls it.
struct Layer {
  std::string name, title;  // its name in a checkpoint, and for people
  Shape input;
  bool input_requires_grad = true, lstm_along_time = false;
  double forward_gflop = 0, backward_gflop = 0;  // multiplications and additions of its matrix products
  std::function<Var(const Var& x, ForwardContext& context)> run;
};
std::vector<Layer> layers_of(ModelBench& bench);

// Of one attention, all heads, forward; the backward pass has twice as many. Settings as in tensor/ops.h.
double attention_gigaflops(int64_t groups, int64_t positions, int64_t visible_step, int64_t width);

// The measurements. Those with a `dump` write the numbers that a peer starts from and is checked against, and end,
// where a path is given.
void measure_steps(const ModelOptions& options, int64_t warm_up, const std::string& dump);
void measure_layers(const ModelOptions& options, const std::string& dump);
struct AttentionOptions {
  int64_t positions = 6144, heads = 4, head_dim = 64, notes = 48;
  std::string device = "cpu", precision = "float32";
};
void measure_attention(const AttentionOptions& options);
void measure_composing(ModelOptions options, int64_t pieces, int64_t context, int64_t warm_up, const std::string& dump);
void measure_midi(const std::string& folder);
void make_midi_files(const std::string& from, const std::string& to, int64_t transpositions, int64_t bytes);
void measure_fma_peak();

}  // namespace poph
