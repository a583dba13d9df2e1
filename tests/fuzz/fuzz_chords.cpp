#include <array>
#include <nlohmann/json.hpp>

#include "data/music/chords.h"
#include "tests/fuzz/fuzz.h"

// A chord file to rolls, compared with what the JSON library makes of it by itself.
namespace poph::fuzz {
namespace {

void check_pieces(const std::vector<ChordPiece>& pieces, const nlohmann::json& file, const RollSettings& settings) {
  std::array<int64_t, split_names.size()> read{};
  for (const ChordPiece& piece : pieces) {
    promise(piece.index == read[piece.split]++, "pieces are counted as they stand");
    const auto& want = file.at(split_names[piece.split]).at(static_cast<size_t>(piece.index));
    promise(piece.roll.steps() == std::ssize(want), "a step for each list");
    int64_t step = 0;
    for (const auto& notes : want) {
      std::vector<Cell> cells(static_cast<size_t>(settings.notes)), row(cells);
      for (const auto& note : notes) {
        const int64_t n = note.get<int64_t>() - settings.lowest_note;
        if (n >= 0 && n < settings.notes) cells[n] = chord_velocity;
      }
      piece.roll.row(step++, row);
      promise(row == cells, "the notes of a step sound, and no others");
    }
  }
  size_t listed = 0;
  for (const auto& list : file) listed += list.size();
  promise(pieces.size() == listed, "every piece is read");
}

}  // namespace
}  // namespace poph::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poph;
  using namespace poph::fuzz;
  RollSettings settings;
  if (input_hash(data, size) & 1) settings.lowest_note = 0, settings.notes = 128;
  std::vector<ChordPiece> pieces;
  if (!reads([&] { pieces = parse_chords({data, size}, settings); })) return 0;
  int64_t steps = 0;
  for (const ChordPiece& piece : pieces) steps += piece.roll.steps();
  promise(pieces.size() * 2 <= size && static_cast<size_t>(steps) * 2 <= size,
          "a piece and a step take two bytes or more");
  check_pieces(pieces, nlohmann::json::parse(data, data + size), settings);
  return 0;
}
