// The time of one forward pass on a partition: section 3 of Pope et al. (compute, weight, KV and communication time),
// completed by what the paper leaves out: fixed time per layer, hops, achieved fractions, attention arithmetic, the
// unembedding, padding of heads, partial overlap. docs/planner.md derives every term.
//
//   t = t_s + elements t_e + L (t_0 + hops t_h) + ||compute/e_c, weights/e_w||_p + attention + kv/e_kv + wire/e_n +
//   unembed weight-gathered: the gathered bytes join the first norm (they overlap the matmuls; looped einsum,
//   section 3.5)
#ifndef TESSERA_PLANNER_COST_H_
#define TESSERA_PLANNER_COST_H_

#include <string>

#include "planner/hardware.h"
#include "planner/layout.h"
#include "planner/shape.h"

namespace tessera {

// How numbers are held.
struct NumberTypes {
  std::string weight_type = "bf16";  // empty: as stored in the file
  double kv_element_bytes = 2;
  double activation_bytes = 2;
};

struct PassCost {
  // Seconds, each as if nothing overlapped; `total` accounts for overlap.
  double compute = 0, weights = 0, attention = 0, kv = 0, wire = 0, gather = 0, hops = 0, fixed = 0, unembed = 0;
  double bubble = 0;  // pipeline: stages idle
  double total = 0;
  // Per chip.
  double flops = 0, weight_bytes = 0, kv_bytes = 0, wire_bytes = 0;  // weights as stored; KV read and written
  double tokens = 0;
  double mfu = 0;  // model_flops() / (chips * peak * total)
  double chip_seconds_per_token = 0;
  double relative_error = 0;  // prediction_error()
};

// Weight bytes of all layers together and of the unembedding, for a type or as stored; heads padded.
struct WeightSizes {
  double stack = 0, embedding = 0, output = 0;  // output: 0 when tied
  double vectors = 0;                           // norms and biases, where a file says how many
  double total() const { return stack + embedding + output + vectors; }
};
Result<WeightSizes> weight_sizes(const ModelShape& model, const NumberTypes& types, double padded_heads);

// Bytes of this engine's packed weights over those of the file (scales unpacked from six bits; without the 4 bytes a row of
// q4_0, q5_0 and q8_0), of a type, and of what the layers store.
double packed_growth(std::string_view type);
double packed_growth(const ModelShape& model, const NumberTypes& types);

// Heads are spread over the chips of a stage in whole heads: 48 on 64 chips cost as much as 64.
double padded_heads(const ModelShape& model, const Partition& partition);

// Over how many chips a batch-sharded cache is split: all axes, yz or z, the most that the batch fills.
int64_t batch_split(const Mesh& mesh, int64_t sequences);

// Says in one sentence why a partition cannot run the pass, or ok.
Status check_partition(const ModelShape& model, const Partition& partition, const Pass& pass);

// The caller has checked shape and partition; sizes come from weight_sizes().
PassCost predict_pass(const ModelShape& model, const HardwareSpec& hardware, const Partition& partition,
                      const Pass& pass, const NumberTypes& types);

// What is measured of large models says little about ones whose weights stay in the caches and whose passes are mostly
// fixed times: below half of the smallest one the interval is that of no calibration at all.
bool below_calibrated_size(const ModelShape& model, const HardwareSpec& hardware);
// The interval of a prediction: what nine in ten predictions of unseen models met, or kUncalibratedError. Below 1 it is
// total * (1 +- this), else a factor of 1 + this either way.
inline constexpr double kUncalibratedError = 2;
double prediction_error(const ModelShape& model, const HardwareSpec& hardware);

// What the model's matrices ask of a pass: 2N per token where the authors name N; else of the layers for every token,
// and of the output matrix for the one token of a sequence whose logits are wanted. (2N per token with the tables
// counted in N would put a small model with a large vocabulary above 100 % of the peak.)
double model_flops(const ModelShape& model, const Pass& pass);

// Lower bound: every resource at its data-sheet rate, all of them perfectly overlapped, nothing padded, no fixed time.
double roofline_seconds(const ModelShape& model, const HardwareSpec& hardware, const Partition& partition,
                        const Pass& pass, const NumberTypes& types);

}  // namespace tessera

#endif  // TESSERA_PLANNER_COST_H_
