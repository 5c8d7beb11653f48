// for_rows: a loop over the rows of a batch, on the pool when there is enough to do. One parallel section costs
// one to three microseconds, the time of some 16 thousand cheap elements.
#ifndef TESSERA_OPS_FOR_ROWS_H_
#define TESSERA_OPS_FOR_ROWS_H_

#include <algorithm>

#include "ops/context.h"

namespace tessera {

template <class F>
void for_rows(OpContext& ctx, int64_t rows, int64_t cols, F f) {
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(cols, 1));
  ctx.pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) f(t);
  });
}

}  // namespace tessera

#endif  // TESSERA_OPS_FOR_ROWS_H_
