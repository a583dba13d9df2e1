#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/compose/given.h"
#include "experiments/play/request.h"
#include "experiments/workspace/checkpoints.h"

// A request of the page as `poph generate` would have it: the experiment with the options' keys set, the drawn notes as
// a MIDI file, and the words of the command.
namespace poph {

struct Asked {
  Config config;
  Given given;
  std::vector<uint8_t> music;  // the drawn notes as a MIDI file, as the conditions read it; empty: none are given
  uint64_t seed = 1;
  std::vector<std::string> words;  // of the command, behind the model's

  ComposeSettings settings() const;
  // "build/poph generate chorales --melody given.mid ..": writes the same piece, where given.mid holds `music`.
  std::string command(const std::string& model) const;
};

// experiment: the model's, as text. Error: one sentence for who plays, through for_the_page.
Asked ask_for(const PlayRequest& request, const OpenedModel& model, const std::string& experiment);

// A message of the reading of an experiment, in the page's own words.
std::string for_the_page(std::string_view message);

}  // namespace poph
