// OpContext: what every operation needs besides its operands. One per engine; operations are called from one
// thread and spread over the pool themselves.
#ifndef TESSERA_OPS_CONTEXT_H_
#define TESSERA_OPS_CONTEXT_H_

#include "base/arena.h"
#include "base/thread_pool.h"
#include "tensor/rows.h"

namespace tessera {

struct OpContext {
  ThreadPool& pool;
  Arena& arena;  // scratch until the end of the forward pass

  // Uninitialised scratch [rows, cols].
  Rows<float> scratch(int64_t rows, int64_t cols) { return {arena.allocate<float>(rows * cols).data(), rows, cols}; }
};

}  // namespace tessera

#endif  // TESSERA_OPS_CONTEXT_H_
