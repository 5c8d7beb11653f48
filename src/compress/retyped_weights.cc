#include "compress/retyped_weights.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "compress/weight_recipe.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

class RetypedWeights final : public WeightSource {
 public:
  RetypedWeights(std::unique_ptr<WeightSource> stored, std::vector<WeightInfo> weights)
      : stored_(std::move(stored)), weights_(std::move(weights)) {
    index_names();
  }

  std::span<const WeightInfo> weights() const override { return weights_; }
  bool header_only() const override { return stored_->header_only(); }
  void will_read(const WeightInfo& weight) const override { stored_->will_read(stored_info(weight)); }
  void release(const WeightInfo& weight) const override { stored_->release(stored_info(weight)); }

  WeightBytes read_rows(const WeightInfo& weight, int64_t row_begin, int64_t row_end) const override {
    const WeightInfo &from = stored_info(weight), &to = weights_[index_of(weight)];
    WeightBytes bytes = stored_->read_rows(from, row_begin, row_end);
    if (from.dtype == to.dtype) return bytes;
    const BlockFormat &unpack = *block_format(from.dtype), &pack = *block_format(to.dtype);
    const int64_t rows = row_end - row_begin, cols = to.shape.cols();
    const size_t from_bytes = bytes.bytes.size() / static_cast<size_t>(std::max<int64_t>(1, rows));
    const auto to_bytes = static_cast<size_t>(*row_bytes(to.dtype, static_cast<uint64_t>(cols)));
    WeightBytes result;
    result.owned.resize(static_cast<size_t>(rows) * to_bytes);
    std::vector<float> values(static_cast<size_t>(cols));
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      unpack.unpack(bytes.bytes.data() + r * from_bytes, values.data(), cols);
      pack.pack(values.data(), nullptr, result.owned.data() + r * to_bytes, cols);
    }
    result.bytes = result.owned;
    return result;
  }

 private:
  const WeightInfo& stored_info(const WeightInfo& weight) const { return stored_->weights()[index_of(weight)]; }

  std::unique_ptr<WeightSource> stored_;
  std::vector<WeightInfo> weights_;  // in the order of the stored ones
};

bool is_layer_matrix(TensorRole role) {
  switch (role) {
    case TensorRole::kQuery:
    case TensorRole::kKey:
    case TensorRole::kValue:
    case TensorRole::kFusedQkv:
    case TensorRole::kAttentionOut:
    case TensorRole::kGate:
    case TensorRole::kUp:
    case TensorRole::kDown: return true;
    default: return false;
  }
}

// Measured on the shipped model (docs/performance.md): a head as W8 would add 40 % to the divergence, and it is one product
// a token, bound by memory, in which W8 is no faster than q8_0.
DType w8_type(const WeightInfo& info, bool tied) {
  const TensorRole role = place_of(info.name).role;
  const bool weight = info.shape.rank() == 2 && block_format(info.dtype) != nullptr;
  if (weight && is_layer_matrix(role)) return DType::kW8;
  const bool head = role == TensorRole::kOutput || (tied && role == TensorRole::kEmbedding);
  const bool fits = info.shape.rank() == 2 && info.shape.cols() % dtype_info(DType::kQ8_0).block_elements == 0;
  return weight && head && fits && !dtype_info(info.dtype).quantized ? DType::kQ8_0 : info.dtype;
}

DType bf16_type(const WeightInfo& info, bool tied) {
  const TensorRole role = place_of(info.name).role;
  const bool multiplied = is_layer_matrix(role) || role == TensorRole::kOutput || (tied && role == TensorRole::kEmbedding);
  const bool wide = info.dtype == DType::kF16 || info.dtype == DType::kF32;
  return multiplied && wide && info.shape.rank() == 2 ? DType::kBF16 : info.dtype;
}

}  // namespace

Result<std::unique_ptr<WeightSource>> retype_weights(std::unique_ptr<WeightSource> weights,
                                                           FunctionRef<DType(const WeightInfo&)> type_of) {
  std::vector<WeightInfo> infos;
  for (WeightInfo info : weights->weights()) {
    const DType dtype = type_of(info);
    const BlockFormat *from = block_format(info.dtype), *to = block_format(dtype);
    const auto bytes = row_bytes(dtype, static_cast<uint64_t>(info.shape.cols()));
    if (dtype != info.dtype) {
      if (from == nullptr || to == nullptr || to->pack == nullptr || !bytes) {
        return unsupported("{}: {} {} cannot be loaded as {}", info.name, to_string(info.dtype), info.shape.to_string(),
                           to_string(dtype));
      }
      info.dtype = dtype;
      info.bytes = *bytes * static_cast<uint64_t>(info.shape.rows());
    }
    infos.push_back(std::move(info));
  }
  return std::unique_ptr<WeightSource>(std::make_unique<RetypedWeights>(std::move(weights), std::move(infos)));
}

Result<std::unique_ptr<WeightSource>> choose_weights(std::unique_ptr<WeightSource> weights, WeightChoice choice) {
  if (choice == WeightChoice::kStored) return weights;
  const bool tied = weights->find("output.weight") == nullptr;
  return retype_weights(std::move(weights), [&](const WeightInfo& info) {
    if (choice == WeightChoice::kW8) return w8_type(info, tied);
    if (choice == WeightChoice::kBf16) return bf16_type(info, tied);
    return block_format(info.dtype) != nullptr ? DType::kF32 : info.dtype;
  });
}

}  // namespace tessera
