#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/support/midi_bytes.h"

// A target without libFuzzer: REPLAY [--mutations N] FILE-OR-FOLDER .. runs every file, and N changes of them, the same
// each time. An input that ends the program is named, and a changed one is written to the working folder.
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

poph::test::Random random_{1};
std::string current;  // what to say when the program is ended
Bytes changed;

void name_input(int signal) {
  std::fprintf(stderr, "%s\n", current.c_str());
  if (!changed.empty())
    if (FILE* file = std::fopen("changed-input", "wb")) {
      std::fwrite(changed.data(), 1, changed.size(), file);
      std::fclose(file);
      std::fprintf(stderr, "written to ./changed-input\n");
    }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

std::vector<std::string> files_of(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const auto& path : paths) {
    if (!fs::is_directory(path))
      files.push_back(path);
    else
      for (const auto& entry : fs::directory_iterator(path))
        if (entry.is_regular_file()) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Bytes bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  poph::require(file.is_open(), path, ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

// The stand-in for libFuzzer's own: one change in place.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  Bytes bytes(data, data + size);
  const auto at = bytes.begin() + random_.below(static_cast<int64_t>(size) + 1);
  const auto value = static_cast<uint8_t>(random_.below(256));
  const auto some = std::min<int64_t>(1 + random_.below(16), bytes.end() - at);
  switch (random_.below(4)) {
    case 0:
      bytes.insert(at, value);
      break;
    case 1:
      bytes.erase(at, at + some);
      break;
    case 2: {
      const Bytes again(at, at + some);
      bytes.insert(bytes.begin() + random_.below(static_cast<int64_t>(size) + 1), again.begin(), again.end());
      break;
    }
    default:
      if (at != bytes.end()) *at = value;
  }
  bytes.resize(std::min(bytes.size(), max_size));
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

extern "C" __attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned) {
  return LLVMFuzzerMutate(data, size, max_size);
}

int main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  int64_t mutations = 0;
  if (paths.size() >= 2 && paths[0] == "--mutations") {
    mutations = std::stoll(paths[1]);
    paths.erase(paths.begin(), paths.begin() + 2);
  }
  const auto files = files_of(paths);
  if (files.empty()) {
    std::fprintf(stderr, "usage: %s [--mutations N] FILE-OR-FOLDER ..\n", argv[0]);
    return 2;
  }
  for (int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS}) std::signal(signal, name_input);
  for (const auto& file : files) {
    current = file;
    const Bytes bytes = bytes_of(file);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  for (int64_t i = 0; i < mutations; ++i) {
    const std::string& file = files[random_.below(std::ssize(files))];
    current = "a change of " + file;
    const Bytes bytes = bytes_of(file);
    const size_t room = bytes.size() + 4096;
    Bytes input(bytes);
    input.resize(room);
    size_t size = bytes.size();
    for (int64_t left = 1 + random_.below(4); left > 0; --left)
      size = LLVMFuzzerCustomMutator(input.data(), size, room, static_cast<unsigned>(random_.below(1 << 20)));
    input.resize(size);
    changed = input;
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%zu files and %lld changes of them\n", files.size(), static_cast<long long>(mutations));
}
