#pragma once
#include <string>

#include "data/music_reader.h"

namespace poph {

// An entry of the cache (roll_cache.h): the folder PATH with a source's pieces in parts, and an index of them.
inline constexpr int64_t cache_part_bytes = int64_t{32} << 20;

// The bytes written. Error: the disk.
int64_t write_entry(const std::string& path, const Source& source);

// Fills in a source's pieces and damage; the bytes read, or 0 where there is no such entry. Error, with the source as it was: it
// is damaged or foreign.
int64_t read_entry(const std::string& path, const ReadSettings& settings, Source& source);

bool has_entry(const std::string& path);
void mark_used(const std::string& path);

// Removes what was not used for longest until the entries in a folder have no more than `most_bytes`, `kept` and those in the
// making not among it; and what is left of writers that were killed a day ago or earlier. The bytes that all have then.
int64_t tidy_entries(const std::string& folder, const std::string& kept, int64_t most_bytes);

}  // namespace poph
