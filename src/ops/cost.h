// StepCost: what one mechanism costs for one forward pass: the answer to the sixth of the seven questions
// (ARCHITECTURE.md). The planner sums these over the layers of the very settings that run.
#ifndef TESSERA_OPS_COST_H_
#define TESSERA_OPS_COST_H_

#include <cstdint>

namespace tessera {

// One forward pass over `tokens` new tokens of one or more sequences.
struct StepShape {
  int64_t tokens = 1;          // rows of the batch
  int64_t sequences = 1;       // distinct sequences among them
  int64_t context_tokens = 0;  // tokens of state already held, per sequence, before this step
};

struct StepCost {
  double matmul_flops = 0;      // 2 per multiply-add, weights only
  double attention_flops = 0;   // scores and weighted sum
  double weight_bytes = 0;      // packed weights read once
  double state_bytes = 0;       // KV or recurrent state read and written
  StepCost& operator+=(const StepCost& o) {
    matmul_flops += o.matmul_flops;
    attention_flops += o.attention_flops;
    weight_bytes += o.weight_bytes;
    state_bytes += o.state_bytes;
    return *this;
  }
};

}  // namespace tessera

#endif  // TESSERA_OPS_COST_H_
