// The library headers that most of the tests read, compiled once for all of them: see tensor/precompiled.h.
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "tensor/precompiled.h"
