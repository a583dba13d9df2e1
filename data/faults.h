#pragma once
#include <string>
#include <string_view>

namespace poph {

// The kind of fault that a reason speaks of, in the words of a summary: why a file was not read, or what is wrong with one that
// was read in part. A reason of no known kind is one by itself.
std::string fault_kind(std::string_view reason);

}  // namespace poph
