// Measured times, from a paper (share/measured) or from `tessera bench` (results.json): what constants are fitted to
// and predictions are compared with.
#ifndef TESSERA_PLANNER_MEASURED_H_
#define TESSERA_PLANNER_MEASURED_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "planner/cost.h"
#include "planner/memory.h"

namespace tessera {

struct MeasuredPoint {
  std::string where;  // "B.1": figure, table or test
  ModelShape model;
  Partition partition;
  Pass pass;
  NumberTypes types;
  int64_t chunk_tokens = 0;  // > 0: a prompt passes in pieces of so many tokens
  int64_t steps = 0;   // > 0: the pass is a prefill, followed by so many decode steps, timed together
  std::shared_ptr<const HardwareSpec> machine;  // as probed around the measurement; null: the description asked about
  double seconds = 0;  // of one pass, or of pass and steps
  bool fit = false;    // the constants of the shipped description were fitted to it
  // The description with its constants, the rates of `machine`.
  const HardwareSpec& with_rates(const HardwareSpec& hardware, HardwareSpec* storage) const;
  bool decode() const { return pass.tokens == 1; }
};

double predicted_seconds(const HardwareSpec& hardware, const MeasuredPoint& point);

// Shipped file by name ("pope2022") or the text of a file in its format.
Result<std::vector<MeasuredPoint>> parse_measured(std::string_view json, std::string_view where,
                                                  const HardwareSpec& hardware);
Result<std::vector<MeasuredPoint>> shipped_measured(std::string_view name, const HardwareSpec& hardware);

// results.json of `tessera bench`: an array of records, or one record a line, with llama-bench's field names. Used
// here: model_filename, type_k, type_v, n_batch, n_prompt, n_gen, n_depth, n_seqs (1), avg_ns, samples_ns, predicted_ns and,
// "machine" and, when the model file is gone, "shape" (an object with the fields of share/models) and weight_type. Times of n_gen tokens become one step at
// the middle depth.
struct BenchRecord {
  MeasuredPoint point;
  double recorded_prediction = 0;  // seconds of one pass, as bench predicted it; 0 = absent
  double peak_resident_bytes = 0;
  MemoryRequest memory;            // n_ctx, n_ctx_used, n_ctx_seqs, n_batch and n_tokens_read, or what the test itself needs
};
// An object {"machines": [...], "records": [...]} gives the hardware descriptions that the records name by "machine".
Result<std::vector<BenchRecord>> parse_bench_results(std::string_view text, std::string_view where);

// The measurements of this engine that its shipped constants were fitted to (share/measured/engine.json).
Result<std::vector<BenchRecord>> engine_measurements();

// What bench asks before it measures: the time of a test, all its tokens together (predicted_ns), and the memory.
struct BenchTest {
  int64_t prompt_tokens = 0, generated_tokens = 0, depth = 0, sequences = 1;
  int64_t batch_tokens = kEngineChunkTokens;
  // For memory: what the engine was opened for and has read; 0: only this test, once.
  int64_t context_tokens = 0, used_context = 0, most_sequences = 0, tokens_read = 0;
  double kv_element_bytes = 2;
};
struct BenchPrediction {
  double seconds = 0;
  double relative_error = 0;
  double peak_bytes = 0;
  bool below_calibrated_size = false;  // then relative_error is kUncalibratedError
};
BenchPrediction predict_bench(const ModelShape& model, const HardwareSpec& hardware, const BenchTest& test);

}  // namespace tessera

#endif  // TESSERA_PLANNER_MEASURED_H_
