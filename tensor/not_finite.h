#pragma once
#include <cstdint>

#include "tensor/host_device.h"

namespace poph {

// 1 for NaN and the infinities, else 0; of bf16, float or double.
template <class T>
struct NotFinite {  // by the bits: kernel files are compiled with -ffast-math, which assumes that isnan is never true
  POPH_HD int64_t operator()(T x) const {
    if constexpr (sizeof(T) == 2) {
      return (x.bits & 0x7f80u) == 0x7f80u;
    } else if constexpr (sizeof(T) == 4) {
      union {
        float value;
        uint32_t bits;
      } view{x};
      return (view.bits & 0x7f800000u) == 0x7f800000u;
    } else {
      union {
        double value;
        uint64_t bits;
      } view{x};
      return (view.bits & 0x7ff0000000000000ull) == 0x7ff0000000000000ull;
    }
  }
};

}  // namespace poph
