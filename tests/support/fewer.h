#pragma once
#include <algorithm>
#include <cstdint>

#include "tensor/device.h"

namespace poph::test {

// How often a test tries something that is slow by design, such as a plain twin: AddressSanitizer makes it twenty times
// slower, and sees in a tenth of the tries what it can see.
constexpr int64_t fewer(int64_t count) { return POPH_ASAN ? std::max<int64_t>(1, count / 10) : count; }

}  // namespace poph::test
