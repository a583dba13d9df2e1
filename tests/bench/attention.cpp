#include "experiments/workspace/checkpoints.h"
#include "tests/bench/model_bench.h"

// One attention over a long sequence, as the model calls it, without dropout: PyTorch's flash kernel has none on the
// CPU.
namespace poph {

void measure_attention(const AttentionOptions& options) {
  const Device device = parse_device(options.device);
  const Dtype dtype = options.precision == "bf16" ? Dtype::bf16 : Dtype::f32;
  const Tf32Products tf32(options.precision == "tf32");
  const int64_t width = options.heads * options.head_dim;
  const Shape shape{1, options.positions, width};
  const double start = peak_megabytes(device);
  const auto random = [&](uint32_t which) {
    return random_normal(shape, {3, which, 0, RandomUse::dropout}, dtype, device);
  };
  Var q(random(0), true), k(random(1), true), v(random(2), true);
  const Tensor dy = random(3);

  // visible_step
  const std::map<std::string, int64_t> masks{{"full", 0}, {"causal", 1}, {"block_causal", options.notes}};
  Json about{{"who", "PopH"}, {"threads", threads()}, {"device", device_name(device)}, {"start_mb", start}};
  for (const auto& [name, visible_step] : masks)
    about["forward_gflop"][name] = attention_gigaflops(1, options.positions, visible_step, width);
  serve(about, [&](const std::string& request) {  // "MASK" or "MASK backward", which times the forward pass too
    const size_t space = request.find(' ');
    const auto mask = masks.find(request.substr(0, space));
    require(mask != masks.end(), "bench attention: found mask \"", request,
            "\", expected full, causal or block_causal");
    const AttentionSettings settings{.heads = options.heads,
                                     .scale = 1 / std::sqrt(static_cast<double>(options.head_dim)),
                                     .visible_step = mask->second};
    q.gradient() = k.gradient() = v.gradient() = Tensor();
    DeviceStopwatch watch(device);
    if (space == request.npos) {
      const NoGrad no_grad;
      attention(q, k, v, settings);
    } else {
      const Var y = attention(q, k, v, settings);
      backward(record(Tensor::zeros({}, Dtype::f32, device), {y}, [&dy](const Tensors&) { return Tensors{dy}; }));
    }
    Json answer = watch.lap();
    answer["peak_mb"] = peak_megabytes(device);
    return answer;
  });
}

}  // namespace poph
