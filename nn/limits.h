#pragma once
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

// The values that a key of an experiment file may have: words, or an interval. The lists of keys (block_settings.h and
// experiments/config/keys.h) are written with them.
namespace poph {

constexpr int64_t max_shards = 4096;  // each has a stream of random numbers of its own

// The words a key takes, in the order messages list them.
template <class T>
using Choices = std::vector<std::pair<std::string_view, T>>;

// A million of anything is beyond every machine, and products of three such sizes still fit 64 bits.
inline constexpr int64_t max_size = 1'000'000;

// The interval of a real number; `above` and `below` leave the end itself out.
struct RealRange {
  double at_least = -std::numeric_limits<double>::infinity();
  double above = -std::numeric_limits<double>::infinity();
  double at_most = std::numeric_limits<double>::infinity();
  double below = std::numeric_limits<double>::infinity();
};

}  // namespace poph
