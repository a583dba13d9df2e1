#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "experiments/config/config.h"
#include "tensor/error.h"

// Shared by the tests of experiment files.
namespace poph::test {

namespace fs = std::filesystem;

inline const std::string one_block = "model.blocks = [{ kind = \"lstm_time\" }]\n";

// A folder of experiment files that is gone after the test.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("poph_test_config_" + std::to_string(getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }

  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary) << text;
    return (path / name).string();
  }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// The message for a text called x.toml.
inline std::string problem(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return message_of([&] { parse_config(text, "x.toml", overrides); });
}
inline std::string file_problem(const std::string& file) {
  return message_of([&] { load_config(file); });
}

}  // namespace poph::test
