#pragma once
#include <cstdint>

// The memory that this process can still take.
namespace poph {

// The least of what the machine has free or can free, what the process's container allows, and what its own limit
// (ulimit -v) leaves. A system that tells none of these has no limit here.
int64_t free_memory();

}  // namespace poph
