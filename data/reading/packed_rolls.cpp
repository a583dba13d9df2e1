#include "data/reading/packed_rolls.h"

#include <algorithm>
#include <cstring>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr uint8_t not_counted = 255;  // in place of the number of keys outside the range

template <class T>
void append(T number, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void append_text(std::string_view text, std::string& bytes) {
  append(static_cast<uint32_t>(text.size()), bytes);
  bytes += text;
}

class PieceReader {
 public:
  PieceReader(std::string_view bytes, int64_t lowest_note, int64_t notes)
      : left_(bytes), lowest_note_(lowest_note), notes_(notes) {}

  bool at_end() const { return left_.empty(); }

  ReadPiece piece() {
    ReadPiece piece;
    piece.name = text();
    const auto damage = damage_named(text());
    require(damage.has_value(), "a piece has damage of an unknown kind");
    piece.damage = *damage;
    piece.reason = text();
    piece.hash = number<uint64_t>();
    piece.dropped_notes = static_cast<int64_t>(number<uint64_t>());
    piece.percussion_notes = static_cast<int64_t>(number<uint64_t>());
    const auto steps = number<uint32_t>(), cells = number<uint32_t>();
    if (steps == 0) return piece;
    const auto row = static_cast<uint64_t>(notes_ + 7) / 8;
    const auto play = bytes(steps * row), sounding = bytes(cells);
    Roll roll = Roll::from_packed(lowest_note_, notes_, play, sounding);
    roll.set_meters(meters(steps));
    piece.roll = std::make_shared<const Roll>(std::move(roll));
    piece.outside = outside(steps);
    return piece;
  }

 private:
  std::string_view take(uint64_t count) {
    require(count <= left_.size(), "a piece of ", count, " bytes, of which ", left_.size(), " are there");
    const auto taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::vector<MeterChange> meters(uint32_t steps) {
    std::vector<MeterChange> changes(std::min(number<uint32_t>(), steps));
    for (MeterChange& change : changes) {
      change.step = number<uint32_t>();
      change.meter.numerator = number<uint8_t>();
      change.meter.denominator = number<uint8_t>();
      require(is_meter(change.meter), "a piece has a meter that makes no sense");
    }
    return changes;
  }

  std::optional<OutsideKeys> outside(uint32_t steps) {
    const auto count = number<uint8_t>();
    if (count == not_counted) return std::nullopt;
    OutsideKeys keys(count);
    for (OutsideKey& key : keys) {
      key.pitch = number<uint8_t>();
      key.first = number<uint8_t>() != 0;
      key.steps = number<uint32_t>();
      const int64_t note = key.pitch - lowest_note_;
      require(key.pitch >= lowest_piano_key && key.pitch < lowest_piano_key + piano_keys &&
                  (note < 0 || note >= notes_) && key.steps <= steps,
              "a piece has a key outside its range that makes no sense");
    }
    return keys;
  }

  std::string text() { return std::string(take(number<uint32_t>())); }

  std::span<const uint8_t> bytes(uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const uint8_t*>(taken.data()), taken.size()};
  }

  std::string_view left_;
  int64_t lowest_note_, notes_;
};

}  // namespace

void append_piece(const ReadPiece& piece, std::string& bytes) {
  append_text(piece.name, bytes);
  append_text(words(piece.damage), bytes);
  append_text(piece.reason, bytes);
  append(piece.hash, bytes);
  append(static_cast<uint64_t>(piece.dropped_notes), bytes);
  append(static_cast<uint64_t>(piece.percussion_notes), bytes);
  append(static_cast<uint32_t>(piece.roll ? piece.roll->steps() : 0), bytes);  // a roll has some
  append(static_cast<uint32_t>(piece.roll ? piece.roll->sounding_cells() : 0), bytes);
  if (!piece.roll) return;
  for (const auto part : {piece.roll->packed_play(), piece.roll->packed_cells()})
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  append(static_cast<uint32_t>(piece.roll->meters().size()), bytes);
  for (const MeterChange& change : piece.roll->meters()) {
    append(static_cast<uint32_t>(change.step), bytes);
    append(static_cast<uint8_t>(change.meter.numerator), bytes);
    append(static_cast<uint8_t>(change.meter.denominator), bytes);
  }
  append(piece.outside ? static_cast<uint8_t>(piece.outside->size()) : not_counted, bytes);
  if (!piece.outside) return;
  for (const OutsideKey& key : *piece.outside) {
    append(key.pitch, bytes);
    append(static_cast<uint8_t>(key.first), bytes);
    append(key.steps, bytes);
  }
}

void read_pieces(std::string_view bytes, int64_t lowest_note, int64_t notes, std::vector<ReadPiece>& into) {
  PieceReader reader(bytes, lowest_note, notes);
  while (!reader.at_end()) into.push_back(reader.piece());
}

}  // namespace poph
