#include "compress/rewrite.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "formats/gguf_writer.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

constexpr int64_t kElementsAtOnce = int64_t{1} << 22;  // rows in flight: 16 MB as f32

class Rewriter {
 public:
  using Progress = FunctionRef<bool(uint64_t, uint64_t, const std::string&)>;

  Rewriter(const Checkpoint& checkpoint, ThreadPool& pool, Progress progress)
      : weights_(*checkpoint.weights), pool_(pool), progress_(progress) {
    for (const WeightInfo& info : weights_.weights()) summary_.input_bytes += info.bytes;
  }

  Result<GgufTensorOutput> plan(const WeightInfo& info, DType dtype) {
    const BlockFormat* from = block_format(info.dtype);
    const BlockFormat* to = block_format(dtype);
    if (dtype != info.dtype && (from == nullptr || to == nullptr || to->pack == nullptr)) {
      return unsupported("{}: {} cannot be written as {}", info.name, to_string(info.dtype), to_string(dtype));
    }
    const auto bytes = row_bytes(dtype, static_cast<uint64_t>(info.shape.cols()));
    if (!bytes) {
      return invalid_argument("{}: rows of {} numbers are no multiple of the {} numbers of a {} block", info.name, info.shape.cols(),
                              dtype_info(dtype).block_elements, to_string(dtype));
    }
    summary_.output_bytes += *bytes * static_cast<uint64_t>(info.shape.rows());
    summary_.elements += info.shape.elements();
    return GgufTensorOutput{info.name, dtype, info.shape,
                            [this, &info, dtype](ByteSink sink) { return produce(info, dtype, sink); }};
  }

  RewriteSummary summary() const {
    RewriteSummary result = summary_;
    result.relative_error = squares_ > 0 ? std::sqrt(squared_error_ / squares_) : 0;
    return result;
  }

 private:
  Status produce(const WeightInfo& info, DType dtype, ByteSink sink) {
    const int64_t rows = info.shape.rows();
    const int64_t rows_at_once = std::clamp<int64_t>(kElementsAtOnce / info.shape.cols(), 1, rows);
    for (int64_t begin = 0; begin < rows; begin += rows_at_once) {
      const int64_t count = std::min(rows_at_once, rows - begin);
      const WeightBytes stored = weights_.read_rows(info, begin, begin + count);
      if (dtype == info.dtype) {
        TESSERA_RETURN_IF_ERROR(sink(stored.bytes));
      } else {
        pack(info, dtype, stored.bytes, count);
        TESSERA_RETURN_IF_ERROR(sink(packed_));
      }
      done_bytes_ += stored.bytes.size();
      if (!progress_(done_bytes_, summary_.input_bytes, info.name)) return {StatusCode::kCancelled, "stopped; nothing was written"};
    }
    weights_.release(info);
    return {};
  }

  // `count` stored rows -> packed_; adds up the error.
  void pack(const WeightInfo& info, DType dtype, std::span<const std::byte> stored, int64_t count) {
    const int64_t cols = info.shape.cols();
    const auto from_bytes = static_cast<int64_t>(stored.size()) / count;
    const auto to_bytes = static_cast<int64_t>(*row_bytes(dtype, static_cast<uint64_t>(cols)));
    const BlockFormat &from = *block_format(info.dtype), &to = *block_format(dtype);
    packed_.resize(static_cast<size_t>(count * to_bytes));
    std::vector<double> errors(static_cast<size_t>(count)), squares(static_cast<size_t>(count));
    const int64_t grain = std::max<int64_t>(1, 16384 / cols);
    pool_.parallel_for(count, grain, [&](int64_t begin, int64_t end, int) {
      std::vector<float> values(static_cast<size_t>(cols)), back(static_cast<size_t>(cols));
      for (int64_t r = begin; r < end; ++r) {
        from.unpack(stored.data() + r * from_bytes, values.data(), cols);
        to.pack(values.data(), nullptr, packed_.data() + r * to_bytes, cols);
        to.unpack(packed_.data() + r * to_bytes, back.data(), cols);
        for (int64_t i = 0; i < cols; ++i) {
          const double error = static_cast<double>(values[i]) - back[i];
          errors[r] += error * error;
          squares[r] += static_cast<double>(values[i]) * values[i];
        }
      }
    });
    for (int64_t r = 0; r < count; ++r) {
      squared_error_ += errors[r];
      squares_ += squares[r];
    }
  }

  const WeightSource& weights_;
  ThreadPool& pool_;
  Progress progress_;
  RewriteSummary summary_;
  uint64_t done_bytes_ = 0;
  double squared_error_ = 0, squares_ = 0;
  std::vector<std::byte> packed_;
};

}  // namespace

Result<RewriteSummary> rewrite_checkpoint(const Checkpoint& checkpoint, const RewriteOptions& options, ThreadPool& pool,
                                          FunctionRef<DType(const WeightInfo&)> type_of,
                                          FunctionRef<bool(uint64_t, uint64_t, const std::string&)> progress) {
  Rewriter rewriter(checkpoint, pool, progress);
  std::vector<GgufTensorOutput> outputs;
  for (const WeightInfo& info : checkpoint.weights->weights()) {
    TESSERA_ASSIGN_OR_RETURN(GgufTensorOutput output, rewriter.plan(info, type_of(info)));
    outputs.push_back(std::move(output));
  }
  Metadata metadata = checkpoint.metadata;
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) metadata.erase(key);
  metadata.set("general.file_type", MetadataValue(MetadataScalar(static_cast<uint32_t>(options.file_type))));
  if (options.quantized) metadata.set("general.quantization_version", MetadataValue(MetadataScalar(uint32_t{2})));
  TESSERA_RETURN_IF_ERROR(write_gguf(options.output, metadata, outputs));
  return rewriter.summary();
}

}  // namespace tessera
