#include "experiments/sweep/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>

#include "data/files/hash.h"
#include "experiments/config/config.h"
#include "experiments/config/keys.h"
#include "experiments/config/values.h"
#include "experiments/sweep/axes.h"

namespace poph {
namespace {

namespace fs = std::filesystem;
using Type = Value::Type;

constexpr int64_t max_runs = 10'000;
// bytes of the settings of all runs together: 6 kB for each of max_runs
constexpr size_t max_text = size_t{1} << 26;

// The sweep.* keys.
struct Plan {
  bool random = false;
  int64_t runs = 0;  // configurations to draw
  uint64_t seed = 1;
  std::vector<Value> seeds;
  std::vector<Grid> grids = {{}};  // one grid without axes: one configuration
  std::optional<Value> baseline;
};

const Value* find(const Values& values, const char* key) {
  const auto found = values.find(key);
  return found == values.end() ? nullptr : &found->second;
}

int64_t integer(const Value& value, const char* key, int64_t min) {
  expect(Type::integer, "an integer", value, key);
  if (value.integer < min) reject(value, key, "must be at least ", min, ", is ", value.integer);
  return value.integer;
}

void read_mode(const Values& values, Plan& plan) {
  const Value *mode = find(values, "sweep.mode"), *runs = find(values, "sweep.runs"),
              *seed = find(values, "sweep.seed");
  if (mode) {
    const std::string& word = expect(Type::text, "a string", *mode, "sweep.mode").text;
    plan.random = word == "random";
    if (word != "grid" && word != "random")
      reject(*mode, "sweep.mode", "\"", printable(word), "\" is none of \"grid\", \"random\": did you mean \"",
             nearest(word, {"grid", "random"}), "\"?");
  }
  if (plan.random && !runs)
    reject(*mode, "sweep.mode", "\"random\" needs sweep.runs, the number of configurations to draw");
  for (const auto& [key, value] : {std::pair{"sweep.runs", runs}, {"sweep.seed", seed}})
    if (value && !plan.random) reject(*value, key, "is for sweep.mode = \"random\"; a grid runs all");
  if (runs) plan.runs = integer(*runs, "sweep.runs", 1);
  if (seed) plan.seed = static_cast<uint64_t>(integer(*seed, "sweep.seed", 0));
}

void read_seeds(const Values& values, Plan& plan) {
  const Value* seeds = find(values, "sweep.seeds");
  if (!seeds) return;
  plan.seeds = expect(Type::array, "a list of integers", *seeds, "sweep.seeds").items;
  if (plan.seeds.empty()) reject(*seeds, "sweep.seeds", "an empty list: nothing to run");
  std::set<int64_t> seen;
  for (const Value& seed : plan.seeds)
    if (!seen.insert(integer(seed, "sweep.seeds", 0)).second)
      reject(seed, "sweep.seeds", "lists ", seed.integer, " twice");
}

Plan read_plan(const Values& values) {
  Plan plan;
  read_mode(values, plan);
  read_seeds(values, plan);
  if (const Value* axes = find(values, "sweep.axes")) plan.grids = read_axes(*axes);
  if (const Value* baseline = find(values, "sweep.baseline"))
    plan.baseline = expect(Type::text, "a string", *baseline, "sweep.baseline");
  return plan;
}

// An override of an axis's key would be undone by the axis, or undo it.
void refuse_overridden_axes(const Plan& plan, const std::vector<std::string>& overrides) {
  for (const std::string& text : overrides) {
    const auto [key, value] = read_key_and_value(text);
    if (is_block_key(key)) fail(value.where, ": in a sweep the keys of one block are set by its axes");
    if (key == "seed" && !plan.seeds.empty()) fail(value.where, ": this sweep has sweep.seeds");
    for (const Grid& grid : plan.grids)
      for (const Axis& axis : grid)
        if (axis.key == key) fail(value.where, ": is an axis of this sweep, at ", axis.values[0].where);
  }
}

// Reads files as configurations ask for them, each once.
class Files {
 public:
  Files(std::string file, const std::vector<std::string>& overrides) : file_(std::move(file)), overrides_(overrides) {}

  // Every setting but those of the axes, where the file extends `extended` (null: the file that it names itself).
  const Values& values(const Value* extended) {
    const auto [place, is_new] = read_.try_emplace(extended ? extended->text : "");
    if (is_new) {
      place->second = read_values(file_, extended);
      add_overrides(place->second, overrides_);
      std::erase_if(place->second, [](const auto& entry) { return entry.first.starts_with("sweep."); });
    }
    return place->second;
  }

