#include "data/reading/midi_bytes.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>

#include "data/files/file.h"
#include "data/files/text.h"
#include "data/reading/file_names.h"
#include "data/reading/other_formats.h"

namespace poph {
namespace {

bool is_gzip(std::span<const uint8_t> bytes) { return bytes.size() > 1 && bytes[0] == 0x1F && bytes[1] == 0x8B; }

// What gzip's bytes expand to; false where they are damaged behind that.
bool expand(std::span<const uint8_t> bytes, int64_t max_bytes, std::vector<uint8_t>& into) {
  const int64_t allowed = std::min(max_bytes, free_gzip_bytes + gzip_expansion * std::ssize(bytes));
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), archive_read_free);
  if (!reader) throw std::bad_alloc();
  archive_read_support_format_raw(reader.get());
  archive_entry* entry = nullptr;
  into.clear();
  if (archive_read_append_filter(reader.get(), ARCHIVE_FILTER_GZIP) != ARCHIVE_OK ||
      archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK)
    return false;
  for (;;) {
    constexpr size_t chunk = size_t{1} << 16;
    const size_t before = into.size();
    into.resize(before + chunk);
    const la_ssize_t got = archive_read_data(reader.get(), into.data() + before, chunk);
    into.resize(before + static_cast<size_t>(std::max<la_ssize_t>(got, 0)));
    if (got <= 0) return got == 0;
    if (std::ssize(into) > allowed)
      throw Damaged(Damage::too_large, "gzip: its ", bytes.size(), " bytes expand to more than ", allowed);
  }
}

uint32_t little_endian(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint32_t>(bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16) |
         static_cast<uint32_t>(bytes[at + 3]) << 24;
}

// The MIDI file in a .rmi, or all bytes where it is not as Microsoft has it: RIFF, size, RMID, then chunks of a name,
// a size and that many bytes, of which "data" is the file.
std::span<const uint8_t> without_riff(std::span<const uint8_t> bytes) {
  const auto is = [&](size_t at, std::string_view word) {
    return at + word.size() <= bytes.size() &&
           std::equal(word.begin(), word.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  };
  if (!is(0, "RIFF") || !is(8, "RMID")) return bytes;
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const size_t size = little_endian(bytes, at + 4);
    if (is(at, "data")) return bytes.subspan(at + 8, std::min(size, bytes.size() - at - 8));
    at += 8 + size + size % 2;
  }
  return bytes;
}

}  // namespace

MidiBytes unwrap(std::string_view name, std::span<const uint8_t> bytes, int64_t max_bytes,
                 std::vector<uint8_t>& buffer) {
  MidiBytes file{bytes};
  if (is_gzip(bytes)) {
    file.whole = expand(bytes, max_bytes, buffer);
    if (buffer.empty()) throw Damaged(Damage::archive, "gzip: it is damaged and gives nothing");
    file.bytes = buffer;
  }
  if (is_rmi_name(name)) file.bytes = without_riff(file.bytes);
  return file;
}

void parse_midi(const MidiBytes& file, MidiFile& into) {
  try {
    parse_midi(file.bytes, into);
  } catch (const Damaged& error) {
    const std::string other = error.damage == Damage::no_header ? other_format(file.bytes) : "";
    if (other.empty()) throw;
    throw Damaged(error.damage, error.what(), "; ", other);
  }
  if (file.whole) return;
  into.damage = Damage::archive;
  into.damage_at = file.bytes.size();
}

MidiFile read_midi(const std::string& path) {
  std::vector<uint8_t> bytes, buffer;
  MidiFile midi;
  try {
    parse_midi(unwrap(path, read_file(path, bytes, max_file_bytes), max_file_bytes, buffer), midi);
  } catch (const FileError& error) {
    fail(path, ": cannot be read: ", error.reason);
  } catch (const Error& error) {
    fail(path, ": ", error.what());
  }
  return midi;
}

}  // namespace poph
