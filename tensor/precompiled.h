// The headers of the standard library that most of the engine reads, compiled once for all of it (meson.build). Every
// file still includes what it uses: with -Db_pch=false it must compile as well.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
