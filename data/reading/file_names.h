#pragma once
#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

// Kinds of files by the end of their names, in small or large letters.
namespace poph {

inline bool ends_with_one_of(std::string_view name, std::initializer_list<std::string_view> endings) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; };
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view end) {
    return name.size() >= end.size() &&
           std::equal(end.begin(), end.end(), name.end() - std::ssize(end), [&](char e, char c) { return same(c, e); });
  });
}

// What macOS writes beside a file x.mid, into archives and onto other systems' disks: no music, whatever its ending.
inline bool is_resource_fork(std::string_view name) { return name.substr(name.rfind('/') + 1).starts_with("._"); }

inline constexpr const char* midi_names = ".mid, .midi, .kar, .rmi or .smf, or so and .gz";
inline bool is_midi_name(std::string_view name) {
  return ends_with_one_of(
             name, {".mid", ".midi", ".kar", ".rmi", ".smf", ".mid.gz", ".midi.gz", ".kar.gz", ".rmi.gz", ".smf.gz"}) &&
         !is_resource_fork(name);
}
inline bool is_rmi_name(std::string_view name) { return ends_with_one_of(name, {".rmi", ".rmi.gz"}); }
inline bool is_chord_name(std::string_view name) { return ends_with_one_of(name, {".json"}); }
inline bool is_archive_name(std::string_view name) {
  return ends_with_one_of(
      name, {".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"});
}

}  // namespace poph
