#include "experiments/play/sound.h"

#include <stdlib.h>

#include <filesystem>
#include <mutex>

#include "data/files/file.h"
#include "experiments/media/synthesizer.h"

namespace poph {

std::string sound_of(const std::vector<uint8_t>& midi) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  std::string missing;
  const std::optional<Synthesizer> synthesizer = find_synthesizer(missing);
  require(synthesizer.has_value(), missing);
  std::error_code ignored;
  std::string folder = (std::filesystem::temp_directory_path(ignored) / "poph play XXXXXX").string();
  require(mkdtemp(folder.data()) != nullptr, "no folder can be made in ", folder, " for the sound");
  struct Removed {
    const std::string& folder;
    ~Removed() {
      std::error_code ignored;
      std::filesystem::remove_all(folder, ignored);
    }
  } const removed{folder};
  write_file_durably(folder + "/piece.mid", {reinterpret_cast<const char*>(midi.data()), midi.size()});
  render_audio(*synthesizer, folder + "/piece.mid", folder + "/piece.oga");
  return read_file(folder + "/piece.oga");
}

}  // namespace poph
