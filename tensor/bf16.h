#pragma once
#include <cstdint>
#include <type_traits>

#include "tensor/host_device.h"

// The type bf16: the upper half of a float, 8 bits of exponent and 7 of fraction. Numbers are stored as bf16 and
// computed as float. The bits are those of CUDA's __nv_bfloat16. Conversions are integer arithmetic, so that they are
// the same on both devices and under -ffast-math.
namespace poph {

struct bf16 {
  uint16_t bits;

  bf16() = default;
  // To the nearest, ties to even. A value that is too large becomes infinite; a NaN stays NaN and turns quiet.
  POPH_HD explicit bf16(float value) {
    const union {
      float value;
      uint32_t bits;
    } view{value};
    const uint32_t rounded = view.bits + 0x7fffu + (view.bits >> 16 & 1u), nan = view.bits | 0x400000u;
    bits = static_cast<uint16_t>(((view.bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded) >> 16);
  }
  POPH_HD operator float() const {
    union {
      uint32_t bits;
      float value;
    } view{static_cast<uint32_t>(bits) << 16};
    return view.value;
  }
};

namespace detail {
template <class T>
struct Accumulate {
  using type = T;
};
template <>
struct Accumulate<bf16> {
  using type = float;
};
}  // namespace detail

// The type that numbers stored as T are computed and summed in.
template <class T>
using accumulate_t = typename detail::Accumulate<T>::type;

}  // namespace poph
