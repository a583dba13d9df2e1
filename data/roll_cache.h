#pragma once
#include <string>
#include <vector>

#include "data/file_stamps.h"
#include "data/music_reader.h"

// What was read from large folders and archives, kept on the disk, so that they are read once.
//
// An entry is keyed by SHA-256 of the contents (of an archive all its bytes; of a folder every file's name and bytes), of all
// settings that a roll depends on, and of reader_version. An archive is hashed anew at each start. A folder's files are taken for
// what they were while the path, device, inode, size and times of change of each are the same, as git does.
// What can fool that: a file that was changed while its disk's clock was set back, and a disk that keeps no such times. Files
// that changed in the two seconds before they were listed are not trusted, because clocks have ticks. Nothing else can.
//
// An entry is a folder: parts of some 32 MB, and an index with their checksums, which is written last. Each file is written under
// another name, flushed and renamed. So any number of processes may make one entry at once, and of a process that was killed
// nothing is taken for an entry; what is damaged or foreign is not used but made anew.
namespace poph {

inline constexpr int reader_version = 1;  // to be raised when parse_midi, decode or their messages change; a test tells
inline constexpr int64_t most_cache_bytes = int64_t{32} << 30;  // beyond this, what was not used for longest is removed

struct CacheSettings {
  std::string folder;                       // need not be there; "": no cache
  int64_t least_files = 1000;               // smaller sources leave no traces ..
  int64_t least_bytes = int64_t{16} << 20;  // .. unless they have so many bytes (of an archive: as it is, compressed)
};

// One folder or archive and its place in the cache.
class CachedSource {
 public:
  CachedSource(const CacheSettings& cache, const ReadSettings& settings, Source& source, std::vector<std::string>& remarks);

  bool find();  // fills in the source's pieces and damage, if the cache has them
  bool wants_digests() const { return source_.kind == Source::Kind::folder && enabled_; }
  void keep();  // after find() did not and the source was read

 private:
  std::string stamps_path() const;
  std::string key_of_folder() const;
  std::string key_of_archive() const;
  bool read(const std::string& key);

  const CacheSettings& cache_;
  const ReadSettings& settings_;
  Source& source_;
  std::vector<std::string>& remarks_;
  bool enabled_ = false, damaged_ = false;
  std::vector<std::string> paths_;
  FileStamps stamps_;
  std::string settings_text_, key_;
};

}  // namespace poph
