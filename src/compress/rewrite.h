// Rewriting a checkpoint as a GGUF file, tensor by tensor, each with a type of the caller's choice: quantization by rounding, and
// conversion of Hugging Face folders. Memory stays at one tensor's rows in flight; all threads pack.
#ifndef TESSERA_COMPRESS_REWRITE_H_
#define TESSERA_COMPRESS_REWRITE_H_

#include <cstdint>
#include <string>

#include "base/function_ref.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"

namespace tessera {

struct RewriteOptions {
  std::string output;
  uint64_t file_type = 0;      // general.file_type
  bool quantized = false;      // sets general.quantization_version
};

struct RewriteSummary {
  uint64_t input_bytes = 0, output_bytes = 0;
  int64_t elements = 0;
  // Of the tensors whose type changed: sqrt(sum of squared errors / sum of squares).
  double relative_error = 0;
};

// type_of: the type to write; equal to the stored type means the bytes are copied. progress: bytes of input done, total;
// false stops (kCancelled) and leaves no file behind. kUnsupported for a type that the project does not write.
Result<RewriteSummary> rewrite_checkpoint(const Checkpoint& checkpoint, const RewriteOptions& options, ThreadPool& pool,
                                          FunctionRef<DType(const WeightInfo&)> type_of,
                                          FunctionRef<bool(uint64_t done, uint64_t total, const std::string& name)> progress);

}  // namespace tessera

#endif  // TESSERA_COMPRESS_REWRITE_H_
