#include "experiments/media/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr double write_seconds = 5;  // between two writes

// ---- protobuf's encoding: a field is its number and wire type, then a variable-length integer, 4 or 8 bytes, or a
// length and so many bytes ----

void add_varint(std::string& to, uint64_t x) {
  for (; x >= 128; x >>= 7) to += static_cast<char>(x | 128);
  to += static_cast<char>(x);
}

template <class T>
void add_bytes_of(std::string& to, T x) {  // little-endian, as this machine must be
  static_assert(std::endian::native == std::endian::little);
  to.append(reinterpret_cast<const char*>(&x), sizeof x);
}

std::string integer(int field, int64_t x) {
  std::string bytes;
  add_varint(bytes, field << 3);
  add_varint(bytes, static_cast<uint64_t>(x));
  return bytes;
}

std::string message(int field, std::string_view content) {
  std::string bytes;
  add_varint(bytes, field << 3 | 2);
  add_varint(bytes, content.size());
  bytes += content;
  return bytes;
}

std::string real(int field, double x) {
  std::string bytes;
  add_varint(bytes, field << 3 | 1);
  add_bytes_of(bytes, x);
  return bytes;
}

std::string single(int field, double x) {
  std::string bytes;
  add_varint(bytes, field << 3 | 5);
  add_bytes_of(bytes, static_cast<float>(x));
  return bytes;
}

uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

std::string length_bytes(uint64_t length) {
  std::string bytes;
  add_bytes_of(bytes, length);
  return bytes;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Field numbers: Event, Summary.Value, Summary.Image, Summary.Audio, TensorProto.
enum { event_wall_time = 1, event_step = 2, event_file_version = 3, event_summary = 5, event_session_log = 7 };
enum { value_tag = 1, value_scalar = 2, value_image = 4, value_audio = 6, value_tensor = 8, value_metadata = 9 };
constexpr int summary_value = 1, session_status = 1, session_start = 1;

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> made;
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t x = i;
      for (int bit = 0; bit < 8; ++bit) x = x >> 1 ^ (x & 1 ? 0x82F63B78u : 0);
      made[i] = x;
    }
    return made;
  }();
  uint32_t crc = ~0u;
  for (char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<uint8_t>(c)) & 255];
  return ~crc;
}

Events::Events() { add(0, message(event_file_version, "brain.Event:2")); }

void Events::add(int64_t step, const std::string& fields) {
  const std::string event = real(event_wall_time, wall_time()) + integer(event_step, step) + fields,
                    length = length_bytes(event.size());
  bytes_ += length;
  add_bytes_of(bytes_, masked_crc(length));
  bytes_ += event;
  add_bytes_of(bytes_, masked_crc(event));
}

void Events::add_value(int64_t step, const std::string& value) {
  add(step, message(event_summary, message(summary_value, value)));
}

void Events::start_at(int64_t step) { add(step, message(event_session_log, integer(session_status, session_start))); }

void Events::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& tagged) {
  std::string values;
  for (const auto& [tag, value] : tagged)
    values += message(summary_value, message(value_tag, tag) + single(value_scalar, value));
  add(step, message(event_summary, values));
}

void Events::text(const std::string& tag, int64_t step, const std::string& markdown) {
  constexpr int plugin_data = 1, plugin_name = 1, tensor_dtype = 1, tensor_shape = 2, tensor_string = 8,
                dtype_string = 7;
  const std::string tensor =
      integer(tensor_dtype, dtype_string) + message(tensor_shape, "") + message(tensor_string, markdown);
  add_value(step, message(value_tag, tag) + message(value_tensor, tensor) +
                      message(value_metadata, message(plugin_data, message(plugin_name, "text"))));
}

void Events::image(const std::string& tag, int64_t step, const Png& png) {
  constexpr int height = 1, width = 2, colorspace = 3, encoded = 4, rgb = 3;
  add_value(step,
            message(value_tag, tag) + message(value_image, integer(height, png.height) + integer(width, png.width) +
                                                               integer(colorspace, rgb) + message(encoded, png.bytes)));
}

void Events::audio(const std::string& tag, int64_t step, const Wav& wav) {
  constexpr int rate = 1, channels = 2, frames = 3, encoded = 4, content_type = 5;
  add_value(step, message(value_tag, tag) +
                      message(value_audio, single(rate, static_cast<double>(wav.rate)) +
                                               integer(channels, wav.channels) + integer(frames, wav.frames) +
                                               message(encoded, wav.bytes) + message(content_type, "audio/wav")));
}

