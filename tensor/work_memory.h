#pragma once

namespace poph {

// Error where there is no address space for the work buffers of the matrix library: OpenBLAS would wait for them for ever. To be
// asked when a program starts.
void require_work_memory();

}  // namespace poph
