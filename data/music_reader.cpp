#include "data/music_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "data/archive.h"
#include "data/chords.h"
#include "data/content_hash.h"
#include "data/in_threads.h"
#include "data/sha256.h"
#include "tensor/error.h"

namespace poph {
namespace {

void keep_or_skip(Roll roll, ReadPiece& piece) {
  if (roll.sounding_cells() > 0)
    piece.roll = std::make_shared<const Roll>(std::move(roll));
  else if (piece.dropped_notes > 0)
    piece.reason = fmt::format("all {} notes are out of range", piece.dropped_notes);
  else if (piece.reason.empty())  // otherwise the file's fault is why
    piece.reason = "no note sounds";
}

// One thread's reader: its buffers serve file after file.
class FileReader {
 public:
  explicit FileReader(const ReadSettings& settings) : settings_(settings) {}

  ReadPiece midi(std::string name, std::span<const uint8_t> bytes) {
    ReadPiece piece;
    piece.name = std::move(name);
    piece.hash = hash_of(bytes);
    if (settings_.digests) {
      sha256_.add(bytes.data(), bytes.size());
      piece.digest = sha256_.finish();
    }
    try {
      parse_midi(bytes, midi_);
      DecodeReport report;
      Roll roll = decode(midi_, settings_.roll, &report);
      piece.dropped_notes = report.dropped_notes;
      if (!midi_.salvaged.empty()) piece.reason = fmt::format("midi: byte {}: {}", midi_.salvaged_at, midi_.salvaged);
      keep_or_skip(std::move(roll), piece);
    } catch (const Error& error) {  // no other one is the file's
      piece.reason = error.what();
    }
    return piece;
  }

  ReadPiece midi_file(std::string name, const std::string& path) {
    ReadPiece piece;
    try {
      return midi(name, read_file(path, buffer_, settings_.max_file_bytes));
    } catch (const Error& error) {
      const std::string what = error.what(), where = "read " + path + ": ";  // the path goes beside the reason
      piece.name = std::move(name);
      piece.reason = "cannot be read: " + (what.starts_with(where) ? what.substr(where.size()) : what);
    }
    return piece;
  }

  // Asked for by name and all there is to read: its faults are the user's to know.
  std::vector<ReadPiece> chord_file(const std::string& name, const std::string& path) {
    const auto bytes = read_file(path, buffer_);
    const uint64_t hash = hash_of(bytes);
    std::vector<ChordPiece> chords;
    try {
      chords = parse_chords(bytes, settings_.roll);
    } catch (const Error& error) {
      fail("data: ", path, ": ", error.what());
    }
    require(!chords.empty(), "data: ", path, ": found no pieces, expected some under train, valid or test");
    std::vector<ReadPiece> pieces(chords.size());
    for (size_t i = 0; i < chords.size(); ++i) {
      ReadPiece& piece = pieces[i];
      piece.name = fmt::format("{} {}[{}]", name, split_names[chords[i].split], chords[i].index);
      piece.hash = combined(hash, i);
      piece.split = chords[i].split;
      piece.dropped_notes = chords[i].dropped_notes;
      piece.whole_file = false;
      keep_or_skip(std::move(chords[i].roll), piece);
    }
    return pieces;
  }

 private:
  const ReadSettings& settings_;
  std::vector<uint8_t> buffer_;
  MidiFile midi_;
  Sha256 sha256_;
};

// From the thread that reads an archive to those that decode.
class Waiting {
 public:
  struct Member {
    size_t place;  // in the archive
    ArchiveMember content;
  };

  bool put(Member& member) {  // false: too much waits already
    const std::lock_guard guard(lock_);
    const auto size = std::ssize(member.content.bytes);
    if (stopped_ || (bytes_ > 0 && bytes_ + size > most_waiting_bytes) || members_.size() >= most_members) return false;
    bytes_ += size;
    members_.push_back(std::move(member));
    ready_.notify_one();
    return true;
  }

