#include "cli/synth.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "cli/synth_weights.h"
#include "formats/gguf_writer.h"

namespace tessera {
namespace {

constexpr uint64_t kBufferBytes = 16u << 20;

struct Distribution {
  float mean = 0, stddev = 0;
};

// Outputs of every matrix about as large as its inputs, so that activations neither vanish nor overflow.
Distribution distribution_of(const SynthTensor& tensor) {
  switch (tensor.place.role) {
    case TensorRole::kNorm: return {1.0f, 0.02f};
    case TensorRole::kBias:
    case TensorRole::kEmbedding:
    case TensorRole::kPosition: return {0.0f, 0.02f};
    default: return {0.0f, 1.0f / std::sqrt(static_cast<float>(tensor.shape.cols()))};
  }
}

class Synthesizer {
 public:
  Synthesizer(const SynthOptions& options, FunctionRef<bool(uint64_t, uint64_t)> progress)
      : options_(options), progress_(progress), pool_(options.threads), buffer_(kBufferBytes) {}

  Result<SynthResult> run() {
    std::vector<GgufTensorOutput> outputs;
    for (const SynthTensor& tensor : synth_tensors(options_.shape)) {
      const DType dtype = recipe_dtype(options_.recipe, mix_model(options_.shape), tensor.place, tensor.shape);
      TESSERA_ASSIGN_OR_RETURN(const RandomBlocks* blocks, blocks_for(dtype, distribution_of(tensor)));
      const uint64_t seed = options_.seed * 0x9e3779b97f4a7c15u + outputs.size() + 1;
      result_.tensor_bytes += *row_bytes(dtype, tensor.shape.cols()) * tensor.shape.rows();
      result_.parameters += tensor.shape.elements();
      const Shape shape = tensor.shape;
      outputs.push_back({tensor.name, dtype, shape, [this, blocks, dtype, shape, seed](ByteSink sink) {
                           return produce(*blocks, dtype, shape, seed, sink);
                         }});
    }
    const Metadata metadata = synth_metadata(options_.shape, options_.recipe.file_type);
    TESSERA_RETURN_IF_ERROR(write_gguf(options_.output, metadata, outputs));
    return result_;
  }

 private:
  Result<const RandomBlocks*> blocks_for(DType dtype, Distribution d) {
    const auto key = std::tuple(dtype, d.mean, d.stddev);
    auto it = blocks_.find(key);
    if (it == blocks_.end()) {
      TESSERA_ASSIGN_OR_RETURN(RandomBlocks blocks, RandomBlocks::create(dtype, d.mean, d.stddev, options_.seed));
      it = blocks_.emplace(key, std::move(blocks)).first;
    }
    return &it->second;
  }

  // Rows in pieces of one buffer, filled by all threads; each row has its own seed.
  Status produce(const RandomBlocks& blocks, DType dtype, const Shape& shape, uint64_t seed, ByteSink sink) {
    const int64_t cols = shape.cols(), rows = shape.rows();
    const uint64_t stride = *row_bytes(dtype, cols);
    if (stride > kBufferBytes) return invalid_argument("rows of {} bytes: expected at most {}", stride, kBufferBytes);
    const auto rows_at_once = static_cast<int64_t>(kBufferBytes / stride);
    for (int64_t first = 0; first < rows; first += rows_at_once) {
      const int64_t count = std::min(rows_at_once, rows - first);
      pool_.parallel_for(count, 16, [&](int64_t begin, int64_t end, int) {
        for (int64_t row = begin; row < end; ++row) {
          blocks.fill(seed + static_cast<uint64_t>(first + row) * 0xd1342543de82ef95u, cols,
                      buffer_.data() + row * stride);
        }
      });
      const uint64_t bytes = static_cast<uint64_t>(count) * stride;
      TESSERA_RETURN_IF_ERROR(sink({buffer_.data(), bytes}));
      done_ += bytes;
      if (!progress_(done_, result_.tensor_bytes)) return Status(StatusCode::kCancelled, "cancelled");
    }
    return {};
  }

  const SynthOptions& options_;
  FunctionRef<bool(uint64_t, uint64_t)> progress_;
  ThreadPool pool_;
  AlignedBytes buffer_;
  std::map<std::tuple<DType, float, float>, RandomBlocks> blocks_;
  SynthResult result_;
  uint64_t done_ = 0;
};

}  // namespace

Result<SynthResult> synthesize(const SynthOptions& options, FunctionRef<bool(uint64_t, uint64_t)> progress) {
  TESSERA_RETURN_IF_ERROR(validate(options.shape));
  return Synthesizer(options, progress).run();
}

}  // namespace tessera
