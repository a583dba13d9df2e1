#include <fmt/format.h>

#include "tests/bench/model_bench.h"

// The time of single layers and ops, forward and backward.
namespace poph {
namespace {

double gigaflops(int64_t rows, const std::vector<const Linear*>& layers) {
  double per_row = 0;
  for (const Linear* layer : layers)
    if (layer->weight.defined()) per_row += 2.0 * static_cast<double>(layer->weight.value().elements());
  return 1e-9 * static_cast<double>(rows) * per_row;
}

// A Var whose backward pass gives `dy` to y, as the rest of a model would.
Var with_gradient(const Var& y, const Tensor& dy) {
  return record(Tensor::zeros({}, Dtype::f32, dy.device()), {y}, [dy](const Tensors&) { return Tensors{dy}; });
}

struct LayerBench {
  Layer layer;
  Var x;
  Tensor dy;  // undefined where the layer ends in a loss

  LayerBench(Layer timed, Dtype dtype, Device device, uint32_t number) : layer(std::move(timed)) {
    x = Var(random_normal(layer.input, {2, number, 0, RandomUse::dropout}, dtype, device), layer.input_requires_grad);
    ForwardContext evaluation;
    NoGrad no_grad;
    const Tensor y = layer.run(x, evaluation).value();
    if (y.elements() > 1) dy = random_normal(y.shape(), {2, number, 1, RandomUse::dropout}, y.dtype(), device);
  }
  void backward_from(const Var& y) { backward(dy.defined() ? with_gradient(y, dy) : y); }
};

Json timed(LayerBench& bench, Device device, uint32_t step) {
  bench.x.gradient() = Tensor();
  ForwardContext context{true, 1, step, 0};
  DeviceStopwatch watch(device);
  Var y = bench.layer.run(bench.x, context);
  Json answer{{"forward", watch.lap()}};
  bench.backward_from(y);
  y = Var();
  answer["backward"] = watch.lap();
  return answer;
}

}  // namespace

double attention_gigaflops(int64_t groups, int64_t positions, int64_t visible_step, int64_t width) {
  const double length = static_cast<double>(positions), step = static_cast<double>(visible_step);
  const double pairs = length * (visible_step ? (length + step) / 2 : length);
  return 4e-9 * static_cast<double>(groups * width) * pairs;
}

std::vector<Layer> layers_of(ModelBench& bench) {
  const Biaxial& model = bench.model;
  const int64_t steps = bench.config.data.window, batch = bench.config.train.batch, notes = model.settings.notes;
  const int64_t rows = steps * batch * notes;
  std::vector<Layer> layers;
  const auto add = [&](std::string name, std::string title, int64_t width, double gflop, auto run) {
    Layer layer;
    layer.name = std::move(name);
    layer.title = std::move(title);
    layer.input = {steps, batch, notes, width};
    layer.forward_gflop = gflop;
    layer.backward_gflop = 2 * gflop;
    layer.run = std::move(run);
    layers.push_back(std::move(layer));
  };

  const Shape& conv = model.octave_conv.weight.shape();
  const Linear as_linear{model.octave_conv.weight, {}};
  add("octave_conv", fmt::format("octave convolution, {} -> {}", conv[1], conv[0]), conv[1],
      gigaflops(rows, {&as_linear}), [&model](const Var& x, ForwardContext&) { return model.octave_conv(x); });
  layers.back().input_requires_grad = false;  // music needs none
  layers.back().backward_gflop /= 2;

  int64_t width = model.feature_width();
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    if (model.conditioned() && static_cast<int64_t>(i) == model.conditioning_point()) width += model.settings.channels;
    const std::string name = fmt::format("blocks.{}", i);
    if (const auto* attention = std::get_if<AttentionBlock>(&model.blocks[i])) {
      const bool in_time = attention->along_time();
      const int64_t positions = in_time ? steps * notes : notes, groups = rows / positions;
      const int64_t visible_step = attention->masked ? 1 : in_time ? notes : 0;
      const auto& s = attention->settings;
      add(name,
          fmt::format("attention along {}{}, {} wide, {} x {}", in_time ? "time and notes" : "notes",
                      attention->masked ? ", masked" : "", width, s.heads, s.head_dim),
          width,
          gigaflops(rows, {&attention->query, &attention->key, &attention->value, &attention->output,
                           &attention->feed_forward_in, &attention->feed_forward_out}) +
              attention_gigaflops(groups, positions, visible_step, s.heads * s.head_dim),
          [attention](const Var& x, ForwardContext& context) { return (*attention)(x, context); });
    } else if (const auto* block = std::get_if<LstmBlock>(&model.blocks[i])) {
      const LstmBlock& lstm = *block;
      for (size_t k = 0; k < lstm.layers.size(); ++k) {
        const LstmBlock one{lstm.axis, lstm.dropout, {lstm.layers[k]}};
        const Linear input{lstm.layers[k].weight_ih, {}}, recurrent{lstm.layers[k].weight_hh, {}};
        add(fmt::format("{}.layers.{}", name, k),
            fmt::format("LSTM along {}, layer {}, {} -> {}", lstm.axis == SequenceAxis::time ? "time" : "notes", k + 1,
                        input.weight.shape()[1], one.outputs()),
            input.weight.shape()[1], gigaflops(rows, {&input, &recurrent}),
            [one](const Var& x, ForwardContext& context) { return one(x, context); });
        layers.back().lstm_along_time = lstm.carries_time();
      }
    } else {  // another kind: taken as one product with each weight for each cell
      Block& whole = bench.model.blocks[i];
      double weights = 0;
      each_parameter(whole, [&](const std::string&, Var& parameter) {
        if (parameter.shape().rank() > 1) weights += static_cast<double>(parameter.value().elements());
      });
      add(name, fmt::format("{} {}", info_of(model.settings.blocks[i].kind).name, size_text(whole)), width,
          2e-9 * static_cast<double>(rows) * weights,
          [&whole](const Var& x, ForwardContext& context) { return forward(whole, x, context); });
    }
    width = outputs(model.blocks[i]);
  }

