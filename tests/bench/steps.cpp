#include "tests/bench/model_bench.h"

// A training step as run_experiment makes it: the batch cut from the rolls, forward pass with dropout, losses read,
// backward pass, optimiser.
namespace poph {
namespace {

// Without dropout: the losses, the gradients, and the weights after one update.
TensorFile checked_step(ModelBench& bench) {
  TensorFile file = bench.weights();
  const Batch data = bench.data_of(0);
  file.tensors["batch.input"] = data.input;
  file.tensors["batch.target"] = data.target;
  file.tensors["batch.beat"] = data.beat;
  const Losses found = bench.losses(data);
  for (const LossPart& part : loss_parts)
    if (found[part].defined()) file.tensors[std::string("loss.") + part.name] = found[part].value();
  backward(found[Loss::total]);
  bench.model.each_parameter(
      [&](const std::string& name, Var& parameter) { file.tensors["gradient." + name] = parameter.gradient(); });
  Optimizer optimizer = make_optimizer(bench.config.train);
  optimizer.step(bench.model, bench.config.train.learning_rate);
  for (const auto& [name, tensor] : bench.model.parameter_tensors()) file.tensors["updated." + name] = *tensor;
  return file;
}

}  // namespace

void measure_steps(const ModelOptions& options, int64_t warm_up, const std::string& dump) {
  ModelBench bench(options);
  if (!dump.empty()) return write_safetensors(dump, checked_step(bench));
  double gigaflops = 0;
  for (const Layer& layer : layers_of(bench)) gigaflops += layer.forward_gflop + layer.backward_gflop;
  const Windows none;
  Trainer trainer(bench.config, bench.model, bench.windows, none);
  int64_t steps = 0;
  const auto step = [&] {
    const LossValues losses = trainer.train_step(steps % trainer.batches_per_epoch(), 0);
    ++steps;
    return losses.total();
  };
  while (steps < warm_up) step();
  Json about = bench.about();
  about["parameters"] = bench.model.parameter_count();
  about["gflop"] = gigaflops;
  serve(about, [&](const std::string&) {
    DeviceStopwatch watch(bench.device);
    const double loss = step();
    Json answer = watch.lap();
    answer["loss"] = loss;
    answer["peak_mb"] = peak_megabytes(bench.device);
    return answer;
  });
}

}  // namespace poph
