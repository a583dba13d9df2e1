// The library headers that most of experiments/ reads, compiled once for all of it: see tensor/precompiled.h.
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tensor/precompiled.h"
