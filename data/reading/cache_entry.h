#pragma once
#include <optional>
#include <string>

#include "data/reading/reader.h"

// An entry of the cache (data/reading/cache.h): what one source holds, as a folder named by its key of 64 hex digits.
//
//   KEY/part_00000   pieces as data/reading/packed_rolls.h has them, some 32 MB a part; a piece is not cut
//   KEY/part_00001   ..
//   KEY/index        written last, so that an entry with an index is whole:
//
//     5a0c..         the content_hash of all that follows, as 16 hex digits
//     {
//      "format": "PopH rolls 4",
//      "key": "9f86d081..",                                      the folder's name
//      "damage": ["damaged behind its first 5 members: .."],     of an archive, a line each
//      "parts": [{"bytes": 33554512, "checksum": "77d1.."}, ..]
//     }
//
// Beside the entries lies one NAME.stamps, named by the state of its files, for each folder: the key of its entry.
namespace poph {

inline constexpr int64_t cache_part_bytes = int64_t{32} << 20;

// The bytes written. Error: the disk.
int64_t write_entry(const std::string& path, const SourceContents& contents);

// What an entry holds, and how many bytes it has; nothing where there is no such entry. Error: it is damaged or
// foreign.
struct CacheEntry {
  SourceContents contents;
  int64_t bytes = 0;
};
std::optional<CacheEntry> read_entry(const std::string& path, const ReadSettings& settings);

bool has_entry(const std::string& path);
void mark_used(const std::string& path);

// Removes the entries that were not used for longest until those in a folder have no more than max_bytes, and what is
// left of writers that were killed a day ago or earlier. The entry `in_use` and those that are being written stay. The
// bytes that all have then.
int64_t tidy_entries(const std::string& folder, const std::string& in_use, int64_t max_bytes);

}  // namespace poph
