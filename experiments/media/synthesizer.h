#pragma once
#include <optional>
#include <string>

// Sound from MIDI files, by FluidSynth, a program of the distribution, with a General MIDI sound font. Both are
// optional. PopH looks for them when they are needed: `fluidsynth` on $PATH, the font in $POPH_SOUND_FONT, or else
// where Debian, Ubuntu, Fedora and Arch install one.
namespace poph {

struct Synthesizer {
  std::string program, sound_font;  // paths
};

// nullopt where one is missing; `missing` then names it and says how to get it, in one line.
std::optional<Synthesizer> find_synthesizer(std::string& missing);

// Plays a MIDI file into a sound file at 22050 Hz in stereo: PATH.wav is 16-bit PCM; PATH.oga is Ogg Vorbis and about a
// seventeenth of the size. This takes about a hundredth of the music's time. The same file, font and FluidSynth give
// the same samples. Error, and no file, where it fails.
constexpr int audio_rate = 22050;  // frames a second
void render_audio(const Synthesizer& synthesizer, const std::string& midi, const std::string& sound);

}  // namespace poph
