#pragma once
#include <functional>

#include "data/roll.h"
#include "nn/stream.h"

namespace poph {

struct ComposeSettings {
  int64_t pieces = 4, steps = 512;
  double temperature = 1.0;
  uint64_t seed = 1;
  const Roll* prime = nullptr;  // read first; part of the result when keep_prime
  bool keep_prime = false;
  int64_t context = 0;          // 0: the state is carried; T: every step re-reads the last T steps from a zero state
};

// SPEC 8: `pieces` pieces of `steps` new steps each, composed together. `each_step` is told how many steps are done and may end
// the work by returning false; what was composed by then is returned. The same model, settings and seed give the same notes; a piece's
// random numbers are its own, whatever the number of pieces.
std::vector<Roll> compose(const Biaxial& model, const ComposeSettings& settings, const std::function<bool(int64_t)>& each_step = {});

}  // namespace poph
