#include "model/weight_binder.h"

#include "formats/text.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

// The rows of a weight, as Linear::pack() reads them.
auto rows_of(const WeightSource& source, const WeightInfo& info) {
  return [&source, &info](int64_t begin, int64_t end, FunctionRef<void(const std::byte*)> use) {
    const WeightBytes bytes = source.read_rows(info, begin, end);
    use(bytes.bytes.data());
  };
}

}  // namespace

WeightBinder::WeightBinder(const WeightSource& source, ThreadPool& pool, LoadProgress progress)
    : source_(source), pool_(pool), progress_(progress), read_ahead_(source), used_(source.weights().size()) {
  for (const WeightInfo& info : source.weights()) total_bytes_ += info.bytes;
}

Result<const WeightInfo*> WeightBinder::expect(const std::string& name, const Shape& shape) const {
  const WeightInfo* info = source_.find(name);
  if (info == nullptr) return not_found("{}: no such tensor, expected {}", name, shape.to_string());
  if (info->shape != shape) {
    return invalid_argument("{}: expected {}, found {}", name, shape.to_string(), info->shape.to_string());
  }
  if (block_format(info->dtype) == nullptr) {
    return unsupported("{}: expected a weight type, found {}", name, to_string(info->dtype));
  }
  return info;
}

Status WeightBinder::all_used(const std::string& architecture) const {
  for (size_t i = 0; i < used_.size(); ++i) {
    const WeightInfo& info = source_.weights()[i];
    // Tables that some converters write and that follow from the metadata.
    if (used_[i] || info.name.ends_with(".attn_rot_embd.freqs") || info.name.ends_with(".rotary_emb.inv_freq")) continue;
    return unsupported("{}: this tensor has no place in a model of the architecture {}", quotable(info.name),
                       quotable(architecture));
  }
  return {};
}

Status WeightBinder::done(const WeightInfo& info) {
  uses(info);
  source_.release(info);
  read_ahead_.packed(info.bytes);
  done_bytes_ += info.bytes;
  if (!progress_(done_bytes_, total_bytes_)) return {StatusCode::kCancelled, "loading was cancelled"};
  return {};
}

Result<Linear> WeightBinder::finish(const std::string& name, const WeightInfo& info, Result<Linear> packed) {
  if (!packed.ok()) return packed.status().with_context(info.name);
  TESSERA_RETURN_IF_ERROR(done(info));
  Linear result = *std::move(packed);
  if (has(name + ".bias")) {
    TESSERA_ASSIGN_OR_RETURN(std::vector<float> bias, vector(name + ".bias", result.rows()));
    result.set_bias(std::move(bias));
  }
  return result;
}

Result<Linear> WeightBinder::matrix(const std::string& name, int64_t rows, int64_t cols) {
  TESSERA_ASSIGN_OR_RETURN(const WeightInfo* info, expect(name + ".weight", {rows, cols}));
  const auto read_rows = rows_of(source_, *info);
  return finish(name, *info, Linear::pack({info->dtype, rows, cols, read_rows}, pool_));
}

Result<std::array<Linear, 2>> WeightBinder::matrices(const std::string& first, const std::string& second, int64_t rows,
                                                     int64_t cols) {
  TESSERA_ASSIGN_OR_RETURN(const WeightInfo* a, expect(first + ".weight", {rows, cols}));
  TESSERA_ASSIGN_OR_RETURN(const WeightInfo* b, expect(second + ".weight", {rows, cols}));
  std::array<Linear, 2> pair;
  if (a->dtype == b->dtype) {
    const auto read_a = rows_of(source_, *a), read_b = rows_of(source_, *b);
    auto packed = Linear::pack_pair({a->dtype, rows, cols, read_a}, {b->dtype, rows, cols, read_b}, pool_);
    if (!packed.ok()) return packed.status().with_context(a->name);
    TESSERA_ASSIGN_OR_RETURN(pair[0], finish(first, *a, std::move((*packed)[0])));
    TESSERA_ASSIGN_OR_RETURN(pair[1], finish(second, *b, std::move((*packed)[1])));
  } else {
    TESSERA_ASSIGN_OR_RETURN(pair[0], matrix(first, rows, cols));
    TESSERA_ASSIGN_OR_RETURN(pair[1], matrix(second, rows, cols));
  }
  return pair;
}

Result<std::vector<float>> WeightBinder::vector(const std::string& full_name, int64_t elements) {
  TESSERA_ASSIGN_OR_RETURN(const WeightInfo* info, expect(full_name, {elements}));
  std::vector<float> values(static_cast<size_t>(elements));
  unpack_rows(info->dtype, source_.read(*info).bytes.data(), 1, elements, values.data());
  TESSERA_RETURN_IF_ERROR(done(*info));
  return values;
}

Result<std::vector<float>> WeightBinder::floats(const std::string& full_name, int64_t rows, int64_t cols) {
  TESSERA_ASSIGN_OR_RETURN(const WeightInfo* info, expect(full_name, {rows, cols}));
  std::vector<float> values(static_cast<size_t>(rows * cols));
  unpack_rows(info->dtype, source_.read(*info).bytes.data(), rows, cols, values.data());
  TESSERA_RETURN_IF_ERROR(done(*info));
  return values;
}

}  // namespace tessera
