#pragma once
#include <string>
#include <string_view>

// A look through TOML text before toml++ (up to 3.4) parses it, for what that library does not cope with. Fuzzing found
// each of them:
//
// - Dotted keys. toml++ bounds the nesting of brackets but not of a.a.a. .. a hundred thousand deep, which overflows
//   the stack when the tables are destroyed. A key cannot leave its line, so counting a line's dots bounds both.
// - Letters beyond ASCII outside strings and comments, where TOML has none. Some take toml++ to places that it declares
//   unreachable; so do those behind a backslash that joins two lines.
//
// The look follows TOML's grammar as far as it must to know strings from the rest: a quote opens a string only where a
// part of a key or a value begins. Text that is no TOML need be followed up to its first mistake alone, where toml++
// ends.
namespace poph {

// Error: "origin:line: more than 32 dots outside strings in one line".
void refuse_what_breaks_the_parser(std::string_view text, const std::string& origin);

}  // namespace poph
