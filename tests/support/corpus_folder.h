#pragma once
#include <map>

#include "data/reading/corpus.h"
#include "tests/support/archives.h"
#include "tests/support/folder.h"

// A folder of generated pieces and what is read of it.
namespace poph::test {

inline Bytes random_piece(uint64_t seed, int64_t steps = 40) {
  Random random{seed};
  return encode(random_roll(random, steps, 48, 24));
}

inline void write_bytes(const std::string& path, const Bytes& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_plainly(path, std::string(bytes.begin(), bytes.end()));
}

inline CorpusSettings corpus_of(std::vector<std::string> sources) {
  CorpusSettings settings;
  settings.sources = std::move(sources);
  settings.threads = 2;
  return settings;
}

inline std::string corpus_error(const CorpusSettings& settings) {
  try {
    load_corpus(settings);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// Everything of a corpus that must not depend on how it was read, with `source` in paths as "*".
inline std::string described(const Corpus& corpus, const std::string& source) {
  std::string text = joined(corpus.fingerprint, " ", corpus.files, " ", corpus.steps, " ", corpus.dropped_notes, " ",
                            corpus.shared, "\n");
  for (const auto* split : {&corpus.train, &corpus.valid, &corpus.test}) {
    text += "split\n";
    for (const auto& piece : *split) text += piece.name + " " + text_of(*piece.roll) + "\n";
  }
  for (const auto* list : {&corpus.skipped, &corpus.damaged}) {
    text += "damage\n";
    for (const auto& file : *list)
      text += joined(file.path.starts_with(source) ? "*" + file.path.substr(source.size()) : file.path, ": ",
                     words(file.damage), ": ", file.reason, "\n");
  }
  return text;
}

// Sound files and files with every kind of damage, by name.
inline std::map<std::string, Bytes> mixed_files(int count) {
  std::map<std::string, Bytes> files;
  for (int i = 0; i < count; ++i) {
    const Bytes whole = random_piece(i % (count / 2), 20 + i % 13);  // each twice
    const std::string name =
        joined("0123456789abcdef"[i * 7 % 16], "/", i * 7 % 16 < 10 ? i * 7 % 16 : 0, "piece", i, ".mid");
    Bytes file = whole;
    switch (i % 9) {
      case 2:
        file.resize(file.size() * 2 / 3);
        break;
      case 3:
        file = Bytes(i % 4, 'x');
        break;
      case 4:
        file[30 + i % 20] |= 0x80;
        break;
      case 5:
        file[12] = file[13] = 0;
        break;
      case 6:
        file = Bytes{'R', 'I', 'F', 'F', 0, 0, 0, 0} + file;
        break;
      default:
        break;
    }
    files[name] = file;
  }
  return files;
}

}  // namespace poph::test
