#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/device.h"

namespace poph::test {

// How often a test tries something that is slow by design, such as a plain twin: AddressSanitizer makes it twenty times
// slower, and sees in a tenth of the tries what it can see.
constexpr int64_t fewer(int64_t count) { return POPH_ASAN ? std::max<int64_t>(1, count / 10) : count; }

// And the models, rows or parameters that such a test goes through: under AddressSanitizer every fifth.
template <class T>
std::vector<T> some_of(const std::vector<T>& all) {
  std::vector<T> some;
  for (size_t i = 0; i < all.size(); i += POPH_ASAN ? 5 : 1) some.push_back(all[i]);
  return some;
}

}  // namespace poph::test
