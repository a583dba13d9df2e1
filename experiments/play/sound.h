#pragma once
#include <cstdint>
#include <string>
#include <vector>

// A drawn or composed piece as sound, by FluidSynth (experiments/media/synthesizer.h).
namespace poph {

// Ogg Vorbis of a MIDI file that PopH wrote. One at a time. Error: FluidSynth or its sound font is missing, or fails.
std::string sound_of(const std::vector<uint8_t>& midi);

}  // namespace poph
