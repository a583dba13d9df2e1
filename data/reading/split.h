#pragma once
#include <cstdint>
#include <string>
#include <vector>

// Chooses the pieces that are held out (MODEL.md "Windows"). By every rule copies of one content are on one side.
// Neither the order of the files nor the folder they lie in matters.
namespace poph {

enum class Split {
  share,  // a share of the pieces, by contents and seed
  none,   // none: valid is the same pieces as train
  // as is usual for Lakh, where a file's name is the MD5 of its contents: e is valid, f is test, the rest train
  first_hex_digit,
};

struct SplitPiece {
  uint64_t hash = 0;  // of its content
  std::string name;   // with folders in front
};

// For each piece 0, 1 or 2: train, valid or test.
//
// Of a share, round(share * pieces) are valid, at least one of two or more, never all; so valid stays empty when there
// is but one content. By first_hex_digit a content whose copies have several names is train if one of them is, or else
// valid. Error: a share that is not in [0, 1), a name that does not begin with a hexadecimal digit.
std::vector<int> split_pieces(const std::vector<SplitPiece>& pieces, Split rule, double share, uint64_t seed);

}  // namespace poph
