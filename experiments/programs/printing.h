#pragma once
#include <nlohmann/json.hpp>

// What the commands of poph print.
namespace poph {

using Json = nlohmann::ordered_json;

// One JSON object, or the same as "name: value" lines.
void print(const Json& report, bool json);

}  // namespace poph
