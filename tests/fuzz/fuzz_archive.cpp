#include "data/reading/archive.h"
#include "data/reading/file_names.h"
#include "data/reading/midi_bytes.h"
#include "data/reading/other_formats.h"
#include "tests/fuzz/fuzz.h"

// An archive from memory, with bounds that small inputs reach.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poph;
  using namespace poph::fuzz;
  const ArchiveLimits limits{.member_bytes = 1 << 14, .free_expansion = 1 << 18, .expansion = 10};
  int64_t bytes = 0, members = 0;
  reads([&] {
    ArchiveReader reader(std::span(data, size), limits);
    for (ArchiveMember member; reader.next(member);) {
      ++members;
      bytes += std::ssize(member.bytes);
      promise(std::ssize(member.bytes) <= limits.member_bytes, "a member has no more than its bound");
      promise(member.reason.empty() || member.bytes.empty(), "what is not read has no bytes");
      promise(is_midi_name(member.name) || !member.reason.empty(), "what is read is named like MIDI");
      promise(!member.name.starts_with("./"), "names begin with a name");
    }
    promise(reader.bytes_read() <= reader.bytes() && reader.bytes() == static_cast<int64_t>(size),
            "no more is read than there is");
    for (const std::string& line : reader.damage()) promise(line.size() < 4000, "a line of damage is short");
    promise(reader.damage().size() <= 20, "lines of damage are few");
  });
  // A block more than the bound may have been expanded when it was seen.
  promise(bytes <= limits.free_expansion + limits.expansion * static_cast<int64_t>(size) + limits.member_bytes,
          "the expansion is bounded");
  // The same bytes as a compressed or wrapped MIDI file.
  reads([&] {
    std::vector<uint8_t> buffer;
    const MidiBytes file = unwrap("x.rmi", std::span(data, size), limits.free_expansion, buffer);
    promise(std::ssize(file.bytes) <= std::max<int64_t>(limits.free_expansion, static_cast<int64_t>(size)),
            "a compressed file expands to no more than its bound");
    promise(other_format(file.bytes).size() < 400, "what a file is takes a line");
  });
  return 0;
}

// libFuzzer's own changes, and a tar header's checksum mended two times of three: otherwise nothing behind it would be
// reached.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 3 == 0 || size < 512 || data[0] == 'P' || data[0] == 0x1F) return size;
  for (size_t at = 0; at + 512 <= size; at += 512) {
    uint8_t* header = data + at;
    if (header[257] != 'u' || header[258] != 's') continue;
    unsigned sum = 8 * ' ';
    for (size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? 0 : header[i];
    for (int i = 5; i >= 0; --i, sum >>= 3) header[148 + i] = static_cast<uint8_t>('0' + (sum & 7));
    header[154] = 0;
    header[155] = ' ';
  }
  return size;
}
