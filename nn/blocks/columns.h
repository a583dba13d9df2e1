#pragma once
#include <vector>

#include "tensor/ops.h"

// The columns of a batch chosen anew: column i goes on as column columns[i] did (MODEL.md "Conditions").
namespace poph {

using Columns = std::vector<int64_t>;

// Of an axis that has a column's parts side by side: it is columns.size() columns long, or a multiple of it. Undefined
// stays undefined.
inline Tensor select_columns(const Tensor& x, int axis, const Columns& columns) {
  if (!x.defined()) return {};
  const int64_t count = static_cast<int64_t>(columns.size()), size = x.shape()[axis], width = size / count;
  require(width * count == size, "select_columns: axis ", axis, " of ", x.shape(), ", and there are ", count,
          " columns");
  Tensors parts;
  int64_t before = 1;
  for (int i = 0; i < axis; ++i) before *= x.shape()[i];
  if (before == 1) {
    const Tensor rows = x.reshape({count, x.elements() / count});  // one behind the other: views, and one copy
    for (const int64_t column : columns) parts.push_back(rows.slice(column, 1));
    return concat(parts, 0).reshape(x.shape());
  }
  for (const int64_t column : columns) parts.push_back(slice(x, axis, column * width, width));
  return concat(parts, axis);
}

}  // namespace poph