 private:
  std::string file_;
  const std::vector<std::string>& overrides_;
  std::map<std::string, Values> read_;
};

Values values_with(const Settings& settings, Files& files) {
  const auto extended =
      std::find_if(settings.begin(), settings.end(), [](const auto& setting) { return setting.first == "extends"; });
  Values values = files.values(extended == settings.end() ? nullptr : &extended->second);
  for (const auto& [key, value] : settings)
    if (key != "extends" && !is_block_key(key)) values.insert_or_assign(key, value);
  for (const auto& [key, value] : settings)
    if (is_block_key(key)) set_block_key(values, key, value);
  return values;
}

// A label as part of a folder's name: the parts of the label are joined by -, and whatever is no letter, digit or dot
// becomes _.
std::string folder_part(const std::string& label) {
  std::string part;
  for (size_t i = 0; i < label.size() && part.size() < 60; ++i) {
    const auto c = static_cast<unsigned char>(label[i]);
    if (label.compare(i, 2, ", ") == 0)
      part += '-', ++i;
    else
      part += std::isalnum(c) || c == '.' ? label[i] : '_';
  }
  return part.empty() || part[0] == '.' || part[0] == '-' ? "run" + part : part;
}

// The configurations of a plan, each set of settings once.
class Configurations {
 public:
  struct One {
    std::string label;
    Settings settings;
    Config config;
  };

  Configurations(const Plan& plan, Files& files, const Sweep& sweep, const std::string& bundled_corpus)
      : plan_(plan), files_(files), sweep_(sweep), bundled_corpus_(bundled_corpus) {
    const int64_t count = combinations(plan.grids),
                  seeds = std::max<int64_t>(1, static_cast<int64_t>(plan.seeds.size()));
    const int64_t wanted = plan.random ? plan.runs : count;
    require(wanted <= max_runs / seeds, sweep.file, ": sweep: ", wanted, " configurations with ", seeds,
            " seeds are above ", max_runs, " runs; mode = \"random\" draws some");
    // Any number of combinations may have the same settings: a draw gives up after so many.
    const auto enough = [&] {
      return std::ssize(all) >= wanted || std::ssize(all) + static_cast<int64_t>(merged) >= 2 * max_runs;
    };
    const int64_t baseline = plan.random ? baseline_index(count) : -1;
    if (baseline >= 0) add(baseline);
    const auto take = [&](int64_t index) {
      if (index != baseline && !enough()) add(index);
      return !enough();
    };
    if (plan.random)
      draw_combinations(count, plan.seed, take);
    else
      for (int64_t index = 0; index < count; ++index) add(index);
    require(!plan.random || static_cast<int64_t>(all.size()) == plan.runs, sweep.file, ": sweep.runs = ", plan.runs,
            ", but the axes have ", all.size(), " different configurations",
            std::ssize(all) + static_cast<int64_t>(merged) < count ? " among those drawn" : "");
  }

  std::vector<One> all;
  size_t merged = 0;

 private:
  // A draw always includes the baseline, where it is named and there are few enough combinations to search for it.
  int64_t baseline_index(int64_t count) const {
    if (!plan_.baseline || count > max_runs) return -1;
    for (int64_t index = 0; index < count; ++index)
      if (label_of(combination(plan_.grids, index), last_parts_) == plan_.baseline->text) return index;
    return -1;
  }

  void add(int64_t index) {
    Settings settings = combination(plan_.grids, index);
    Config config = make_config(values_with(settings, files_), sweep_.file, sweep_.name, bundled_corpus_);
    std::string resolved;
    for (const KeyLine& line : key_lines(config)) resolved += line.key + " = " + line.value + "\n";
    text_ += resolved.size() * std::max<size_t>(1, plan_.seeds.size());
    require(text_ <= max_text, sweep_.file, ": sweep: the settings of all runs together are above ", max_text,
            " bytes");
    if (!seen_.insert(resolved).second) {
      ++merged;
      return;
    }
    std::string label = label_of(settings, last_parts_);
    if (label.empty()) label = sweep_.name;
    if (const int times = ++labels_[label]; times > 1) label += fmt::format(" ({})", times);
    all.push_back({label, std::move(settings), std::move(config)});
  }

