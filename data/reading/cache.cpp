#include "data/reading/cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "data/files/file.h"
#include "data/files/sha256.h"
#include "data/reading/cache_entry.h"
#include "tensor/error.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

constexpr size_t key_digits = 64;

std::string settings_text(const ReadSettings& settings) {
  const RollSettings& roll = settings.roll;
  return fmt::format(
      "reader {}, notes {} from {}, {} steps per quarter, percussion {}, sustain {}, floor {}, meter {}, files up to "
      "{}{}",
      reader_version, roll.notes, roll.lowest_note, roll.steps_per_quarter, roll.percussion, roll.sustain,
      roll.quantize == Quantize::floor, roll.file_meter, settings.max_file_bytes,
      settings.outside ? ", with the keys outside" : "");
}

std::string megabytes(int64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) * 1e-6); }

}  // namespace

CachedSource::CachedSource(const CacheSettings& cache, const ReadSettings& settings, const Source& source,
                           std::vector<std::string>& remarks)
    : cache_(cache), settings_(settings), source_(source), remarks_(remarks), settings_text_(settings_text(settings)) {
  const bool folder = source.kind == Source::Kind::folder;
  if (cache.folder.empty() || (!folder && source.kind != Source::Kind::archive)) return;
  if (folder)
    for (const std::string& name : source.names) paths_.push_back(source.path_to(name));
  else
    paths_.push_back(source.path);
  stamps_ = stamp_files(paths_);
  // How many files an archive holds is not known yet.
  enabled_ = !folder || std::ssize(paths_) >= cache.min_files || stamps_.bytes >= cache.min_bytes;
}

// The file that has the key of the entry for a folder with these stamps.
std::string CachedSource::stamps_path() const {
  Sha256 sha256;
  sha256.add(settings_text_);
  sha256.add(stamps_.key);
  return cache_.folder + "/" + sha256.finish() + ".stamps";
}

// Empty where a file could not be read: its contents are not known.
std::string CachedSource::folder_key(const SourceContents& contents) const {
  Sha256 sha256;
  sha256.add(settings_text_);
  sha256.add(std::string("folder"));
  for (size_t i = 0; i < contents.pieces.size(); ++i) {
    const ReadPiece& piece = contents.pieces[i];
    const int64_t size = stamps_.sizes[i];
    if (piece.digest.empty() && size >= 0 && size <= settings_.max_file_bytes) return "";
    sha256.add(piece.name);
    sha256.add(piece.digest.empty() ? fmt::format("{} bytes", size) : piece.digest);
  }
  return sha256.finish();
}

std::string CachedSource::archive_key() const {
  const InputFile file(source_.path);
  Sha256 sha256, contents;
  std::vector<uint8_t> chunk(size_t{1} << 20);
  ReadingProgress progress{"checking", source_.names[0], 0, 0, 0, static_cast<int64_t>(file.size())};
  for (uint64_t at = 0; at < file.size(); at += chunk.size()) {
    const size_t count = std::min<size_t>(chunk.size(), file.size() - at);
    file.read(at, chunk.data(), count);
    contents.add(chunk.data(), count);
    progress.bytes = static_cast<int64_t>(at + count);
    if (settings_.watch) settings_.watch(progress);
  }
  sha256.add(settings_text_);
  sha256.add(std::string("archive"));
  sha256.add(contents.finish());
  return sha256.finish();
}

std::optional<SourceContents> CachedSource::read(const std::string& key) {
  const std::string path = cache_.folder + "/" + key;
  try {
    std::optional<CacheEntry> entry = read_entry(path, settings_);
    if (!entry) return {};
    mark_used(path);
    remarks_.push_back(fmt::format("cache: {} files of {} as they were read before ({} in {})",
                                   entry->contents.pieces.size(), source_.path, megabytes(entry->bytes), path));
    return std::move(entry->contents);
  } catch (const Error& error) {
    damaged_ = true;
    remarks_.push_back(fmt::format("cache: {} is not used but made anew: {}", path, error.what()));
    return {};
  }
}

std::optional<SourceContents> CachedSource::find() {
  if (!enabled_) return {};
  if (source_.kind == Source::Kind::archive) return read(key_ = archive_key());
  std::error_code ignored;
  if (!fs::exists(stamps_path(), ignored)) return {};
  try {
    const std::string key = read_file(stamps_path(), key_digits + 1).substr(0, key_digits);
    if (key.size() == key_digits && key.find_first_not_of("0123456789abcdef") == key.npos) return read(key);
  } catch (const Error&) {  // it is written anew
  }
  return {};
}

void CachedSource::store(const SourceContents& contents) {
  if (!enabled_ || (std::ssize(contents.pieces) < cache_.min_files && stamps_.bytes < cache_.min_bytes)) return;
  const bool folder = source_.kind == Source::Kind::folder;
  if (folder) key_ = folder_key(contents);
  const std::string path = cache_.folder + "/" + key_;
  try {
    require(!key_.empty(), "some of its files could not be read");
    require(folder || stamp_files(paths_).key == stamps_.key, "it was changed while it was read");
    if (damaged_ || !has_entry(path)) {
      const int64_t bytes = write_entry(path, contents), all = tidy_entries(cache_.folder, path, max_cache_bytes);
      remarks_.push_back(fmt::format("cache: keeps what was read of {} for the next start ({} in {}; {} in all)",
                                     source_.path, megabytes(bytes), path, megabytes(all)));
    }
    if (folder && stamps_.settled) write_file_durably(stamps_path(), key_ + "\n");
  } catch (const Error& error) {
    remarks_.push_back(fmt::format("cache: {} will be read anew at the next start: {}", source_.path, error.what()));
  }
}

}  // namespace poph
