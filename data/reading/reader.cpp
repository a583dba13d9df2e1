#include "data/reading/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "data/files/file.h"
#include "data/files/hash.h"
#include "data/files/sha256.h"
#include "data/files/threads.h"
#include "data/music/chords.h"
#include "data/reading/archive.h"
#include "data/reading/composed.h"
#include "data/reading/left_out.h"
#include "data/reading/midi_bytes.h"
#include "tensor/error.h"

namespace poph {
namespace {

void note(Damage damage, std::string reason, ReadPiece& piece) {
  piece.damage = damage;
  piece.reason = std::move(reason);
}

// Takes the roll, or notes why it is of no use.
void take_roll(Roll roll, const RollSettings& settings, ReadPiece& piece) {
  if (roll.sounding_cells() > 0) {
    piece.roll = std::make_shared<const Roll>(std::move(roll));
    return;
  }
  const std::string why = why_silent(piece.dropped_notes, piece.percussion_notes, settings);
  if (piece.dropped_notes > 0)
    note(Damage::out_of_range, why, piece);
  else if (piece.damage == Damage::none)  // otherwise the file's damage is why
    note(Damage::silent, why, piece);
}

// One thread's reader: its buffers serve file after file.
class FileReader {
 public:
  explicit FileReader(const ReadSettings& settings) : settings_(settings) {}

  // What PopH composed is left out, unless the user named the very file.
  ReadPiece midi(std::string name, std::span<const uint8_t> bytes, bool is_named = false) {
    ReadPiece piece;
    piece.name = std::move(name);
    if (settings_.digests) {
      sha256_.add(bytes.data(), bytes.size());
      piece.digest = sha256_.finish();
    }
    if (!is_named && is_marked_as_composed(bytes)) return piece;
    try {
      const MidiBytes file = unwrap(piece.name, bytes, settings_.max_file_bytes, expanded_);
      piece.hash = content_hash(file.bytes);
      parse_midi(file, midi_);
      DecodeReport report;
      Roll roll = decode(midi_, settings_.roll, &report);
      piece.dropped_notes = report.dropped_notes;
      piece.percussion_notes = report.percussion_notes;
      if (midi_.damage != Damage::none)
        note(midi_.damage, fmt::format("midi: byte {}: {}", midi_.damage_at, words(midi_.damage)), piece);
      take_roll(std::move(roll), settings_.roll, piece);
    } catch (const Damaged& error) {
      note(error.damage, error.what(), piece);
    }
    if (piece.roll && settings_.outside) count_outside(piece);
    return piece;
  }

  ReadPiece midi_file(std::string name, const std::string& path, bool is_named) {
    ReadPiece piece;
    try {
      return midi(name, read_file(path, buffer_, settings_.max_file_bytes), is_named);
    } catch (const FileError& error) {  // the path goes beside the reason
      piece.name = std::move(name);
      note(error.code == EFBIG ? Damage::too_large : Damage::unreadable, "cannot be read: " + error.reason, piece);
    }
    return piece;
  }

  // The user named this file and it is all there is to read: an error ends the reading.
  std::vector<ReadPiece> chord_file(const std::string& name, const std::string& path) {
    const auto bytes = read_file(path, buffer_);
    const uint64_t hash = content_hash(bytes);
    std::vector<ChordPiece> chords;
    try {
      chords = parse_chords(bytes, settings_.roll);
    } catch (const Error& error) {
      fail("data: ", path, ": ", error.what());
    }
    require(!chords.empty(), "data: ", path, ": found no pieces, expected some under train, valid or test");
    std::vector<ChordPiece> whole;
    if (settings_.outside) whole = parse_chords(bytes, whole_piano(settings_.roll));
    std::vector<ReadPiece> pieces(chords.size());
    for (size_t i = 0; i < chords.size(); ++i) {
      ReadPiece& piece = pieces[i];
      piece.name = fmt::format("{} {}[{}]", name, split_names[chords[i].split], chords[i].index);
      piece.hash = combined(hash, i);
      piece.split = chords[i].split;
      piece.dropped_notes = chords[i].dropped_notes;
      piece.whole_file = false;
      take_roll(std::move(chords[i].roll), settings_.roll, piece);
      if (piece.roll && settings_.outside) piece.outside = outside_keys(whole[i].roll, *piece.roll);
    }
    return pieces;
  }

 private:
  // Of the file that was parsed last. Nothing where all its keys together sound beyond the limits of decode, and where
  // tracks are laid one behind the other: their lengths depend on the keys that are read.
  void count_outside(ReadPiece& piece) const {
    if (midi_.format == 2 && midi_.tracks.size() > 1) return;
    try {
      piece.outside = outside_keys(decode(midi_, whole_piano(settings_.roll)), *piece.roll);
    } catch (const Damaged&) {
    }
  }

  const ReadSettings& settings_;
  std::vector<uint8_t> buffer_, expanded_;
  MidiFile midi_;
  Sha256 sha256_;
};

// The queue from the thread that reads an archive to those that decode.
class Waiting {
 public:
  struct Member {
    size_t place;  // in the archive
    ArchiveMember content;
  };

  bool put(Member& member) {  // false: too much waits already
    const std::lock_guard guard(lock_);
    const auto size = std::ssize(member.content.bytes);
    if (stopped_ || (bytes_ > 0 && bytes_ + size > max_waiting_bytes) || members_.size() >= max_members) return false;
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
  static constexpr size_t max_members = 4096;

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

std::vector<SourceContents> read_files(const std::vector<const Source*>& sources, const ReadSettings& settings) {
  std::vector<SourceContents> contents(sources.size());
  std::vector<std::pair<size_t, size_t>> files;  // source and name
  for (size_t s = 0; s < sources.size(); ++s) {
    for (size_t i = 0; i < sources[s]->names.size(); ++i) files.emplace_back(s, i);
    if (sources[s]->kind != Source::Kind::chords) contents[s].pieces.resize(sources[s]->names.size());
  }
  std::atomic<size_t> next = 0;
  std::mutex lock;  // of the caller's watch
  ReadingProgress progress;
  progress.files_in_all = std::ssize(files);
  const auto work = [&](size_t) {
    FileReader reader(settings);
    for (size_t i; (i = next++) < files.size();) {
      const auto [s, place] = files[i];
      const Source& source = *sources[s];
      const std::string& name = source.names[place];
      if (source.kind == Source::Kind::chords)
        contents[s].pieces = reader.chord_file(name, source.path);
      else
        contents[s].pieces[place] = reader.midi_file(name, source.path_to(name), source.kind == Source::Kind::file);
      if (!settings.watch) continue;
      const std::lock_guard guard(lock);
      ++progress.files;
      settings.watch(progress);
    }
  };
  in_threads(std::min<size_t>(settings.threads, files.size()), work, [&] { next = files.size(); });
  return contents;
}

SourceContents read_archive(const Source& source, const ReadSettings& settings) {
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
        pieces.back().name = member.content.name;
        note(member.content.damage, member.content.reason, pieces.back());
      }
      member.place = place;
      if (member.content.damage == Damage::none && (settings.threads < 2 || !waiting.put(member)))
        decode_member(reader, member);
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
  SourceContents contents{{std::make_move_iterator(pieces.begin()), std::make_move_iterator(pieces.end())},
                          archive.damage()};
  for (const std::string& line : archive.other_files().lines()) contents.damage.push_back(line);
  std::stable_sort(contents.pieces.begin(), contents.pieces.end(),
                   [](const ReadPiece& a, const ReadPiece& b) { return a.name < b.name; });
  return contents;
}

}  // namespace poph
