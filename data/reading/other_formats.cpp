#include "data/reading/other_formats.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "data/reading/file_names.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr size_t looked_at = 4096;  // bytes of a file

struct Format {
  const char *name, *how;                           // how one gets MIDI of it
  std::initializer_list<std::string_view> endings;  // of names; none: only its bytes tell it
  std::initializer_list<std::string_view> starts;   // of its bytes, behind a byte order mark and blanks
  std::initializer_list<std::string_view> holds;    // one of these lies within its first bytes
};

constexpr const char *musescore = "MuseScore makes MIDI of it: mscore -o piece.mid FILE",
                     *transcribe = "a program that transcribes, such as basic-pitch, makes MIDI of it",
                     *take_out = "take the MIDI files out of it, or name it .zip, .tar or .tar.gz if it is one";

// The first that fits counts.
const Format formats[] = {
    {"MusicXML", musescore, {".musicxml"}, {}, {"<score-partwise", "<score-timewise", "//DTD MusicXML"}},
    {"a score of MuseScore", musescore, {".mscz", ".mscx"}, {}, {"<museScore", ".mscx"}},
    {"compressed MusicXML", musescore, {".mxl"}, {}, {"META-INF/container.xml"}},
    {"MEI", "Verovio makes MIDI of it: verovio -t midi FILE", {".mei"}, {}, {"<mei", "music-encoding.org"}},
    {"ABC notation", "abc2midi makes MIDI of it: abc2midi FILE -o piece.mid", {".abc"}, {"X:", "%abc"}, {"\nX:"}},
    {"Humdrum kern", "hum2mid makes MIDI of it: hum2mid FILE -o piece.mid", {".krn"}, {"**kern", "!!!"}, {"\n**kern"}},
    {"LilyPond",
     "a block \\midi { } in its \\score makes lilypond write MIDI",
     {".ly"},
     {"\\version"},
     {"\n\\version"}},
    {"a tablature of Guitar Pro",
     "TuxGuitar and MuseScore export MIDI of it",
     {".gp", ".gp3", ".gp4", ".gp5", ".gpx"},
     {"\x18"
      "FICHIER GUITAR PRO",
      "BCFZ", "BCFS"},
     {}},
    {"XML, perhaps MusicXML", musescore, {".xml"}, {}, {}},
    {"sound", transcribe, {".mp3", ".wav", ".flac", ".ogg", ".m4a"}, {"ID3", "OggS", "fLaC", "\xFF\xFB"}, {"WAVEfmt "}},
    {"PDF", "Audiveris reads printed scores and makes MusicXML, and MuseScore makes MIDI of that", {}, {"%PDF"}, {}},
    {"a web page", "was the download refused?", {}, {"<!DOCTYPE html", "<!doctype html", "<html"}, {}},
    {"a resource fork of macOS",
     "the music is in the file whose name lacks the ._",
     {},
     {std::string_view("\0\5\x16\7", 4)},
     {}},
    {"an archive",
     take_out,
     {},
     {"PK\3\4", "Rar!", "7z\xBC\xAF\x27\x1C", "BZh",
      "\xFD"
      "7zXZ",
      "\x28\xB5\x2F\xFD"},
     {}},
    {"XML", "a program that writes it may export MIDI too", {}, {"<?xml"}, {}},
};

std::string joined_words(const Format& format) { return joined(format.name, "; ", format.how); }

}  // namespace

std::string other_format(std::span<const uint8_t> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), looked_at));
  std::string_view text = head;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t\r\n")));
  for (const Format& format : formats) {
    const auto begins = [&](std::string_view start) { return text.starts_with(start) || head.starts_with(start); };
    const auto holds = [&](std::string_view part) { return head.find(part) != head.npos; };
    if (std::any_of(format.starts.begin(), format.starts.end(), begins) ||
        std::any_of(format.holds.begin(), format.holds.end(), holds))
      return "this is " + joined_words(format);
  }
  return "";
}

void OtherFiles::see(std::string_view name) {
  if (is_resource_fork(name)) return;
  for (size_t i = 0; i < std::size(formats); ++i)
    if (ends_with_one_of(name, formats[i].endings)) return void(++counts_[i]);
}

std::vector<std::string> OtherFiles::lines() const {
  std::vector<std::string> lines;
  for (const auto& [place, count] : counts_)
    lines.push_back(joined(count, count == 1 ? " file of " : " files of ", formats[place].name,
                           count == 1 ? " is not read; " : " are not read; ", formats[place].how));
  return lines;
}

}  // namespace poph
