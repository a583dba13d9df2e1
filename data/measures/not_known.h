#pragma once
#include <limits>

namespace poph {

// The number of that which cannot be counted or was not measured.
inline constexpr double not_known = std::numeric_limits<double>::quiet_NaN();

}  // namespace poph
