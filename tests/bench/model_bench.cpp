#include "tests/bench/model_bench.h"

#include <fstream>
#include <random>

#include "experiments/workspace/checkpoints.h"
#include "tensor/gemm.h"

// The commands of the measurements of whole models: steps, composing, attention.
namespace poph {
namespace {

Config config_of(const ModelOptions& options) {
  std::vector<std::string> overrides = options.overrides;
  overrides.push_back("data.window=" + std::to_string(options.window));
  overrides.push_back("train.batch=" + std::to_string(options.batch));
  return load_config(options.file, overrides, bundled_corpus());
}

// A tenth of the cells sound, a fifth of those are struck again: no step is all zeros, which processors compute faster.
Windows random_music(const Config& config) {
  std::mt19937_64 random(config.seed);
  std::uniform_real_distribution<double> uniform;
  auto roll = std::make_shared<Roll>(config.data.lowest_note, config.data.notes);
  std::vector<Cell> cells(config.data.notes);
  const int64_t windows = ModelBench::batches * config.train.batch;
  for (int64_t step = 0; step < (windows + 1) * config.data.window; ++step) {
    for (Cell& cell : cells) {
      const int velocity = static_cast<int>(1 + random() % 127);
      cell = uniform(random) > 0.1 ? 0 : static_cast<Cell>(uniform(random) < 0.2 ? velocity | replay_bit : velocity);
    }
    roll->append(cells);
  }
  return Windows({{"made up", roll}}, config.data.window, config.data.window, config.data.steps_per_quarter);
}

}  // namespace

double peak_megabytes(Device device) {
  if (device == Device::cuda) return static_cast<double>(memory_use(device).peak) / (1 << 20);
  std::ifstream status("/proc/self/status");  // getrusage would count the process that started this one too
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024;
  }
  fail("bench: found no VmHWM in /proc/self/status");
}

void serve(const Json& about, const Measure& measure) {
  std::cout << about.dump() << std::endl;
  for (std::string request; std::getline(std::cin, request);) std::cout << measure(request).dump() << std::endl;
}

ModelBench::ModelBench(const ModelOptions& options)
    : config(config_of(options)),
      device(parse_device(options.device)),
      model(config.model, config.seed, Dtype::f32, device),
      loss(config.loss, config.model, Dtype::f32, device),
      windows(random_music(config)) {
  if (config.train.precision == Precision::bf16) model.activations = Dtype::bf16;
}

// The piece's first window is left out: what it reads is the silence before the piece.
std::vector<int64_t> ModelBench::batch_of(int64_t step) const {
  std::vector<int64_t> which(config.train.batch);
  for (int64_t b = 0; b < config.train.batch; ++b) which[b] = 1 + step % batches * config.train.batch + b;
  return which;
}

Batch ModelBench::data_of(int64_t step) const {
  return windows.batch(batch_of(step), config.model.channels, Dtype::f32).to(device);
}

Losses ModelBench::losses(const Batch& data) {
  ForwardContext evaluation;
  return loss(model(data, evaluation), data);
}

void ModelBench::zero_grad() {
  model.each_parameter([](const std::string&, Var& parameter) { parameter.gradient() = Tensor(); });
}

TensorFile ModelBench::weights() {
  TensorFile file = weights_file(model, config);
  for (auto& [name, tensor] : file.tensors) tensor = tensor.clone();
  return file;
}

Json ModelBench::about() const {
  return {{"who", "PopH"},
          {"model", config.name},
          {"threads", threads()},
          {"blas", blas_name()},
          {"device", device_name(device)}};
}

}  // namespace poph
