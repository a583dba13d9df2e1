#include "tensor/ops.h"
#include "tensor/parallel.h"

// Uniform and normal numbers and dropout, all of them functions of a key and an element's number (random.h): the same
// on every device and with any number of threads.
namespace poph {
namespace {

// One Philox block serves four neighbours; `index` counts blocks.
template <class T>
struct Uniform {
  using A = accumulate_t<T>;
  RandomKey key;
  T* y;
  int64_t n;
  A low, width;
  POPH_HD void operator()(int64_t index) const {
    const Philox4 bits = key.block(index);
    for (int lane = 0; lane < 4; ++lane)
      if (index * 4 + lane < n) y[index * 4 + lane] = T(low + width * A(uniform_from_bits(bits.word[lane])));
  }
};

template <class T>
struct Normal {  // Box and Muller (1958): two uniforms make two normals
  using A = accumulate_t<T>;
  RandomKey key;
  T* y;
  int64_t n;
  POPH_HD void operator()(int64_t index) const {
    const Philox4 bits = key.block(index);
    for (int pair = 0; pair < 2; ++pair) {
      const A radius = std::sqrt(A(-2) * std::log(A(1) - A(uniform_from_bits(bits.word[2 * pair]))));
      const A angle = A(6.283185307179586) * A(uniform_from_bits(bits.word[2 * pair + 1]));
      const int64_t i = index * 4 + 2 * pair;
      if (i < n) y[i] = T(radius * std::cos(angle));
      if (i + 1 < n) y[i + 1] = T(radius * std::sin(angle));
    }
  }
};

template <class T, bool fixed = false>
struct Dropout {  // four whole neighbours and no branch: so the compiler vectorises ten rounds of Philox
  using A = accumulate_t<T>;
  RandomKey key;
  const T* x;
  T* y;
  uint32_t threshold;
  A scale;                  // of an element that stays
  int64_t first_block = 0;  // x and y begin there
  POPH_HD T keep(uint32_t bits, T value) const { return T(bits >= threshold ? scale * A(value) : A(0)); }
  POPH_HD void operator()(int64_t index) const {
    const Philox4 bits = fixed ? key.block(first_block + index, key.step) : key.block(first_block + index);
    y[index * 4] = keep(bits.word[0], x[index * 4]);
    y[index * 4 + 1] = keep(bits.word[1], x[index * 4 + 1]);
    y[index * 4 + 2] = keep(bits.word[2], x[index * 4 + 2]);
    y[index * 4 + 3] = keep(bits.word[3], x[index * 4 + 3]);
  }
};

template <class D>
struct DropoutTail {  // elements one by one, from `first` on
  D of;
  int64_t first;
  POPH_HD void operator()(int64_t i) const {
    const int64_t at = first + i;
    of.y[at] = of.keep(of.key.bits(of.first_block * 4 + at), of.x[at]);
  }
};

template <template <class> class Functor, class... Rest>
Tensor generate(Shape shape, Dtype dtype, Device device, RandomKey key, Rest... rest) {
  Tensor y(shape, dtype, device);
  visit_dtype(dtype, [&](auto type) {
    using T = decltype(type);
    for_each_index(device, (y.elements() + 3) / 4,
                   Functor<T>{key, y.data<T>(), y.elements(), accumulate_t<T>(rest)...});
  });
  return y;
}

}  // namespace

Tensor random_uniform(Shape shape, double low, double high, RandomKey key, Dtype dtype, Device device) {
  return generate<Uniform>(shape, dtype, device, key, low, high - low);
}

Tensor random_normal(Shape shape, RandomKey key, Dtype dtype, Device device) {
  return generate<Normal>(shape, dtype, device, key);
}

Tensor dropout(const Tensor& x, double probability, RandomKey key) {
  require(probability >= 0 && probability < 1, "dropout: probability ", probability, ", expected [0, 1)");
  if (probability == 0) return x;
  Tensor y(x.shape(), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const auto run = [&](auto functor) {
      for_each_index(x.device(), x.elements() / 4, functor);
      for_each_index(x.device(), x.elements() % 4, DropoutTail<decltype(functor)>{functor, x.elements() / 4 * 4});
    };
    const uint32_t threshold = drop_threshold(probability);
    const accumulate_t<T> scale = static_cast<accumulate_t<T>>(1 / (1 - probability));
    if (x.device() == Device::cpu)
      run(Dropout<T, true>{key.fixed(), x.data<T>(), y.data<T>(), threshold, scale});
    else
      run(Dropout<T>{key, x.data<T>(), y.data<T>(), threshold, scale});
  });
  return y;
}

void drop_elements(const OutputDropout& dropout, int64_t first, int64_t count, const float* x, float* y) {
  const int64_t before = std::min(count, (4 - first % 4) % 4);  // elements of a block that began earlier
  Dropout<float, true> functor{dropout.key.fixed(),
                               x,
                               y,
                               drop_threshold(dropout.probability),
                               static_cast<float>(1 / (1 - dropout.probability)),
                               0};
  for (int64_t i = 0; i < before; ++i) y[i] = functor.keep(functor.key.bits(first + i), x[i]);
  functor.x += before;
  functor.y += before;
  functor.first_block = (first + before) / 4;
  const int64_t blocks = (count - before) / 4;
  run_loop(0, blocks, functor);
  run_loop(0, (count - before) % 4, DropoutTail<Dropout<float, true>>{functor, blocks * 4});
}

}  // namespace poph