  const Plan& plan_;
  Files& files_;
  const Sweep& sweep_;
  const std::string& bundled_corpus_;
  const std::map<std::string, int> last_parts_ = last_parts(plan_.grids);
  std::set<std::string> seen_;
  std::map<std::string, int> labels_;
  size_t text_ = 0;
};

std::string baseline_of(const Plan& plan, const Configurations& configurations) {
  if (!plan.baseline) return configurations.all[0].label;
  std::vector<std::string> labels;
  for (const auto& one : configurations.all) labels.push_back(one.label);
  if (!contains(labels, plan.baseline->text))
    reject(*plan.baseline, "sweep.baseline", "no configuration is called \"", printable(plan.baseline->text),
           "\": did you mean \"", nearest(plan.baseline->text, labels), "\"?");
  return plan.baseline->text;
}

SweepRun run_of(const Configurations::One& one, const Value* seed) {
  SweepRun run;
  run.label = one.label;
  run.settings = one.settings;
  for (auto& [key, value] : run.settings)
    if (key == "extends") value.text = fs::path(value.text).filename().string();
  run.config = one.config;
  if (seed) {
    run.config.seed = static_cast<uint64_t>(seed->integer);
    run.config.set_by["seed"] = seed->where.starts_with(command_line) ? command_line : seed->where;
  }
  run.id = fmt::format("{}-seed{}-{}", folder_part(one.label), run.config.seed, settings_hash(run.config));
  run.config.name = run.id;
  return run;
}

// The paths in the value, as a file in `folder` says them.
Value said_in(const std::string& folder, Value value) {
  value.text = path_in(folder, value.text, value.written);
  for (Value& item : value.items) item = said_in(folder, std::move(item));
  return value;
}

// The values that a hash leaves out, so that a new key with its default changes no folder's name. They must not change
// either: eleven of them are defaults of earlier versions, so that a run of today's defaults is none of those.
Config hash_reference() {
  Config reference;
  reference.data.window = 128;
  reference.data.stride = 16;
  reference.train.batch = 32;
  reference.train.epochs = 100;
  reference.data.quantize = Quantize::floor;
  reference.data.file_meter = false;
  reference.data.staggered = true;
  reference.model.match = false;
  reference.model.relative_classes = false;
  reference.train.average = 0;
  reference.train.patience = 5;
  return reference;
}

}  // namespace

// The file that it extends stays another file, because axes may extend others in its place.
std::string Sweep::text(const std::string& folder) const {
  std::string text = fmt::format("# A sweep as it was run. This file runs it again.\nname = {}\n", toml_quoted(name)),
              table = "[sweep]\n";
  if (!own.extends.text.empty()) text += fmt::format("extends = {}\n", toml_text(said_in(folder, own.extends)));
  for (const auto& [key, value] : own.values) {
    if (key == "name" || key == "sweep.axes") continue;
    if (key.starts_with("sweep."))
      table += fmt::format("{} = {}\n", key.substr(6), toml_text(value));
    else
      text += fmt::format("{} = {}\n", key, toml_text(said_in(folder, value)));
  }
  text += "\n" + table;
  for (const Grid& grid : grids) {
    text += "\n[[sweep.axes]]\n";
    for (const Axis& axis : grid) {
      Value list;
      list.type = Type::array;
      list.items = axis.values;
      if (axis.key == "extends")
        for (Value& item : list.items) item.text = fs::absolute(item.text).lexically_normal().string();
      text += fmt::format("{} = {}\n", is_block_key(axis.key) ? toml_quoted(axis.key) : axis.key,
                          toml_text(said_in(folder, list)));
    }
  }
  return text;
}

std::string absolute_settings_hash(const Config& config) {
  std::map<std::string, std::string> left_out;
  for (const KeyLine& line : key_lines(hash_reference())) left_out[line.key] = line.value;
  uint64_t hash = fnv_start;
  for (const KeyLine& line : key_lines(config)) {
    if (line.key == "name" || (left_out.count(line.key) && left_out[line.key] == line.value)) continue;
    hash = text_hash(line.key + " = " + line.value + "\n", hash);
  }
  return hex_digits(hash).substr(0, 10);
}

std::string settings_hash(const Config& config) { return absolute_settings_hash(as_written(config)); }

std::optional<Sweep> load_sweep(const std::string& file, const std::vector<std::string>& overrides,
                                const std::string& bundled_corpus) {
  Values values = read_values(file);
  add_overrides(values, overrides);
  if (!is_sweep(values)) return std::nullopt;
  Sweep sweep;
  sweep.file = file;
  const Value* name = find(values, "name");
  sweep.name = name ? expect(Type::text, "a string", *name, "name").text : fs::path(file).stem().string();

  const Plan plan = read_plan(values);
  refuse_overridden_axes(plan, overrides);
  Files files(file, overrides);
  const Configurations configurations(plan, files, sweep, bundled_corpus);
  const std::string baseline = baseline_of(plan, configurations);
  sweep.configurations = configurations.all.size();
  sweep.merged = configurations.merged;
  sweep.seeds = std::max<size_t>(1, plan.seeds.size());

  std::map<std::string, std::string> labels;  // by hash
  for (size_t s = 0; s < sweep.seeds; ++s) {
    for (const auto& one : configurations.all) {
      SweepRun run = run_of(one, plan.seeds.empty() ? nullptr : &plan.seeds[s]);
      run.baseline = one.label == baseline;
      // Two files to extend may each have a folder beside them that both call "music".
      if (labels.contains(run.hash())) run.set_hash(absolute_settings_hash(run.config));
      const auto [other, is_new] = labels.emplace(run.hash(), run.label);
      require(is_new, file, ": sweep: \"", run.label, "\" and \"", other->second, "\" have one hash, ", run.hash(),
              ": change any setting of one");
      sweep.runs.push_back(std::move(run));
    }
  }
  sweep.own = read_own_values(file);
  add_overrides(sweep.own.values, overrides);
  sweep.grids = plan.grids;
  return sweep;
}

}  // namespace poph