  add("heads", "heads and loss", width, gigaflops(rows, {&model.note_head, &model.volume_head}),
      [&bench, data = bench.data_of(0)](const Var& x, ForwardContext&) {
        return bench.loss(bench.model.heads(x), data)[Loss::total];
      });
  return layers;
}

void measure_layers(const ModelOptions& options, const std::string& dump) {
  ModelBench bench(options);
  const Tf32Products tf32(bench.config.train.precision == Precision::tf32);
  std::vector<LayerBench> layers;
  for (Layer& layer : layers_of(bench))
    layers.emplace_back(std::move(layer), bench.model.activations, bench.device, static_cast<uint32_t>(layers.size()));

  if (!dump.empty()) {  // what goes in and what comes out, without dropout
    TensorFile file = bench.weights();
    file.tensors["batch.target"] = bench.data_of(0).target;
    for (LayerBench& one : layers) {
      ForwardContext evaluation;
      const Var y = one.layer.run(one.x, evaluation);
      one.backward_from(y);
      const std::string prefix = "layer." + one.layer.name;
      file.tensors[prefix + ".x"] = one.x.value();
      file.tensors[prefix + ".y"] = y.value();
      if (one.dy.defined()) file.tensors[prefix + ".dy"] = one.dy;
      if (one.layer.input_requires_grad) file.tensors[prefix + ".dx"] = one.x.gradient();
    }
    return write_safetensors(dump, file);
  }

  Json about = bench.about();
  for (const LayerBench& one : layers)
    about["layers"].push_back({{"name", one.layer.name},
                               {"title", one.layer.title},
                               {"forward_gflop", one.layer.forward_gflop},
                               {"backward_gflop", one.layer.backward_gflop}});
  uint32_t step = 0;
  serve(about, [&](const std::string& request) {
    const auto found =
        std::find_if(layers.begin(), layers.end(), [&](const LayerBench& one) { return one.layer.name == request; });
    require(found != layers.end(), "bench layers: no layer is called \"", request, "\"");
    Json answer = timed(*found, bench.device, step++);
    bench.zero_grad();
    return answer;
  });
}

}  // namespace poph
