#include "data/reading/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>
#include <string_view>

#include "data/files/file.h"
#include "data/files/text.h"
#include "data/reading/file_names.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr size_t chunk_bytes = size_t{1} << 17;
constexpr size_t max_damage_lines = 20;  // more would tell nothing new

void refuse(ArchiveMember& member, Damage damage, std::string reason) {
  member.damage = damage;
  member.reason = std::move(reason);
  member.bytes.clear();
}

// libarchive turns names into the locale's characters. In a UTF-8 locale names that are marked as UTF-8 come out as
// they are, and all others byte by byte, wherever PopH runs.
class Utf8Names {
 public:
  Utf8Names()
      : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(locale_ ? uselocale(locale_) : nullptr) {}
  ~Utf8Names() {
    if (!locale_) return;
    uselocale(before_);
    freelocale(locale_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t locale_, before_;
};

}  // namespace

struct ArchiveReader::State {
  std::string path;  // for messages
  ArchiveLimits limits;
  std::optional<InputFile> file;
  std::span<const uint8_t> memory;  // where there is no file
  int64_t size = 0, at = 0;         // of the archive; at: where libarchive reads next
  int64_t given = 0, expanded = 0;  // bytes given to it, and bytes that it made of them
  int64_t members = 0;
  bool ended = false;  // by damage
  std::vector<uint8_t> buffer;
  std::vector<std::string> damage;
  OtherFiles others;
  std::exception_ptr failure;  // of the disk: libarchive is C, and no exception may pass through it
  archive* handle = nullptr;

  ~State() { archive_read_free(handle); }

  template <class... Parts>
  [[noreturn]] void complain(const Parts&... parts) const {
    fail("data: ", path, ": ", parts...);
  }

  std::string message() const {
    const char* text = archive_error_string(handle);
    return printable(text ? text : "damaged");
  }

  // Throws the errors that are not the archive's: the disk, and memory.
  void rethrow() const {
    if (failure) std::rethrow_exception(failure);
    if (archive_errno(handle) == ENOMEM) complain("not enough memory to read it: ", message());
  }

  void note_damage(const std::string& what) {
    rethrow();
    const std::string line =
        joined("damaged behind its first ", members, members == 1 ? " member: " : " members: ", what);
    // one line for a whole stretch
    if (damage.size() < max_damage_lines && (damage.empty() || damage.back() != line)) damage.push_back(line);
  }

  // After a call that may have expanded something.
  void check_expansion(int64_t bytes) {
    expanded += bytes;
    const int64_t made = std::max<int64_t>(expanded, archive_filter_bytes(handle, 0)), from = std::min(given, size);
    if (made > limits.free_expansion && (made - limits.free_expansion) / limits.expansion > from)
      complain("its first ", from, " bytes expand to more than ", made, ", expected at most ", limits.expansion,
               " for one: is it a zip bomb?");
  }

  static la_ssize_t read(archive*, void* self, const void** out) {
    State& state = *static_cast<State*>(self);
    const auto count = static_cast<size_t>(std::min<int64_t>(chunk_bytes, state.size - state.at));
    try {
      if (state.file) {
        state.buffer.resize(chunk_bytes);
        state.file->read(static_cast<uint64_t>(state.at), state.buffer.data(), count);
        *out = state.buffer.data();
      } else {
        *out = state.memory.data() + state.at;
      }
    } catch (...) {
      state.failure = std::current_exception();
      archive_set_error(state.handle, EIO, "cannot be read");
      return ARCHIVE_FATAL;
    }
    state.at += static_cast<int64_t>(count);
    state.given += static_cast<int64_t>(count);
    return static_cast<la_ssize_t>(count);
  }

  static la_int64_t skip(archive*, void* self, la_int64_t count) {
    State& state = *static_cast<State*>(self);
    const int64_t skipped = std::clamp<int64_t>(count, 0, state.size - state.at);
    state.at += skipped;
    return skipped;
  }

  static la_int64_t seek(archive*, void* self, la_int64_t offset, int whence) {
    State& state = *static_cast<State*>(self);
    const int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? state.at : state.size;
    if (__builtin_add_overflow(base, offset, &offset) || offset < 0) return ARCHIVE_FATAL;
    return state.at = std::min<int64_t>(offset, state.size);
  }

  void open() {
    handle = archive_read_new();
    require(handle != nullptr, "data: ", path, ": not enough memory");
    // These alone: of the other compressions some are done by other programs, and formats such as ISO images hold no
    // corpus.
    archive_read_support_format_tar(handle);
    archive_read_support_format_zip(handle);
    // One compression, named here: by itself libarchive looks for layers of them. Each would multiply the work of the
    // one behind it before anything comes out that could be counted.
    require(archive_read_append_filter(handle, compression()) == ARCHIVE_OK, "data: ", path, ": ", message());
    archive_read_set_read_callback(handle, read);
    archive_read_set_skip_callback(handle, skip);
    archive_read_set_seek_callback(handle, seek);
    archive_read_set_callback_data(handle, this);
    const Utf8Names names;
    if (archive_read_open1(handle) != ARCHIVE_OK) {
      rethrow();
      complain_of_format();
    }
  }

