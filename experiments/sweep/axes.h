#pragma once
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "experiments/config/toml.h"

// [sweep.axes]: the keys that a sweep varies with their values, and the combinations of these that are run.
namespace poph {

struct Axis {
  std::string key;  // "loss.harmony.weight", "model.blocks[0].norm", or "extends"
  std::vector<Value> values;
};
// Every value of each axis with every value of the others; the last axis changes fastest.
using Grid = std::vector<Axis>;

constexpr size_t max_axes = 1000;

// One table is one grid; several ([[sweep.axes]]) are several. Error, with its line: a key that is no setting (and the
// nearest that is one), a value that is no list, an empty list, more than max_axes.
std::vector<Grid> read_axes(const Value& axes);

using Settings = std::vector<std::pair<std::string, Value>>;  // one value of each axis, in the order of the axes

int64_t combinations(const std::vector<Grid>& grids);  // of all grids; Error where they pass 2^53
Settings combination(const std::vector<Grid>& grids, int64_t index);

// Draws indices below `count`, none of them twice, until there are no more or `take` returns false. The same seed gives
// the same order: a longer draw begins with the shorter one.
void draw_combinations(int64_t count, uint64_t seed, const std::function<bool(int64_t)>& take);

// The last parts of the grids' keys, and how many different keys end in each.
std::map<std::string, int> last_parts(const std::vector<Grid>& grids);
// "raw, span 16": the settings in words. A key is named by its last part where no other key of the grids ends in it.
std::string label_of(const Settings& settings, const std::map<std::string, int>& last_parts);

}  // namespace poph
