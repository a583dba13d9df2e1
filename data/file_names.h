#pragma once
#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

// What a source is, by the end of its name, in small or large letters.
namespace poph {

inline bool ends_with_one_of(std::string_view name, std::initializer_list<std::string_view> endings) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; };
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view end) {
    return name.size() >= end.size() &&
           std::equal(end.begin(), end.end(), name.end() - std::ssize(end), [&](char e, char c) { return same(c, e); });
  });
}

inline bool is_midi_name(std::string_view name) { return ends_with_one_of(name, {".mid", ".midi"}); }
inline bool is_chord_name(std::string_view name) { return ends_with_one_of(name, {".json"}); }
inline bool is_archive_name(std::string_view name) {
  return ends_with_one_of(name, {".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"});
}

}  // namespace poph
