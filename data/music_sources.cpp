#include "data/music_sources.h"

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#include "data/file_names.h"
#include "tensor/error.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

void find_midi(Source& source) {
  std::error_code error;
  const std::string& folder = source.path;
  const size_t within = fs::path(folder + "/").native().size();
  const auto skip = fs::directory_options::skip_permission_denied;  // links to folders are not followed: no loops
  for (fs::recursive_directory_iterator at(folder, skip, error), end; !error && at != end; at.increment(error)) {
    std::error_code unreadable;  // a broken link, say: the reader will tell
    if (!is_midi_name(at->path().native()) || at->is_directory(unreadable)) continue;
    source.names.push_back(at->path().native().substr(folder.ends_with('/') ? folder.size() : within));
  }
  require(!error, "data: folder ", folder, ": ", error.message());
  require(!source.names.empty(), "data: folder ", folder, ": found no MIDI files, expected some named .mid or .midi");
  std::sort(source.names.begin(), source.names.end());
}

Source find_source(const std::string& path, int64_t channels) {
  std::error_code error;
  const auto status = fs::status(path, error);
  require(fs::exists(status), "data: ", path, ": no such file or folder");
  Source source{Source::Kind::folder, path, {}, {}, {}};
  if (fs::is_directory(status)) {
    find_midi(source);
    return source;
  }
  const bool chords = is_chord_name(path);
  require(!chords || channels == 1, "data: ", path, ": a chord file has no replays and volumes; set data.channels = [\"play\"]");
  source.kind = chords ? Source::Kind::chords : is_archive_name(path) ? Source::Kind::archive : Source::Kind::file;
  source.names.push_back(fs::path(path).filename().string());
  return source;
}

}  // namespace

std::string Source::path_of(const std::string& name) const {
  if (kind == Kind::folder || kind == Kind::archive) return path + (path.ends_with('/') ? "" : "/") + name;
  return path + name.substr(names[0].size());  // of a chord file: which piece
}

std::vector<Source> find_sources(const std::vector<std::string>& paths, int64_t channels) {
  require(!paths.empty(), "data: found no source, expected a folder, a MIDI file, an archive or a chord .json");
  std::vector<Source> sources;
  std::unordered_set<std::string> seen;
  for (const std::string& path : paths) {
    Source source = find_source(path, channels);
    const auto known = [&](const std::string& name) {
      const std::string file = source.kind == Source::Kind::folder ? source.path_of(name) : path;
      return !seen.insert(fs::path(file).lexically_normal().string()).second;
    };
    std::erase_if(source.names, known);
    if (!source.names.empty()) sources.push_back(std::move(source));
  }
  return sources;
}

}  // namespace poph
