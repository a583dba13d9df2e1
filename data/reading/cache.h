#pragma once
#include <optional>
#include <string>
#include <vector>

#include "data/reading/reader.h"
#include "data/reading/stamps.h"

// A cache on the disk for large folders and archives, so that they are read once.
//
// An entry is keyed by SHA-256 of the contents (of an archive all its bytes; of a folder every file's name and bytes),
// of all settings that a roll depends on, and of reader_version. An archive is hashed anew at each start. A folder's
// files are taken for what they were while the path, device, inode, size and times of change of each are the same, as
// git does. What can fool that: a file that was changed while its disk's clock was set back, and a disk that keeps no
// such times. Files that changed in the two seconds before they were listed are not trusted, because clocks have ticks.
// Nothing else can.
//
// An entry is a folder: parts of some 32 MB, and an index with their checksums, which is written last (cache_entry.h).
// Each file is written under another name, flushed and renamed. So any number of processes may make one entry at once,
// and nothing of a killed process is taken for an entry. An entry that is damaged or foreign is made anew.
namespace poph {

// Raised when parse_midi, decode or their messages change; a test sees that.
inline constexpr int reader_version = 2;
// Beyond this, the entries that were not used for longest are removed.
inline constexpr int64_t max_cache_bytes = int64_t{32} << 30;

struct CacheSettings {
  std::string folder;                     // need not be there; "": no cache
  int64_t min_files = 1000;               // a smaller source is not stored ..
  int64_t min_bytes = int64_t{16} << 20;  // .. unless it has so many bytes (of an archive: as it is, compressed)
};

// One folder or archive and its place in the cache.
class CachedSource {
 public:
  CachedSource(const CacheSettings& cache, const ReadSettings& settings, const Source& source,
               std::vector<std::string>& remarks);

  std::optional<SourceContents> find();  // nothing where the cache does not have it
  bool wants_digests() const { return source_.kind == Source::Kind::folder && enabled_; }
  void store(const SourceContents& contents);  // after find() gave nothing and the source was read

 private:
  std::string stamps_path() const;
  std::string folder_key(const SourceContents& contents) const;
  std::string archive_key() const;
  std::optional<SourceContents> read(const std::string& key);

  const CacheSettings& cache_;
  const ReadSettings& settings_;
  const Source& source_;
  std::vector<std::string>& remarks_;
  bool enabled_ = false, damaged_ = false;
  std::vector<std::string> paths_;
  FileStamps stamps_;
  std::string settings_text_, key_;
};

}  // namespace poph
