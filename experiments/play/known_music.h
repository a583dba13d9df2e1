#pragma once
#include <optional>
#include <string>

#include "data/measures/copies.h"
#include "experiments/config/config.h"

// The music that a composed piece is compared with, for what it copies: what lies where the model's own music lay, or
// else the bundled pieces. A checkpoint does not know whether that is still the same, so the name says what was read.
namespace poph {

class KnownMusic {
 public:
  explicit KnownMusic(const Config& config) : config_(config) {}

  // Reads the music when it is called first. Error: there is none.
  Copied copied(const Roll& piece);
  const std::string& name() const { return name_; }  // "the bundled pieces"

 private:
  const Config config_;
  std::optional<Corpus> corpus_;
  std::string name_;
};

}  // namespace poph
