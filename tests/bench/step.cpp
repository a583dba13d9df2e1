#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <random>

#include "experiments/model_file.h"
#include "nn/losses.h"
#include "nn/optimizer.h"

// Times training steps as experiments/trainer.cpp does them, on made-up music. tests/bench/run is what people call.
namespace poph {
namespace {

struct Rolls {
  Tensor input, target, beat;
};

// A tenth of the cells sound, a fifth of those are struck again: no step is all zeros, which processors compute faster.
Tensor random_roll(const Shape& shape, std::mt19937_64& random) {
  const int64_t channels = shape.last();
  std::uniform_real_distribution<double> uniform;
  std::vector<double> values(shape.elements(), 0.0);
  for (int64_t cell = 0; cell < shape.rows(); ++cell) {
    if (uniform(random) > 0.1) continue;
    values[cell * channels] = 1;
    if (channels == 1) continue;
    values[cell * channels + 1] = uniform(random) < 0.2;
    values[cell * channels + 2] = static_cast<double>(1 + random() % 127) / 127;
  }
  return Tensor::from(values, shape, Dtype::f32);
}

Rolls random_rolls(const Config& config, uint64_t seed) {
  const int64_t steps = config.data.window, batch = config.train.batch;
  const Shape shape{steps, batch, config.model.notes, config.model.channels};
  std::mt19937_64 random(seed);
  Rolls rolls{random_roll(shape, random), random_roll(shape, random), Tensor::zeros({steps, batch, 16}, Dtype::f32)};
  for (int64_t row = 0; row < steps * batch; ++row) rolls.beat.data<float>()[row * 16 + row / batch % 16] = 1;
  return rolls;
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

rusage usage() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used;
}
double cpu_seconds(const rusage& used) {
  const auto of = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
  return of(used.ru_utime) + of(used.ru_stime);
}

struct Bench {
  Config config;
  Biaxial model{config.model, config.seed, Dtype::f32, Device::cpu};
  LossFunction loss{config.loss, config.model, Dtype::f32, Device::cpu};
  Optimizer optimizer{config.train.optimizer};
  std::vector<Rolls> rolls;  // taken in turn
  uint32_t steps = 0;

  Losses losses(const Rolls& data, bool training) {
    Pass pass{training, config.seed, steps, 0};
    return loss(model(data.input, data.target, data.beat, pass), data.target);
  }
  void forget_gradients() {
    model.each_parameter([](const std::string&, Var& parameter) { parameter.gradient() = Tensor(); });
  }
  double step() {
    const Losses found = losses(rolls[steps % rolls.size()], true);
    const double total = found.total.value().item();
    forget_gradients();
    backward(found.total);
    optimizer.step(model, config.train.learning_rate);
    ++steps;
    return total;
  }

  // One step as a line of JSON.
  std::string timed_step() {
    const double begun = seconds(), cpu_begun = cpu_seconds(usage());
    const double total = step();
    const double wall = seconds() - begun;
    const rusage used = usage();
    return fmt::format(R"({{"wall": {:.4f}, "cpu": {:.4f}, "loss": {:.6f}, "peak_mb": {}}})", wall, cpu_seconds(used) - cpu_begun, total,
                       used.ru_maxrss / 1024);
  }

  // Multiplications and additions of the matrix products, forward; a step does three times as many.
  double forward_gigaflops() {
    const double rows = static_cast<double>(config.data.window * config.train.batch * config.model.notes);
    double per_row = 0;
    for (const auto& [name, tensor] : model.parameter_tensors())
      if (tensor->shape().rank() > 1) per_row += 2.0 * static_cast<double>(tensor->elements());
    for (const BlockSettings& block : config.model.blocks) {
      const int64_t positions = block.kind == BlockKind::attention_time_notes ? config.data.window * config.model.notes : config.model.notes;
      if (block.is_attention()) per_row += 4.0 * static_cast<double>(positions * block.heads * block.head_dim);
    }
    return rows * per_row * 1e-9;
  }

  // What the peer starts from and is checked against: weights, a batch, and, without dropout, the losses, the gradients and
  // the weights after one update.
  TensorFile dump() {
    TensorFile file = weights_file(model, config);
    for (auto& [name, tensor] : file.tensors) tensor = tensor.clone();
    file.tensors["batch.input"] = rolls[0].input;
    file.tensors["batch.target"] = rolls[0].target;
    file.tensors["batch.beat"] = rolls[0].beat;
    const Losses found = losses(rolls[0], false);
    for (const auto& [name, value] : {std::pair{"play", found.play}, {"replay", found.replay}, {"volume", found.volume},
                                      {"harmony", found.harmony}, {"total", found.total}})
      if (value.defined()) file.tensors[std::string("loss.") + name] = value.value();
    forget_gradients();
    backward(found.total);
    model.each_parameter([&](const std::string& name, Var& parameter) { file.tensors["gradient." + name] = parameter.gradient(); });
    optimizer.step(model, config.train.learning_rate);
    for (const auto& [name, tensor] : model.parameter_tensors()) file.tensors["updated." + name] = *tensor;
    return file;
  }
};

}  // namespace
}  // namespace poph

int main(int argc, char** argv) {
  using namespace poph;
  std::string file = POPH_SOURCE_ROOT "/experiments/sa_lstm_lstm.toml", dump;
  std::vector<std::string> overrides;
  int batch = 16, window = 128, threads = 2, repeats = 5, warm_up = 1;
  bool serve = false;
  CLI::App app{"Times training steps; tests/bench/README.md says how to read the figures."};
  app.add_option("FILE", file, "experiment file")->capture_default_str();
  app.add_option("KEY=VALUE", overrides, "overrides");
  app.add_option("--batch", batch, "windows in a step")->capture_default_str();
  app.add_option("--window", window, "time steps in a window")->capture_default_str();
  app.add_option("--threads", threads)->capture_default_str();
  app.add_option("--warm-up", warm_up, "steps before the first that is shown")->capture_default_str();
  app.add_option("--repeats", repeats, "steps that are shown, a line of JSON each")->capture_default_str();
  app.add_option("--dump", dump, "write weights, a batch, losses and gradients to this .safetensors file, and end");
  app.add_flag("--serve", serve, "one step per line of standard input, in place of the repeats");
  CLI11_PARSE(app, argc, argv);
  try {
    set_threads(threads);
    overrides.push_back(fmt::format("data.window={}", window));
    overrides.push_back(fmt::format("train.batch={}", batch));
    Bench bench{load_config(file, overrides, bundled_corpus())};
    if (bench.config.train.precision == Precision::bf16) bench.model.activations = Dtype::bf16;
    for (uint64_t seed = 0; seed < (dump.empty() ? 4 : 1); ++seed) bench.rolls.push_back(random_rolls(bench.config, seed));
    if (!dump.empty()) {
      write_safetensors(dump, bench.dump());
      return 0;
    }
    std::cout << fmt::format(R"({{"who": "PopH", "model": "{}", "parameters": {}, "forward_gflop": {:.3f}, "threads": {}, "blas": "{}"}})",
                             bench.config.name, bench.model.parameter_count(), bench.forward_gigaflops(), poph::threads(), blas_name())
              << std::endl;
    for (int i = 0; i < warm_up; ++i) bench.step();
    std::string line;
    if (serve) {
      while (std::getline(std::cin, line)) std::cout << bench.timed_step() << std::endl;
    } else {
      for (int i = 0; i < repeats; ++i) std::cout << bench.timed_step() << std::endl;
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "step: %s\n", error.what());
    return 1;
  }
}
