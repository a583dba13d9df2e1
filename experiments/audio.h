#pragma once
#include <optional>
#include <string>

// Sound from MIDI files: by FluidSynth, a program of the distribution, with a General MIDI sound font. Both are optional and
// looked for when they are wanted: `fluidsynth` on $PATH, and $POPH_SOUND_FONT or else a font where Debian, Ubuntu, Fedora and
// Arch keep them.
namespace poph {

struct Synthesizer {
  std::string program, sound_font;  // paths
};

// nullopt where something is missing; `missing` then says what, and how to get it, in one line.
std::optional<Synthesizer> find_synthesizer(std::string& missing);

// Plays a MIDI file into a sound file at 22050 Hz in stereo: PATH.wav is 16-bit PCM, PATH.oga Ogg Vorbis, about a seventeenth of
// it. Takes about a hundredth of the music's time. The same file, font and FluidSynth give the same samples. An Error, and no
// file, where it fails.
constexpr int audio_rate = 22050;  // frames a second
void render_audio(const Synthesizer& synthesizer, const std::string& midi, const std::string& sound);

}  // namespace poph
