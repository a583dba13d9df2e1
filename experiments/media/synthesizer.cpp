#include "experiments/media/synthesizer.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "data/files/file.h"
#include "tensor/error.h"

extern char** environ;

namespace poph {
namespace {

namespace fs = std::filesystem;

constexpr const char* how_to_install =
    "Debian and Ubuntu: apt-get install fluidsynth timgm6mb-soundfont, or fluid-soundfont-gm for a better sound";

constexpr const char* font_places[] = {
    "/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/share/sounds/sf3/default-GM.sf3", "/usr/share/sounds/sf2/TimGM6mb.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2", "/usr/share/soundfonts/default.sf2",
};

std::string on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  const std::string folders = path ? path : "";
  for (size_t begin = 0, end; begin <= folders.size(); begin = end + 1) {
    end = std::min(folders.find(':', begin), folders.size());
    const std::string found = folders.substr(begin, end - begin) + "/" + program;
    std::error_code ignored;
    if (end > begin && fs::is_regular_file(found, ignored) && access(found.c_str(), X_OK) == 0) return found;
  }
  return "";
}

// FluidSynth plays silence with a file that is no font, and reports success.
bool is_sound_font(const std::string& path) {
  char head[12] = {};
  std::ifstream file(path, std::ios::binary);
  return file.read(head, sizeof head) && std::memcmp(head, "RIFF", 4) == 0 && std::memcmp(head + 8, "sfbk", 4) == 0;
}

// The exit status of a program, run without a shell; `output` gets its standard output and error.
int run_program(const std::vector<std::string>& words, std::string& output) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  int ends[2];
  require(pipe2(ends, O_CLOEXEC) == 0, "cannot make a pipe: ", std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  for (int stream : {STDOUT_FILENO, STDERR_FILENO}) posix_spawn_file_actions_adddup2(&actions, ends[1], stream);
  pid_t child = 0;
  const int error = posix_spawn(&child, words[0].c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char part[4096];
  for (ssize_t count; error == 0 && ((count = read(ends[0], part, sizeof part)) > 0 || (count < 0 && errno == EINTR));)
    if (count > 0) output.append(part, count);
  close(ends[0]);
  require(error == 0, "cannot start ", words[0], ": ", std::strerror(error));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string first_line(const std::string& text) {
  return text.empty() ? "it said nothing" : text.substr(0, text.find('\n'));
}

}  // namespace

std::optional<Synthesizer> find_synthesizer(std::string& missing) {
  Synthesizer found{on_path("fluidsynth"), {}};
  const char* chosen = std::getenv("POPH_SOUND_FONT");
  if (chosen && *chosen) {
    if (is_sound_font(chosen)) found.sound_font = chosen;
  } else {
    for (const char* place : font_places)
      if (found.sound_font.empty() && is_sound_font(place)) found.sound_font = place;
  }
  missing.clear();
  if (found.program.empty())
    missing = joined("fluidsynth is not installed (", how_to_install, ")");
  else if (found.sound_font.empty() && chosen && *chosen)
    missing = joined("$POPH_SOUND_FONT: found ", chosen, ", expected an .sf2 or .sf3 sound font");
  else if (found.sound_font.empty())
    missing = joined("there is no General MIDI sound font (", how_to_install, "; or set $POPH_SOUND_FONT)");
  if (missing.empty()) return found;
  return std::nullopt;
}

void render_audio(const Synthesizer& synthesizer, const std::string& midi, const std::string& sound) {
  // FluidSynth takes the type from the name, so the name of the unfinished file must end the same way. An absolute path
  // cannot look like an option.
  const fs::path to = fs::absolute(sound),
                 unfinished = to.parent_path() / joined(to.stem().string(), ".tmp-", getpid(), to.extension().string());
  require(to.extension() == ".wav" || to.extension() == ".oga", "audio: found ", sound,
          ", expected a name ending in .wav or .oga");
  const LockedFile at_work(unfinished.string());
  const struct Remover {
    const fs::path& path;
    ~Remover() {
      std::error_code ignored;  // a finished file has been renamed already
      fs::remove(path, ignored);
    }
  } remover{unfinished};
  std::string output;
  const int status = run_program(
      {fs::absolute(synthesizer.program).string(), "-n", "-i", "-q", "-g", "1", "-r", std::to_string(audio_rate), "-F",
       unfinished.string(), fs::absolute(synthesizer.sound_font).string(), fs::absolute(midi).string()},
      output);
  std::error_code error;
  const bool made = status == 0 && fs::file_size(unfinished, error) > 0 && !error;
  if (made) sync_file(unfinished.string());
  if (made) fs::rename(unfinished, to, error);
  if (made && !error) return sync_parent_folder(to.string());
  const std::string reason = made ? error.message() : first_line(output);
  fail("cannot play ", midi, " into ", sound, ": fluidsynth ended with status ", status, ": ", reason);
}

}  // namespace poph
