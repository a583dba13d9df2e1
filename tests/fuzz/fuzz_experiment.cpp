#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "experiments/config/config.h"
#include "experiments/config/toml.h"
#include "experiments/config/values.h"
#include "experiments/sweep/axes.h"
#include "experiments/sweep/sweep.h"
#include "tests/fuzz/fuzz.h"

// An experiment file: as TOML, as an experiment, as a file with what it extends, and as a sweep. A line "#-- NAME" in
// the input begins another file beside it. Inputs that name a path outside their folder are not loaded from files.
namespace poph::fuzz {
namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

Files split(std::string_view input) {
  constexpr std::string_view mark = "\n#-- ";
  Files files;
  for (std::string name = "x.toml"; !name.empty();) {
    const size_t end = std::min(input.find(mark), input.size());
    files[name] = input.substr(0, end);
    input.remove_prefix(std::min(input.size(), end + mark.size()));
    name = input.substr(0, std::min(input.find('\n'), input.size()));
    const bool plain = name.size() <= 16 && std::all_of(name.begin(), name.end(), [](char c) {
                         return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
                       });
    if (!plain || name[0] == '.') break;
    input.remove_prefix(std::min(input.size(), name.size()));
  }
  return files;
}

bool stays_inside(const Value& value) {
  if (value.text.starts_with('/') || value.text.starts_with('~') || value.text.find("..") != std::string::npos)
    return false;
  return std::all_of(value.items.begin(), value.items.end(), stays_inside);
}

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("fuzz_" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  void hold(const Files& files) const {
    for (const auto& [name, text] : files) std::ofstream(path_ / name, std::ios::binary) << text;
  }
  void drop(const Files& files) const {
    for (const auto& [name, text] : files) fs::remove(path_ / name);
  }

 private:
  fs::path path_;
};

// True if there are few enough runs for thousands of inputs a second.
bool is_small(const std::string& file) {
  const Values values = read_values(file);
  const auto axes = values.find("sweep.axes"), runs = values.find("sweep.runs"), seeds = values.find("sweep.seeds");
  if (axes != values.end() && combinations(read_axes(axes->second)) > 64) return false;
  return (runs == values.end() || runs->second.integer <= 16) &&
         (seeds == values.end() || seeds->second.items.size() <= 4);
}

void check_sweep(const Folder& folder) {
  bool small = false;
  if (!reads([&] { small = is_small(folder / "x.toml"); }) || !small) return;
  std::optional<Sweep> sweep;
  if (!reads([&] { sweep = load_sweep(folder / "x.toml", {}, "/corpus"); }) || !sweep) return;
  promise(!sweep->runs.empty() && sweep->runs.size() == sweep->configurations * sweep->seeds,
          "every configuration has every seed");
  const Files again{{"again.toml", sweep->text()}};
  folder.hold(again);
  promise(reads([&] {
            const auto same = load_sweep(folder / "again.toml", {}, "/corpus");
            promise(same && same->runs.size() == sweep->runs.size(), "a sweep's own file gives as many runs");
            for (size_t i = 0; i < same->runs.size(); ++i)
              promise(same->runs[i].id == sweep->runs[i].id, "a sweep's own file gives the same runs");
          }),
          "a sweep's own file can be read");
  folder.drop(again);
}

}  // namespace
}  // namespace poph::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poph;
  using namespace poph::fuzz;
  static const poph::fuzz::Folder folder;
  const Files files = split({reinterpret_cast<const char*>(data), size});
  bool inside = true;
  for (const auto& file : files) {
    Value tree;
    if (reads([&] { tree = parse_toml(file.second, file.first); })) inside = inside && stays_inside(tree);
  }
  Config config;
  if (reads([&] { config = parse_config(files.at("x.toml"), "x.toml"); })) {
    const std::string text = to_toml(config);
    promise(to_toml(parse_config(text, "x.toml")) == text, "what is written is read back");
  }
  if (!inside) return 0;
  folder.hold(files);
  reads([&] { load_config(folder / "x.toml"); });
  check_sweep(folder);
  folder.drop(files);
  return 0;
}
