#include "data/music/chords.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "data/files/text.h"
#include "tensor/error.h"

namespace poph {
namespace {

// Follows the parser through the file, so that nothing but the rolls is ever held. `depth_` counts the open brackets: 1
// within the object, 2 among a split's pieces, 3 among a piece's steps, 4 among a step's notes.
class ChordReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  ChordReader(const RollSettings& settings, std::vector<ChordPiece>& pieces)
      : settings_(settings), pieces_(pieces), cells_(static_cast<size_t>(settings.notes)) {}

  bool start_object(std::size_t) override {
    if (depth_ != 0) unexpected("an object");
    depth_ = 1;
    return true;
  }

  bool key(std::string& name) override {
    const auto at = std::find(split_names.begin(), split_names.end(), name);
    require(at != split_names.end(), "chords: found the key '", printable(name, 40),
            "', expected train, valid or test");
    split_ = static_cast<int>(at - split_names.begin());
    require(!seen_[split_], "chords: the key '", name, "' is there twice");
    seen_[split_] = true;
    index_ = 0;
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ == 0 || depth_ == 4) unexpected("an array");
    ++depth_;
    if (depth_ == 3) pieces_.push_back({split_, index_++, 0, Roll(settings_.lowest_note, settings_.notes)});
    if (depth_ == 4) std::fill(cells_.begin(), cells_.end(), Cell{0});
    return true;
  }

  bool end_array() override {
    if (depth_ == 4) pieces_.back().roll.append(cells_);
    if (depth_ == 3) pieces_.back().roll.shrink();
    --depth_;
    return true;
  }

  bool end_object() override { return true; }
  bool number_integer(int64_t value) override { return note(value); }
  bool number_unsigned(uint64_t value) override { return note(value > 127 ? 128 : static_cast<int64_t>(value)); }
  bool number_float(double value, const std::string& text) override {  // some writers say 60.0
    if (!(value >= 0 && value <= 127 && value == static_cast<int>(value)))
      unexpected("the number " + printable(text, 40));
    return note(static_cast<int64_t>(value));
  }
  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("true or false"); }
  bool string(std::string&) override { unexpected("a string"); }
  bool binary(nlohmann::json::binary_t&) override { unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    const std::string text = error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 5: .."
    fail("chords: byte ", position,
         ": not JSON: ", printable(std::string_view(text).substr(std::min(text.size(), text.find("] ") + 2)), 160));
  }

 private:
  [[noreturn]] void unexpected(const std::string& found) const {
    static constexpr const char* wanted[] = {"an object of splits", "a list of pieces",
                                             "a piece, which is a list of steps", "a step, which is a list of notes",
                                             "a MIDI note of 0 to 127"};
    if (depth_ == 0) fail("chords: found ", found, ", expected ", wanted[0]);
    const std::string where =
        depth_ < 3 ? ""
                   : joined(" piece ", index_ - 1, depth_ < 4 ? "" : joined(", step ", pieces_.back().roll.steps()));
    fail("chords: ", split_names[split_], where, ": found ", found, ", expected ", wanted[depth_]);
  }

  bool note(int64_t pitch) {
    if (depth_ != 4 || pitch < 0 || pitch > 127)
      unexpected(pitch == 128 ? "a number above 127" : joined("the number ", pitch));
    const int64_t n = pitch - settings_.lowest_note;
    if (n >= 0 && n < settings_.notes)
      cells_[n] = chord_velocity;
    else
      ++pieces_.back().dropped_notes;
    return true;
  }

  const RollSettings& settings_;
  std::vector<ChordPiece>& pieces_;
  std::vector<Cell> cells_;
  int depth_ = 0, split_ = 0;
  int64_t index_ = 0;
  std::array<bool, 3> seen_{};
};

}  // namespace

std::vector<ChordPiece> parse_chords(std::span<const uint8_t> bytes, const RollSettings& settings) {
  check(settings);
  std::vector<ChordPiece> pieces;
  ChordReader reader(settings, pieces);
  nlohmann::json::sax_parse(bytes.begin(), bytes.end(), &reader);
  return pieces;
}

}  // namespace poph
