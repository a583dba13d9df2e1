#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

// What PopH composed is no music to learn from, and is known by its marks: a text event at the beginning of each MIDI
// file, and the files of a run's folder. It often lies in the folder that is read (data.source = ".").
namespace poph {

inline constexpr std::string_view composed_text = "composed by PopH";  // of the event
bool is_marked_as_composed(std::span<const uint8_t> midi);             // the mark is looked for in the first 512 bytes

bool is_run_folder(const std::string& path);

}  // namespace poph
