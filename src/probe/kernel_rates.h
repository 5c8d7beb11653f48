// What the matrix kernels of this build reach with each weight type: one token (decode: bytes of weights per second) and
// many (prefill: operations per second). Peaks say what the machine can do, this what the program does with it; the
// planner predicts from both.
#ifndef TESSERA_PROBE_KERNEL_RATES_H_
#define TESSERA_PROBE_KERNEL_RATES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "probe/measure.h"
#include "tensor/dtype.h"

namespace tessera {

struct KernelRateResult {
  DType dtype = DType::kBF16;
  int threads = 1;
  std::vector<StateSample> decode_gb_per_s;   // stored weight bytes, 1 row
  std::vector<double> prefill_gops;      // 512 rows; a multiply-add is 2
  double half_rate_rows = 0;             // rows at which half of the prefill rate is reached; 0: not found
};

struct KernelRateOptions {
  uint64_t weight_bytes = 192u << 20;  // per type: far larger than the last-level cache
  int repetitions = 5;
  int threads = 1;
};

Result<KernelRateResult> measure_kernel_rate(DType dtype, const KernelRateOptions& options);

// The types worth measuring.
std::span<const DType> probed_weight_types();

}  // namespace tessera

#endif  // TESSERA_PROBE_KERNEL_RATES_H_