  int compression() const {
    std::string start(static_cast<size_t>(std::min<int64_t>(size, 6)), '\0');
    if (file)
      file->read(0, start.data(), start.size());
    else
      std::copy_n(memory.begin(), start.size(), start.begin());
    if (start.starts_with("\x1F\x8B")) return ARCHIVE_FILTER_GZIP;
    if (start.starts_with("BZh")) return ARCHIVE_FILTER_BZIP2;
    if (start.starts_with("\xFD"
                          "7zXZ"))
      return ARCHIVE_FILTER_XZ;
    if (start.starts_with("\x28\xB5\x2F\xFD")) return ARCHIVE_FILTER_ZSTD;
    return ARCHIVE_FILTER_NONE;
  }

  [[noreturn]] void complain_of_format() const { complain("no archive of .tar or .zip: ", message()); }

  // Reads all of a member's blocks, or refuses it. `keep` is false for a member that is passed over: it has to be
  // expanded here too, because libarchive's own skipping knows no bound.
  void read_data(bool keep, ArchiveMember& member) {
    const void* block;
    size_t count;
    la_int64_t offset;
    int status;
    while ((status = archive_read_data_block(handle, &block, &count, &offset)) == ARCHIVE_OK) {
      check_expansion(static_cast<int64_t>(count));
      if (!keep || member.damage != Damage::none || count == 0) continue;
      const int64_t end = offset + static_cast<int64_t>(count), before = std::ssize(member.bytes);
      if (end > limits.member_bytes) {
        too_large("more than ", limits.member_bytes, member);
        continue;
      }
      if (end > before) {  // a sparse file's holes are zeros, and cost as much
        check_expansion(std::max<int64_t>(0, offset - before));
        member.bytes.resize(static_cast<size_t>(end));
      }
      std::memcpy(member.bytes.data() + offset, block, count);
    }
    if (status == ARCHIVE_EOF) return check_expansion(0);
    if (status == ARCHIVE_FATAL) {
      note_damage(message());
      ended = true;
    }
    rethrow();
    if (!keep || member.damage != Damage::none) return;
    refuse(member, Damage::archive, "the archive is damaged within it: " + message());
  }

  void too_large(const char* how, int64_t bytes, ArchiveMember& member) const {
    refuse(member, Damage::too_large, joined("it has ", how, bytes, " bytes, expected at most ", limits.member_bytes));
    member.bytes.shrink_to_fit();
  }
};

namespace {

// Refuses what is no file to read, whatever its bytes.
void refuse_other_than_files(archive_entry* entry, ArchiveMember& member) {
  const auto type = archive_entry_filetype(entry);
  if (archive_entry_hardlink(entry))
    refuse(member, Damage::link, "a hard link, expected a file: links are not followed");
  else if (archive_entry_symlink(entry) || type == AE_IFLNK)
    refuse(member, Damage::link, "a symbolic link, expected a file: links are not followed");
  else if (type != AE_IFREG && type != 0)
    refuse(member, Damage::device, "a device or pipe, expected a file");
  else if (archive_entry_is_encrypted(entry) || archive_entry_is_data_encrypted(entry))
    refuse(member, Damage::encrypted, "encrypted");
}

}  // namespace

ArchiveReader::ArchiveReader(const std::string& path, const ArchiveLimits& limits) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->limits = limits;
  state_->file.emplace(path);
  state_->size = static_cast<int64_t>(state_->file->size());
  state_->open();
}

ArchiveReader::ArchiveReader(std::span<const uint8_t> bytes, const ArchiveLimits& limits)
    : state_(std::make_unique<State>()) {
  state_->path = "archive";
  state_->limits = limits;
  state_->memory = bytes;
  state_->size = static_cast<int64_t>(bytes.size());
  state_->open();
}

ArchiveReader::~ArchiveReader() = default;

bool ArchiveReader::next(ArchiveMember& member) {
  State& s = *state_;
  const Utf8Names names;
  while (!s.ended) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(s.handle, &entry);
    if (status == ARCHIVE_EOF) return false;
    // RETRY: a damaged header, and perhaps another one behind it
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
      s.rethrow();
      if (s.members == 0 && archive_format(s.handle) == 0) s.complain_of_format();
      s.note_damage(s.message());
      s.check_expansion(0);
      if (status == ARCHIVE_RETRY) continue;
      return false;
    }
    ++s.members;
    const char* name = archive_entry_pathname(entry);
    member.name = name ? name : joined("member ", s.members);
    while (member.name.starts_with("./")) member.name.erase(0, 2);
    member.damage = Damage::none;
    member.reason.clear();
    member.bytes.clear();
    const bool music = (!name || is_midi_name(member.name)) && archive_entry_filetype(entry) != AE_IFDIR;
    if (music) {
      if (name)
        refuse_other_than_files(entry, member);
      else
        refuse(member, Damage::name, "its name is not the UTF-8 that it says it is");
      const int64_t size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0;
      if (member.damage == Damage::none && size > s.limits.member_bytes) s.too_large("", size, member);
    }
    if (!music && archive_entry_filetype(entry) == AE_IFREG) s.others.see(member.name);
    const bool keep = music && member.damage == Damage::none;
    if (member.damage != Damage::encrypted) s.read_data(keep, member);
    if (music) return true;
  }
  return false;
}

int64_t ArchiveReader::bytes_read() const { return std::min(state_->given, state_->size); }
int64_t ArchiveReader::bytes() const { return state_->size; }
const std::vector<std::string>& ArchiveReader::damage() const { return state_->damage; }
const OtherFiles& ArchiveReader::other_files() const { return state_->others; }

}  // namespace poph
