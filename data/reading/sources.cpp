#include "data/reading/sources.h"

#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "data/reading/composed.h"
#include "data/reading/file_names.h"
#include "data/reading/other_formats.h"
#include "tensor/error.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

// A folder as the disk knows it, by whatever path.
using FolderId = std::pair<dev_t, ino_t>;

// Searches folders, each once.
class Search {
 public:
  // Fills in the source's names.
  void folder(Source& source) {
    source_ = &source;
    others_ = OtherFiles();
    unreadable_.clear();
    known_ = false;
    std::deque<std::string> links = {""};  // folders that links lead to wait until all others have been searched
    while (!links.empty()) {
      std::vector<std::string> waiting = {links.front()};
      links.pop_front();
      while (!waiting.empty()) {
        const std::string within = std::move(waiting.back());
        waiting.pop_back();
        search(within, waiting, links);
      }
    }
    source.remarks = others_.lines();
    std::sort(unreadable_.begin(), unreadable_.end());
    source.remarks.insert(source.remarks.end(), unreadable_.begin(), unreadable_.end());
    std::string more;
    for (const std::string& remark : source.remarks) more += "; " + remark;
    std::sort(source.run_folders.begin(), source.run_folders.end());
    if (!source.run_folders.empty())
      more += "; what PopH composed is not read, such as that in " + source.run_folders[0];
    require(!source.names.empty() || known_, "data: folder ", source.path,
            ": found no MIDI files, expected some named ", midi_names, more);
    std::sort(source.names.begin(), source.names.end());
  }

 private:
  // `within` is the path from the source's folder, with a slash at its end, or empty.
  void search(const std::string& within, std::vector<std::string>& folders, std::deque<std::string>& links) {
    const std::string path = source_->path_to(within);
    struct stat about;
    if (stat(path.c_str(), &about) == 0 && !seen_.insert({about.st_dev, about.st_ino}).second) {
      known_ = true;
      return;
    }
    std::vector<std::string> own, linked;
    std::error_code error;
    for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
      const std::string name = within + at->path().filename().native();
      std::error_code broken;  // such as a link to nothing: the reader will report it
      if (at->is_directory(broken)) {
        if (is_run_folder(at->path().string()))
          source_->run_folders.push_back(at->path().string());
        else
          (at->is_symlink(broken) ? linked : own).push_back(name + "/");
      } else if (is_midi_name(name))
        source_->names.push_back(name);
      else
        others_.see(name);
    }
    std::sort(own.rbegin(), own.rend());  // the disk's order must not decide which link is followed
    std::sort(linked.begin(), linked.end());
    folders.insert(folders.end(), own.begin(), own.end());
    links.insert(links.end(), linked.begin(), linked.end());
    if (!error) return;
    require(!within.empty(), "data: folder ", source_->path, ": ", error.message());
    unreadable_.push_back(joined("the folder ", within, " cannot be read: ", error.message()));
  }

  Source* source_ = nullptr;
  OtherFiles others_;
  std::vector<std::string> unreadable_;
  std::set<FolderId> seen_;  // of all sources
  bool known_ = false;       // a folder of this source was seen before
};

// Where a file lies, whatever links and dots its path has.
class Places {
 public:
  std::string of(const fs::path& file) {
    std::string& folder = folders_[file.parent_path().native()];  // asked once for all files in it
    std::error_code ignored;
    if (folder.empty()) folder = fs::weakly_canonical(fs::absolute(file, ignored).parent_path(), ignored).native();
    return folder + "/" + file.filename().native();
  }

 private:
  std::unordered_map<std::string, std::string> folders_;
};

Source find_source(const std::string& path, int64_t channels, Search& search) {
  std::error_code error;
  const auto status = fs::status(path, error);
  require(fs::exists(status), "data: ", path, ": no such file or folder");
  Source source{Source::Kind::folder, path, {}, {}};
  if (fs::is_directory(status)) {
    search.folder(source);
    return source;
  }
  const bool chords = is_chord_name(path);
  require(!chords || channels == 1, "data: ", path,
          ": a chord file has no replays and volumes; set data.channels = [\"play\"]");
  source.kind = chords ? Source::Kind::chords : is_archive_name(path) ? Source::Kind::archive : Source::Kind::file;
  source.names.push_back(fs::path(path).filename().string());
  return source;
}

}  // namespace

std::string Source::path_to(const std::string& name) const {
  if (kind == Kind::folder || kind == Kind::archive) return path + (path.ends_with('/') ? "" : "/") + name;
  return path + name.substr(names[0].size());  // of a chord file: which piece
}

std::vector<Source> find_sources(const std::vector<std::string>& paths, int64_t channels) {
  require(!paths.empty(), "data: found no source, expected a folder, a MIDI file, an archive or a chord .json");
  std::vector<Source> sources;
  std::unordered_set<std::string> seen;
  Search search;
  Places places;
  for (const std::string& path : paths) {
    Source source = find_source(path, channels, search);
    const auto known = [&](const std::string& name) {
      const std::string file = source.kind == Source::Kind::folder ? source.path_to(name) : path;
      return !seen.insert(places.of(file)).second;
    };
    std::erase_if(source.names, known);
    if (!source.names.empty()) sources.push_back(std::move(source));
  }
  return sources;
}

}  // namespace poph
