#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/files/file.h"
#include "data/files/stopwatch.h"
#include "experiments/media/piano_roll_png.h"

// TensorBoard's event files, "events.out.tfevents.SECONDS.HOST.PID", written by hand. A file is a sequence of records:
//
//   uint64 length                    little-endian, as all numbers here
//   uint32 masked CRC-32C of the 8 bytes of the length: the CRC turned right by 15 bits, plus 0xa282ead8
//   byte   event[length]
//   uint32 masked CRC-32C of the event
//
// An event is a protobuf message with the field numbers of TensorFlow's event.proto, summary.proto and tensor.proto:
//
//   Event { 1 double wall_time (seconds since 1970), 2 int64 step, and one of
//           3 string file_version: "brain.Event:2", the first record
//           7 SessionLog { 1 status: 1 (START) }: readers drop what they know of this step and later ones
//           5 Summary { 1 repeated Value } }
//   Value { 1 string tag, and one of
//           2 float: a loss, a rate or a norm
//           4 Image { 1 height, 2 width, 3 colorspace: 3 (RGB), 4 bytes of a PNG }
//           6 Audio { 1 float rate, 2 channels, 3 frames, 4 bytes of a WAV, 5 content_type: "audio/wav" }
//           8 Tensor { 1 dtype: 7 (string), 2 shape: {}, 8 bytes of Markdown }
//             with 9 Metadata { 1 Plugin { 1 string name: "text" } } }
//
// Tags: "train/PART" and "valid/PART" at the end of each epoch, "step/PART" at logged steps, for each part of
// loss_parts (nn/loss_parts.h; after "train autoregressive = false" and so on where the model sees the notes it
// predicts), "train/learning_rate", "train/gradient_norm", "step/gradient_norm"; and those of sample_events.h.
namespace poph {

uint32_t crc32c(std::string_view bytes);  // Castagnoli's; of "123456789" it is e3069283

// The records of an event file in memory, the first of which names its version.
class Events {
 public:
  Events();

  // Voids what earlier files say of `step` and later ones: this session does these steps again.
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
  void add(int64_t step, const std::string& fields);
  void add_value(int64_t step, const std::string& value);

  std::string bytes_;
};

// A name for a new event file that sorts after those in the folder, because TensorBoard reads them in that order:
// "events.out.tfevents.1700000000.host.123". The number is the time in seconds, or one more than the largest number
// there where the time is not larger.
std::string event_file_name(const std::string& folder);

// Whether the losses of this step are logged: each of the first 10,000 steps, then every tenth up to 100,000, every
// hundredth up to a million, and so on, so that the logs of long runs stay small.
bool is_logged_step(int64_t step);

// The event file of one session of a run, in its folder. It is written every few seconds, and durably before each
// checkpoint: a crash loses events only of steps that are done again.
class EventFile {
 public:
  EventFile(const std::string& folder, int64_t steps_done);  // steps that the files of earlier sessions hold
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  Events events;
  void write_sometimes();  // if the last write was some seconds ago
  void write();            // Error where it fails: the disk may be full
  void write_durably();

 private:
  AppendFile file_;
  Stopwatch since_write_;
};

// A 16-bit PCM WAV file's first seconds, its channels mixed into one. Error: it is something else.
Events::Wav short_mono(const std::string& wav, double seconds);

}  // namespace poph
