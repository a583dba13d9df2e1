#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/reading/corpus.h"
#include "data/reading/left_out.h"
#include "tensor/error.h"

// check_alone SOURCE FOLDER LIST: that each file of an archive or folder as tests/corpora/lakh_like.py makes it is read
// as when it is read by itself from FOLDER: roll by roll, reason by reason. LIST is the .jsonl beside it.
namespace {

using namespace poph;

struct Found {
  std::shared_ptr<const Roll> roll;
  std::string reason;
};

std::string alone(const std::string& path, Roll& roll) {  // the reason; "": nothing is wrong
  std::ifstream file(path, std::ios::binary);
  require(file.good(), path, " is not there");
  const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
  try {
    const MidiFile midi = parse_midi(bytes);
    DecodeReport report;
    roll = decode(midi, {}, &report);
    const bool sounds = roll.sounding_cells() > 0;
    if (!sounds && report.dropped_notes > 0) return why_silent(report.dropped_notes, report.percussion_notes, {});
    if (midi.damage != Damage::none) return joined("midi: byte ", midi.damage_at, ": ", words(midi.damage));
    return sounds ? "" : why_silent(0, report.percussion_notes, {});
  } catch (const Error& error) {
    return error.what();
  }
}

void check(const std::string& source, const std::string& folder, const std::string& list) {
  CorpusSettings settings;
  settings.sources = {source};
  const Corpus corpus = load_corpus(settings);
  std::map<std::string, Found> found;
  for (const auto* split : {&corpus.train, &corpus.valid, &corpus.test})
    for (const Piece& piece : *split) found[piece.name].roll = piece.roll;
  for (const auto* list : {&corpus.skipped, &corpus.damaged})
    for (const DamagedFile& file : *list) found[file.path.substr(source.size() + 1)].reason = file.reason;

  std::ifstream lines(list);
  std::set<std::string> seen;
  int64_t undamaged = 0, damaged = 0, skipped = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto about = nlohmann::json::parse(line);
    const std::string path = about["path"];
    require(seen.insert(path).second && found.contains(path), path, " was not read");
    const Found& one = found[path];
    Roll roll;
    const std::string reason = alone(folder + "/" + path, roll);
    require(one.reason == reason, path, ": found \"", one.reason, "\", alone \"", reason, "\"");
    const bool sounds = roll.sounding_cells() > 0;
    require(static_cast<bool>(one.roll) == sounds && (!sounds || *one.roll == roll), path, ": another roll than alone");
    const bool whole = about["damage"] == "none";
    require(!whole || reason.empty() || reason.find(" out of range") != reason.npos, path, " is not damaged: ", reason);
    (sounds ? reason.empty() ? undamaged : damaged : skipped) += 1;
  }
  require(seen.size() == found.size(), found.size(), " files were read, expected ", seen.size());
  std::printf("%s: %zu files read as alone: %lld undamaged, %lld damaged but read, %lld skipped\n", source.c_str(),
              seen.size(), static_cast<long long>(undamaged), static_cast<long long>(damaged),
              static_cast<long long>(skipped));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require(argc == 4, "usage: check_alone SOURCE FOLDER LIST");
    check(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "check_alone: %s\n", error.what());
    return 1;
  }
}
