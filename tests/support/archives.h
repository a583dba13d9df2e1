#pragma once
#include <archive.h>
#include <archive_entry.h>

#include <string>
#include <vector>

#include "tensor/error.h"
#include "tests/support/midi_bytes.h"

// Archives made in a test, in memory.
namespace poph::test {

struct Entry {
  std::string name;
  Bytes bytes;
  mode_t type = AE_IFREG;
  std::string hard_link = {}, symbolic_link = {};  // where it leads
};

// kind: "tar", "tar.gz", "tar.gz.gz", "tar.bz2", "tar.xz", "tar.zst", "zip", or "encrypted.zip".
inline Bytes archive_of(const std::string& kind, const std::vector<Entry>& entries) {
  struct Writer {
    archive* handle = archive_write_new();
    ~Writer() { archive_write_free(handle); }
    void well(int status) const { require(status == ARCHIVE_OK, "archive_of: ", archive_error_string(handle)); }
  } writer;
  const bool zip = kind.ends_with("zip");
  writer.well(zip ? archive_write_set_format_zip(writer.handle) : archive_write_set_format_gnutar(writer.handle));
  if (kind == "tar.gz.gz") writer.well(archive_write_add_filter_gzip(writer.handle));
  if (kind.starts_with("tar.gz")) writer.well(archive_write_add_filter_gzip(writer.handle));
  if (kind == "tar.bz2") writer.well(archive_write_add_filter_bzip2(writer.handle));
  if (kind == "tar.xz") writer.well(archive_write_add_filter_xz(writer.handle));
  if (kind == "tar.zst") writer.well(archive_write_add_filter_zstd(writer.handle));
  if (kind == "encrypted.zip") {
    writer.well(archive_write_set_options(writer.handle, "zip:encryption=traditional"));
    writer.well(archive_write_set_passphrase(writer.handle, "secret"));
  }
  size_t room = size_t{1} << 20, used = 0;
  for (const Entry& entry : entries) room += 2 * entry.bytes.size() + 4096;
  Bytes bytes(room);
  writer.well(archive_write_set_bytes_in_last_block(writer.handle, 1));
  writer.well(archive_write_open_memory(writer.handle, bytes.data(), bytes.size(), &used));
  for (const Entry& one : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_copy_pathname(entry, one.name.c_str());
    archive_entry_set_filetype(entry, one.type);
    archive_entry_set_perm(entry, 0644);
    if (!one.hard_link.empty()) archive_entry_copy_hardlink(entry, one.hard_link.c_str());
    if (!one.symbolic_link.empty()) archive_entry_copy_symlink(entry, one.symbolic_link.c_str());
    archive_entry_set_size(entry, std::ssize(one.bytes));
    const int status = archive_write_header(writer.handle, entry);
    archive_entry_free(entry);
    writer.well(status);
    if (!one.bytes.empty())
      require(archive_write_data(writer.handle, one.bytes.data(), one.bytes.size()) == std::ssize(one.bytes),
              "archive_of: ", one.name);
  }
  writer.well(archive_write_close(writer.handle));
  bytes.resize(used);
  return bytes;
}

// One file, as gzip has it.
inline Bytes gzipped(const Bytes& contents) {
  archive* handle = archive_write_new();
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  Bytes bytes(2 * contents.size() + 4096);
  size_t used = 0;
  const bool written = archive_write_set_format_raw(handle) == ARCHIVE_OK &&
                       archive_write_add_filter_gzip(handle) == ARCHIVE_OK &&
                       archive_write_set_bytes_in_last_block(handle, 1) == ARCHIVE_OK &&
                       archive_write_open_memory(handle, bytes.data(), bytes.size(), &used) == ARCHIVE_OK &&
                       archive_write_header(handle, entry) == ARCHIVE_OK &&
                       archive_write_data(handle, contents.data(), contents.size()) == std::ssize(contents) &&
                       archive_write_close(handle) == ARCHIVE_OK;
  archive_entry_free(entry);
  archive_write_free(handle);
  require(written, "gzipped: libarchive did not write it");
  bytes.resize(used);
  return bytes;
}

}  // namespace poph::test
