#include "experiments/sweep/axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "experiments/config/values.h"
#include "nn/block_settings.h"
#include "tensor/random.h"

namespace poph {
namespace {

using Type = Value::Type;
namespace fs = std::filesystem;

constexpr int64_t max_combinations = int64_t{1} << 53;

std::vector<std::string> axis_keys() {
  std::vector<std::string> keys = all_keys();
  std::erase_if(keys, [](const std::string& key) { return key.starts_with("sweep."); });
  keys.push_back("extends");
  return keys;
}

void read_axis(const std::string& key, const Value& value, Grid& grid, std::set<std::string>& seen) {
  if (value.is(Type::table) && contains(all_sections(), key)) {
    for (size_t i = 0; i < value.items.size(); ++i)
      read_axis(key + "." + unquoted_key(value.keys[i]), value.items[i], grid, seen);
    return;
  }
  if (key == "seed")
    fail(value.where, ": sweep.axes: seeds are no axis: sweep.seeds = [1, 2, 3] runs every configuration with each");
  if (key == "name") fail(value.where, ": sweep.axes: the runs are named after their settings");
  if (!is_block_key(key) && !contains(axis_keys(), key)) reject_unknown(value, "sweep.axes: ", key, axis_keys());
  const std::string shown = "sweep.axes." + key;
  expect(Type::array, "a list of the values to try", value, shown);
  if (value.items.empty()) reject(value, shown, "an empty list: nothing to try");
  if (!seen.insert(key).second) reject(value, shown, "is an axis already");
  if (key == "extends")
    for (const Value& item : value.items)
      if (expect(Type::text, "a string", item, shown).text.empty()) reject(item, shown, "names no file");
  grid.push_back({key, value.items});
}

// One value as a label shows it.
std::string shown_value(const Value& value) {
  std::vector<std::string> parts;
  switch (value.type) {
    case Type::boolean:
      return value.boolean ? "true" : "false";
    case Type::integer:
      return fmt::format("{}", value.integer);
    case Type::real:
      return fmt::format("{}", value.real);
    case Type::text:
      return value.text.starts_with('/') ? fs::path(value.text).filename().string() : value.text;  // paths are absolute
    case Type::array:
      for (const Value& item : value.items) parts.push_back(shown_value(item));
      return fmt::format("{}", fmt::join(parts, "+"));
    default:
      return "";
  }
}

// A list of blocks as the shipped orderings are named: sa_lstm_lstm.
std::string ordering_name(const Value& blocks) {
  std::vector<std::string> names;
  for (const Value& block : blocks.items) {
    const auto kind = std::find(block.keys.begin(), block.keys.end(), "kind");
    const std::string word =
        kind == block.keys.end() ? "" : block.items[static_cast<size_t>(kind - block.keys.begin())].text;
    const auto info =
        std::find_if(std::begin(block_kinds), std::end(block_kinds), [&](const auto& row) { return row.name == word; });
    names.push_back(info == std::end(block_kinds) ? word : info->short_name);
  }
  return fmt::format("{}", fmt::join(names, "_"));
}

// A list of styles by their names: bach+satie.
std::string styles_name(const Value& styles) {
  std::vector<std::string> names;
  for (const Value& style : styles.items) {
    const auto name = std::find(style.keys.begin(), style.keys.end(), "name");
    if (name != style.keys.end()) names.push_back(style.items[static_cast<size_t>(name - style.keys.begin())].text);
  }
  return names.empty() ? "no styles" : fmt::format("styles {}", fmt::join(names, "+"));
}

[[noreturn]] void reject_combinations(const Axis& axis) {
  reject(axis.values[0], "sweep.axes." + axis.key, "the axes have more combinations than 2^53");
}

int64_t combinations(const Grid& grid) {
  int64_t product = 1;
  for (const Axis& axis : grid) {
    if (product > max_combinations / std::ssize(axis.values)) reject_combinations(axis);
    product *= std::ssize(axis.values);
  }
  return product;
}

std::string last_part(const std::string& key) { return key.substr(key.rfind('.') + 1); }  // npos + 1 is 0

}  // namespace

std::vector<Grid> read_axes(const Value& axes) {
  const bool several = axes.is(Type::array);
  std::vector<Grid> grids;
  for (const Value& table : several ? axes.items : std::vector<Value>{axes}) {
    expect(Type::table, "a table of keys with lists of values", table, "sweep.axes");
    Grid grid;
    std::set<std::string> seen;
    for (size_t i = 0; i < table.items.size(); ++i) read_axis(unquoted_key(table.keys[i]), table.items[i], grid, seen);
    grids.push_back(std::move(grid));
  }
  if (grids.empty()) reject(axes, "sweep.axes", "an empty list: nothing to try");
  size_t count = 0;
  for (const Grid& grid : grids) count += grid.size();
  if (count > max_axes) reject(axes, "sweep.axes", fmt::format("{} keys, expected at most {}", count, max_axes));
  return grids;
}

int64_t combinations(const std::vector<Grid>& grids) {
  int64_t sum = 0;
  for (const Grid& grid : grids) {
    const int64_t size = combinations(grid);
    if (size > max_combinations - sum) reject_combinations(grid[0]);
    sum += size;
  }
  return sum;
}

Settings combination(const std::vector<Grid>& grids, int64_t index) {
  size_t which = 0;
  for (int64_t size; (size = combinations(grids[which])) <= index; ++which) index -= size;
  Settings settings(grids[which].size());
  for (size_t a = settings.size(); a-- > 0;) {
    const Axis& axis = grids[which][a];
    const auto values = static_cast<int64_t>(axis.values.size());
    settings[a] = {axis.key, axis.values[static_cast<size_t>(index % values)]};
    index /= values;
  }
  return settings;
}

void draw_combinations(int64_t count, uint64_t seed, const std::function<bool(int64_t)>& take) {
  std::set<int64_t> drawn;
  for (uint32_t draw = 0; static_cast<int64_t>(drawn.size()) < count; ++draw) {
    const Philox4 bits = philox(static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), {{draw, 0, 0, 0}});
    const uint64_t number = uint64_t{bits.word[0]} << 32 | bits.word[1];
    const auto index = static_cast<int64_t>(number % static_cast<uint64_t>(count));
    if (drawn.insert(index).second && !take(index)) return;
  }
}

std::map<std::string, int> last_parts(const std::vector<Grid>& grids) {
  std::set<std::string> keys;
  for (const Grid& grid : grids)
    for (const Axis& axis : grid) keys.insert(axis.key);
  std::map<std::string, int> counts;
  for (const std::string& key : keys) ++counts[last_part(key)];
  return counts;
}

std::string label_of(const Settings& settings, const std::map<std::string, int>& last_parts) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : settings) {
    const std::string short_key = last_part(key);
    const auto same = last_parts.find(short_key);
    if (key == "extends")
      parts.push_back(fs::path(value.text).stem().string());
    else if (key == "model.blocks")
      parts.push_back(ordering_name(value));
    else if (key == "model.styles")
      parts.push_back(styles_name(value));
    else
      parts.push_back((same != last_parts.end() && same->second == 1 ? short_key : key) + " " + shown_value(value));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace poph
