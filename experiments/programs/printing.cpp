#include "experiments/programs/printing.h"

#include <fmt/format.h>

#include "data/files/json_text.h"
#include "experiments/workspace/console.h"

namespace poph {
namespace {

std::string lines_of(const Json& object, const std::string& indent) {
  std::string lines;
  for (const auto& item : object.items()) {
    const Json& value = item.value();
    if (value.is_object()) {
      lines += fmt::format("{}{}:\n{}", indent, item.key(), lines_of(value, indent + "  "));
    } else {
      lines += fmt::format("{}{}: {}\n", indent, item.key(),
                           value.is_string() ? value.get_ref<const std::string&>() : json_text(value));
    }
  }
  return lines;
}

}  // namespace

void print(const Json& report, bool json) { print_text(json ? json_text(report, 1) + "\n" : lines_of(report, "")); }

}  // namespace poph
