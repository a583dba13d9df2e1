#include "data/roll_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "data/cache_entry.h"
#include "data/sha256.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

constexpr size_t key_digits = 64;

std::string text_of(const ReadSettings& settings) {
  const RollSettings& roll = settings.roll;
  return fmt::format("reader {}, notes {} from {}, {} steps per quarter, percussion {}, sustain {}, files up to {}",
                     reader_version, roll.notes, roll.lowest_note, roll.steps_per_quarter, roll.percussion, roll.sustain,
                     settings.max_file_bytes);
}

std::string megabytes(int64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) * 1e-6); }

}  // namespace

CachedSource::CachedSource(const CacheSettings& cache, const ReadSettings& settings, Source& source,
                           std::vector<std::string>& remarks)
    : cache_(cache), settings_(settings), source_(source), remarks_(remarks), settings_text_(text_of(settings)) {
  const bool folder = source.kind == Source::Kind::folder;
  if (cache.folder.empty() || (!folder && source.kind != Source::Kind::archive)) return;
  if (folder)
    for (const std::string& name : source.names) paths_.push_back(source.path_of(name));
  else
    paths_.push_back(source.path);
  stamps_ = stamps_of(paths_);
  // How many files an archive holds is not known yet.
  enabled_ = !folder || std::ssize(paths_) >= cache.least_files || stamps_.bytes >= cache.least_bytes;
}

// The file that says which entry a folder's stamps stand for.
std::string CachedSource::stamps_path() const {
  Sha256 sha256;
  sha256.add(settings_text_);
  sha256.add(stamps_.key);
  return cache_.folder + "/" + sha256.finish() + ".stamps";
}

// Empty: a file could not be read, so that nobody knows what is in it.
std::string CachedSource::key_of_folder() const {
  Sha256 sha256;
  sha256.add(settings_text_);
  sha256.add(std::string("folder"));
  for (size_t i = 0; i < source_.pieces.size(); ++i) {
    const ReadPiece& piece = source_.pieces[i];
    const int64_t size = stamps_.sizes[i];
    if (piece.digest.empty() && size >= 0 && size <= settings_.max_file_bytes) return "";
    sha256.add(piece.name);
    sha256.add(piece.digest.empty() ? fmt::format("{} bytes", size) : piece.digest);
  }
  return sha256.finish();
}

std::string CachedSource::key_of_archive() const {
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

bool CachedSource::read(const std::string& key) {
  const std::string path = cache_.folder + "/" + key;
  try {
    const int64_t bytes = read_entry(path, settings_, source_);
    if (bytes == 0) return false;
    mark_used(path);
    remarks_.push_back(fmt::format("cache: {} files of {} as they were read before ({} in {})", source_.pieces.size(),
                                   source_.path, megabytes(bytes), path));
    return true;
  } catch (const Error& error) {
    damaged_ = true;
    remarks_.push_back(fmt::format("cache: {} is not used but made anew: {}", path, error.what()));
    return false;
  }
}

bool CachedSource::find() {
  if (!enabled_) return false;
  if (source_.kind == Source::Kind::archive) return read(key_ = key_of_archive());
  std::error_code ignored;
  if (!fs::exists(stamps_path(), ignored)) return false;
  try {
    const std::string key = read_file(stamps_path(), key_digits + 1).substr(0, key_digits);
    return key.size() == key_digits && key.find_first_not_of("0123456789abcdef") == key.npos && read(key);
  } catch (const Error&) {
    return false;  // it is written anew
  }
}

void CachedSource::keep() {
  if (!enabled_ || (std::ssize(source_.pieces) < cache_.least_files && stamps_.bytes < cache_.least_bytes)) return;
  const bool folder = source_.kind == Source::Kind::folder;
  if (folder) key_ = key_of_folder();
  const std::string path = cache_.folder + "/" + key_;
  try {
    require(!key_.empty(), "some of its files could not be read");
    require(folder || stamps_of(paths_).key == stamps_.key, "it was changed while it was read");
    if (damaged_ || !has_entry(path)) {
      const int64_t bytes = write_entry(path, source_), all = tidy_entries(cache_.folder, path, most_cache_bytes);
      remarks_.push_back(fmt::format("cache: keeps what was read of {} for the next start ({} in {}; {} in all)", source_.path,
                                     megabytes(bytes), path, megabytes(all)));
    }
    if (folder && stamps_.settled) write_file_durably(stamps_path(), key_ + "\n");
  } catch (const Error& error) {
    remarks_.push_back(fmt::format("cache: {} will be read anew at the next start: {}", source_.path, error.what()));
  }
}

}  // namespace poph
