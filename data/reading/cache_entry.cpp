#include "data/reading/cache_entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>

#include "data/files/file.h"
#include "data/files/hash.h"
#include "data/files/json_text.h"
#include "data/files/threads.h"
#include "data/reading/packed_rolls.h"
#include "tensor/error.h"

namespace poph {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* format = "PopH rolls 4";

std::string checksum(std::string_view bytes) { return hex_digits(content_hash(bytes)); }

std::string index_path(const std::string& path) { return path + "/index"; }
std::string part_path(const std::string& path, size_t part) { return fmt::format("{}/part_{:05}", path, part); }

Json read_index(const std::string& path) {
  const std::string text = read_file(index_path(path));
  require(text.size() > 17 && text.substr(0, 16) == checksum(std::string_view(text).substr(17)),
          "its index is damaged");
  const Json index = Json::parse(text.begin() + 17, text.end());
  require(index.at("format") == format, "it is of another format");
  require(index.at("key") == fs::path(path).filename().string(), "it is another one's");
  return index;
}

// Removes a .stamps file whose entry is gone.
void forget_if_stale(const std::string& path) {
  if (!path.ends_with(".stamps")) return;
  std::error_code ignored;
  try {
    const std::string key = read_file(path, 100);
    if (!has_entry(fs::path(path).parent_path() / key.substr(0, key.find('\n')))) fs::remove(path, ignored);
  } catch (const Error&) {  // another process was faster
  }
}

}  // namespace

int64_t write_entry(const std::string& path, const SourceContents& contents) {
  std::error_code error;
  fs::create_directories(path, error);
  require(!error, "cannot make the folder ", path, ": ", error.message());
  remove_temporaries(path);  // of writers that were killed
  Json index{{"format", format},
             {"key", fs::path(path).filename().string()},
             {"damage", contents.damage},
             {"parts", Json::array()}};
  int64_t written = 0;
  std::string part;
  const auto finish_part = [&] {
    write_file_durably(part_path(path, index["parts"].size()), part);
    index["parts"].push_back({{"bytes", part.size()}, {"checksum", checksum(part)}});
    written += std::ssize(part);
    part.clear();
  };
  for (const ReadPiece& piece : contents.pieces) {
    append_piece(piece, part);
    if (std::ssize(part) >= cache_part_bytes) finish_part();
  }
  if (!part.empty()) finish_part();
  const std::string text = json_text(index, 1) + "\n";
  write_file_durably(index_path(path), checksum(text) + "\n" + text);
  return written;
}

std::optional<CacheEntry> read_entry(const std::string& path, const ReadSettings& settings) {
  if (!has_entry(path)) return {};
  CacheEntry entry;
  std::vector<std::vector<ReadPiece>> parts;
  ReadingProgress progress;
  progress.what = "reading the cache";
  try {
    const Json index = read_index(path);
    entry.contents.damage = index.at("damage").get<std::vector<std::string>>();
    const Json& listed = index.at("parts");
    for (const Json& part : listed) progress.bytes_in_all += part.at("bytes").get<int64_t>();
    parts.resize(listed.size());
    std::atomic<size_t> next = 0;
    std::mutex lock;
    const auto work = [&](size_t) {
      for (size_t i; (i = next++) < parts.size();) {
        const std::string bytes = read_file(part_path(path, i));
        require(listed[i].at("bytes") == bytes.size() && listed[i].at("checksum") == checksum(bytes),
                part_path(path, i), " is damaged");
        read_pieces(bytes, settings.roll.lowest_note, settings.roll.notes, parts[i]);
        if (!settings.watch) continue;
        const std::lock_guard guard(lock);
        progress.bytes += std::ssize(bytes);
        settings.watch(progress);
      }
    };
    in_threads(std::min<size_t>(settings.threads, parts.size()), work, [&] { next = parts.size(); });
  } catch (const Json::exception&) {
    fail("its index is not as PopH writes it");
  }
  for (auto& part : parts) std::move(part.begin(), part.end(), std::back_inserter(entry.contents.pieces));
  entry.bytes = progress.bytes_in_all;
  return entry;
}

bool has_entry(const std::string& path) {
  std::error_code ignored;
  return fs::exists(index_path(path), ignored);
}

void mark_used(const std::string& path) {
  std::error_code ignored;  // a cache that cannot be written
  fs::last_write_time(index_path(path), fs::file_time_type::clock::now(), ignored);
}

int64_t tidy_entries(const std::string& folder, const std::string& in_use, int64_t max_bytes) {
  struct Entry {
    fs::file_time_type used;
    fs::path path;
    int64_t bytes;
  };
  std::vector<Entry> entries;
  std::error_code ignored;  // others may be tidying too
  int64_t all = 0;
  const auto yesterday = fs::file_time_type::clock::now() - std::chrono::hours(24);
  for (fs::directory_iterator at(folder, ignored), end; !ignored && at != end; at.increment(ignored)) {
    std::error_code gone;
    if (!at->is_directory(gone)) {
      forget_if_stale(at->path().string());
      continue;
    }
    int64_t bytes = 0;
    for (fs::directory_iterator file(at->path(), gone), last; !gone && file != last; file.increment(gone)) {
      std::error_code unknown;
      const auto size = file->file_size(unknown);
      if (!unknown) bytes += static_cast<int64_t>(size);
    }
    all += bytes;
    const bool whole = has_entry(at->path());
    const auto used = fs::last_write_time(whole ? at->path() / "index" : at->path(), gone);
    if (!gone && at->path() != in_use && (whole || used < yesterday))
      entries.push_back({whole ? used : fs::file_time_type::min(), at->path(), bytes});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (all <= max_bytes && entry.used != fs::file_time_type::min()) break;
    fs::remove(entry.path / "index", ignored);  // first, so that nobody begins to read the rest
    fs::remove_all(entry.path, ignored);
    all -= entry.bytes;
  }
  return all;
}

}  // namespace poph