std::string event_file_name(const std::string& folder) {
  const std::string begin = "events.out.tfevents.";
  auto number = static_cast<int64_t>(wall_time());
  std::error_code ignored;  // without the folder, opening the file fails with a message
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    int64_t other = 0;
    if (name.starts_with(begin) &&
        std::from_chars(name.data() + begin.size(), name.data() + name.size(), other).ec == std::errc())
      number = std::max(number, other + 1);
  }
  char host[64] = {};
  gethostname(host, sizeof host - 1);
  return fmt::format("{}{:010d}.{}.{}", begin, number, host, getpid());
}

bool is_logged_step(int64_t step) {
  int64_t every = 1;
  for (int64_t reach = 10'000; step > reach && reach < INT64_MAX / 10; reach *= 10) every *= 10;
  return step % every == 0;
}

EventFile::EventFile(const std::string& folder, int64_t steps_done) : file_(folder + "/" + event_file_name(folder)) {
  events.start_at(steps_done == 0 ? 0 : steps_done + 1);  // there are no losses at step 0
}

EventFile::~EventFile() {
  try {
    write();
  } catch (const Error&) {  // a caller that must know calls write()
  }
}

void EventFile::write_sometimes() {
  if (since_write_.seconds() > write_seconds) write();
}

void EventFile::write() {
  since_write_.restart();
  file_.append(events.bytes());
  events.clear();
}

void EventFile::write_durably() {
  write();
  file_.sync();
}

namespace {

// A WAV file of 16-bit samples in one channel.
std::string mono_wav(int64_t rate, const std::string& samples) {
  constexpr uint32_t format_bytes = 16;
  constexpr uint16_t pcm = 1, channels = 1, sample_bytes = 2;
  const auto size = static_cast<uint32_t>(samples.size());
  std::string bytes = "RIFF";
  add_bytes_of(bytes, 36 + size);
  bytes += "WAVEfmt ";
  add_bytes_of(bytes, format_bytes);
  add_bytes_of(bytes, pcm);
  add_bytes_of(bytes, channels);
  add_bytes_of(bytes, static_cast<uint32_t>(rate));
  add_bytes_of(bytes, static_cast<uint32_t>(sample_bytes * rate));
  add_bytes_of(bytes, sample_bytes);
  add_bytes_of(bytes, static_cast<uint16_t>(8 * sample_bytes));
  bytes += "data";
  add_bytes_of(bytes, size);
  return bytes + samples;
}

}  // namespace

Events::Wav short_mono(const std::string& wav, double seconds) {
  const auto number = [&](size_t at, int bytes) {
    require(at + bytes <= wav.size(), "wav: it ends after ", wav.size(), " bytes, within a chunk");
    int64_t x = 0;
    for (int i = bytes - 1; i >= 0; --i) x = x << 8 | static_cast<uint8_t>(wav[at + i]);
    return x;
  };
  require(wav.size() >= 12 && wav.starts_with("RIFF") && wav.compare(8, 4, "WAVE") == 0,
          "wav: found no RIFF WAVE header");
  int64_t channels = 0, bits = 0;
  Events::Wav result;
  for (size_t at = 12; at < wav.size();) {
    const std::string type = wav.substr(at, 4);
    const auto size = static_cast<size_t>(number(at + 4, 4));
    const size_t data = at + 8;
    if (type == "fmt ") {
      channels = number(data + 2, 2);
      result.rate = number(data + 4, 4);
      bits = number(data + 14, 2);
    }
    if (type == "data") {
      require(channels > 0 && bits == 16, "wav: ", bits, " bits a sample in ", channels,
              " channels, expected 16 in at least one");
      const auto whole = static_cast<int64_t>(std::min(size, wav.size() - data)) / (2 * channels);
      result.frames = std::min(whole, static_cast<int64_t>(seconds * static_cast<double>(result.rate)));
      std::string samples;
      for (int64_t frame = 0; frame < result.frames; ++frame) {
        int64_t sum = 0;
        for (int64_t c = 0; c < channels; ++c)
          sum += static_cast<int16_t>(number(data + 2 * (frame * channels + c), 2));
        add_bytes_of(samples, static_cast<int16_t>(sum / channels));
      }
      result.channels = 1;
      result.bytes = mono_wav(result.rate, samples);
      return result;
    }
    at = data + size + size % 2;
  }
  fail("wav: found no chunk of data");
}

}  // namespace poph
