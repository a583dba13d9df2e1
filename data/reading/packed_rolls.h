#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "data/reading/reader.h"

// Pieces as bytes, one behind the other, their rolls as packed as they are in memory. Numbers are little-endian, a text
// is its length (u32) and its bytes. A piece:
//
//   text  name, within its source
//   text  damage, in the words of data/music/damage.h; empty where there is none
//   text  reason
//   u64   hash
//   u64   dropped notes
//   u64   notes of the percussion channel that were skipped
//   u32   steps; 0: the piece is skipped and has no roll
//   u32   cells
//   bytes which notes play: a row of (notes + 7) / 8 for each step, note n at bit n % 8 of byte n / 8
//   bytes a cell (data/music/roll.h) for each note that plays, step by step, notes ascending
//   u32   changes of meter; for each u32 step, u8 numerator, u8 denominator
//   u8    keys outside the range that sound (outside.h), 255: not counted; for each u8 pitch, u8 whether it sounds in
//         the first step, u32 steps
namespace poph {

void append_piece(const ReadPiece& piece, std::string& bytes);

// All pieces of such bytes, whose rolls have this range. Error where they are damaged; never more memory than a few
// times theirs.
void read_pieces(std::string_view bytes, int64_t lowest_note, int64_t notes, std::vector<ReadPiece>& into);

}  // namespace poph
