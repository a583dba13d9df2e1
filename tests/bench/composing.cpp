#include "experiments/compose/composer.h"
#include "tests/bench/model_bench.h"

namespace poph {
namespace {

// Two ways of composing must agree on the notes, and the random numbers that chose them, which are the composer's
// own (MODEL.md "Random numbers").
TensorFile checked_composing(ModelBench& bench, ComposeSettings settings) {
  settings.steps = 12;
  const int64_t notes = bench.model.settings.notes;
  std::vector<double> uniform, cells;
  for (int64_t step = 0; step < settings.steps; ++step)
    for (int64_t piece = 0; piece < settings.pieces; ++piece)
      for (int64_t draw = 0; draw < 2 * notes; ++draw) {
        const RandomKey key{settings.seed, static_cast<uint32_t>(piece), static_cast<uint32_t>(step),
                            RandomUse::sampling};
        uniform.push_back(uniform_from_bits(key.bits(draw)));
      }
  for (const Roll& roll : compose(bench.model, settings))
    for (int64_t step = 0; step < settings.steps; ++step)
      for (int64_t note = 0; note < notes; ++note) {
        const Cell cell = roll.cell(step, note);
        cells.insert(cells.end(), {cell ? 1.0 : 0.0, cell & replay_bit ? 1.0 : 0.0, (cell & velocity_bits) / 127.0});
      }
  TensorFile file = bench.weights();
  file.tensors["compose.context"] = Tensor::full({1}, static_cast<double>(settings.context), Dtype::f32);
  file.tensors["compose.uniform"] = Tensor::from(uniform, {settings.steps, settings.pieces, notes, 2}, Dtype::f32);
  file.tensors["compose.cells"] = Tensor::from(cells, {settings.pieces, settings.steps, notes, 3}, Dtype::f32);
  return file;
}

}  // namespace

void measure_composing(ModelOptions options, int64_t pieces, int64_t context, int64_t warm_up,
                       const std::string& dump) {
  options.window = 1;
  options.batch = pieces;
  ModelBench bench(options);
  ComposeSettings settings;
  settings.pieces = pieces;
  settings.context = context;
  if (!dump.empty()) return write_safetensors(dump, checked_composing(bench, settings));

  // A request is a number of steps, which compose() makes as one piece of work with those before; it ends with the
  // input.
  settings.steps = max_steps;
  DeviceStopwatch watch(bench.device);
  int64_t asked = 0, next_stop = warm_up;
  Json about = bench.about();
  double gigaflops = 0;  // of a step of all pieces; with a context the LSTM along time has all its steps to make
  for (const Layer& layer : layers_of(bench))
    gigaflops += layer.forward_gflop * static_cast<double>(layer.lstm_along_time ? std::max<int64_t>(context, 1) : 1);
  about["gflop"] = gigaflops;
  std::cout << about.dump() << std::endl;
  compose(bench.model, settings, [&](int64_t done) {
    if (done < next_stop) return true;
    if (asked) {
      Json answer = watch.lap();
      for (const char* clock : {"wall", "cpu"})
        answer[clock] = answer[clock].get<double>() / static_cast<double>(asked);
      answer["peak_mb"] = peak_megabytes(bench.device);
      std::cout << answer.dump() << std::endl;
    }
    std::string request;
    if (!std::getline(std::cin, request)) return false;
    asked = std::stoll(request);
    next_stop = done + asked;
    watch.lap();
    return true;
  });
}

}  // namespace poph