  bool take(Member& member) {  // false: there will be no more
    std::unique_lock guard(lock_);
    ready_.wait(guard, [&] { return !members_.empty() || ended_ || stopped_; });
    if (stopped_ || members_.empty()) return false;
    member = std::move(members_.front());
    members_.pop_front();
    bytes_ -= std::ssize(member.content.bytes);
    return true;
  }

  void end() { set(ended_); }
  void stop() { set(stopped_); }
  bool stopped() {
    const std::lock_guard guard(lock_);
    return stopped_;
  }

 private:
  static constexpr size_t most_members = 4096;

  void set(bool& flag) {
    const std::lock_guard guard(lock_);
    flag = true;
    ready_.notify_all();
  }

  std::mutex lock_;
  std::condition_variable ready_;
  std::deque<Member> members_;
  int64_t bytes_ = 0;
  bool ended_ = false, stopped_ = false;
};

}  // namespace

void read_files(const std::vector<Source*>& sources, const ReadSettings& settings) {
  std::vector<std::pair<Source*, size_t>> files;
  for (Source* source : sources) {
    for (size_t i = 0; i < source->names.size(); ++i) files.emplace_back(source, i);
    source->pieces.assign(source->kind == Source::Kind::chords ? 0 : source->names.size(), {});
  }
  std::atomic<size_t> next = 0;
  std::mutex lock;  // of the caller's watch
  ReadingProgress progress;
  progress.files_in_all = std::ssize(files);
  const auto work = [&](size_t) {
    FileReader reader(settings);
    for (size_t i; (i = next++) < files.size();) {
      Source& source = *files[i].first;
      const std::string& name = source.names[files[i].second];
      if (source.kind == Source::Kind::chords)
        source.pieces = reader.chord_file(name, source.path);
      else
        source.pieces[files[i].second] =
            reader.midi_file(name, source.kind == Source::Kind::file ? source.path : source.path_of(name));
      if (!settings.watch) continue;
      const std::lock_guard guard(lock);
      ++progress.files;
      settings.watch(progress);
    }
  };
  in_threads(std::min<size_t>(settings.threads, files.size()), work, [&] { next = files.size(); });
}

void read_archive(Source& source, const ReadSettings& settings) {
  ArchiveReader archive(source.path, {.member_bytes = settings.max_file_bytes});
  Waiting waiting;
  std::mutex lock;  // of the two below
  std::deque<ReadPiece> pieces;
  ReadingProgress progress{"reading", source.names[0], 0, 0, 0, archive.bytes()};
  const auto decode_member = [&](FileReader& reader, Waiting::Member& member) {
    ReadPiece piece = reader.midi(std::move(member.content.name), member.content.bytes);
    const std::lock_guard guard(lock);
    pieces[member.place] = std::move(piece);
  };
  const auto read_members = [&](FileReader& reader) {
    Waiting::Member member;
    for (size_t place = 0; !waiting.stopped() && archive.next(member.content); ++place) {
      {
        const std::lock_guard guard(lock);
        pieces.emplace_back();
        if (!member.content.reason.empty()) {
          pieces.back().name = member.content.name;
          pieces.back().reason = member.content.reason;
        }
      }
      member.place = place;
      if (member.content.reason.empty() && (settings.threads < 2 || !waiting.put(member))) decode_member(reader, member);
      if (!settings.watch) continue;
      ++progress.files;
      progress.bytes = archive.bytes_read();
      settings.watch(progress);
    }
    waiting.end();
  };
  const auto work = [&](size_t thread) {
    FileReader reader(settings);
    if (thread == 0) read_members(reader);
    for (Waiting::Member member; waiting.take(member);) decode_member(reader, member);
  };
  in_threads(static_cast<size_t>(settings.threads), work, [&] { waiting.stop(); });
  source.damage = archive.damage();
  source.pieces.assign(std::make_move_iterator(pieces.begin()), std::make_move_iterator(pieces.end()));
  std::stable_sort(source.pieces.begin(), source.pieces.end(),
                   [](const ReadPiece& a, const ReadPiece& b) { return a.name < b.name; });
}

}  // namespace poph
