#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "data/music_sources.h"

namespace poph {

// Pieces as bytes: rolls stay as packed as they are in memory. Numbers are little-endian.
void append_piece(const ReadPiece& piece, std::string& bytes);

// All pieces of such bytes, whose rolls have this range. Error where they are damaged; never more memory than a few times theirs.
void read_pieces(std::string_view bytes, int64_t lowest_note, int64_t notes, std::vector<ReadPiece>& into);

}  // namespace poph
