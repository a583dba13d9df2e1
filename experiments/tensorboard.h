#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "experiments/png.h"
#include "tensor/file.h"

// TensorBoard's event files, written by hand: records with a masked CRC-32C around messages in protobuf's encoding, with the
// field numbers of TensorFlow's event.proto, summary.proto and tensor.proto.
namespace poph {

uint32_t crc32c(std::string_view bytes);  // Castagnoli's; of "123456789" it is e3069283

// The records of an event file in memory, the first of which names its version.
class Events {
 public:
  Events();

  // What readers know of `step` and later is void: an earlier sitting wrote it, and this one does these steps again.
  void start_at(int64_t step);
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& tagged);
  void text(const std::string& tag, int64_t step, const std::string& markdown);
  void image(const std::string& tag, int64_t step, const Png& png);
  struct Wav {
    std::string bytes;
    int64_t rate = 0, channels = 0, frames = 0;
  };
  void audio(const std::string& tag, int64_t step, const Wav& wav);

  const std::string& bytes() const { return bytes_; }
  void clear() { bytes_.clear(); }

 private:
  void add(int64_t step, const std::string& what);
  void add_value(int64_t step, const std::string& value);

  std::string bytes_;
};

// "events.out.tfevents.1700000000.host.123": a name for a new event file that sorts behind those in the folder, for TensorBoard
// reads them in that order. The number is the time in seconds, or where that is no larger than another's, one more than that.
std::string event_file_name(const std::string& folder);

// Whether the losses of this step are noted, so that the logs of days stay small: of the first 10,000 steps each, then every
// tenth up to 100,000, every hundredth up to a million, and so on.
bool is_noted_step(int64_t step);

// The event file of one sitting of a run, in its folder. Written every few seconds, and durably before each checkpoint: what a
// crash loses is of steps that are done again.
class EventFile {
 public:
  EventFile(const std::string& folder, int64_t steps_done);  // of which others have written already
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  Events events;
  void write_sometimes();  // what has gathered, if it was long ago
  void write();            // Error: the disk is full, say
  void write_durably();

 private:
  AppendFile file_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// A 16-bit PCM WAV file's first seconds, its channels mixed into one. Error: it is something else.
Events::Wav short_mono(const std::string& wav, double seconds);

}  // namespace poph
