// WeightBinder: from names in a WeightSource to packed operators. Checks shapes, packs in parallel, gives file pages back and
// reports progress; layers and file formats do not know each other.
#ifndef TESSERA_MODEL_WEIGHT_BINDER_H_
#define TESSERA_MODEL_WEIGHT_BINDER_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "formats/weight_source.h"
#include "model/read_ahead.h"
#include "model/transformer.h"
#include "ops/linear.h"

namespace tessera {

class WeightBinder {
 public:
  WeightBinder(const WeightSource& source, ThreadPool& pool, LoadProgress progress);

  bool has(std::string_view name) const { return source_.find(name) != nullptr; }
  // The weight is used by someone else than this binder.
  void uses(const WeightInfo& info) { used_[static_cast<size_t>(&info - source_.weights().data())] = true; }
  // kUnsupported when a weight was not bound: the model would run, and be wrong.
  Status all_used(const std::string& architecture) const;

  // "<name>.weight" [rows, cols], with "<name>.bias" [rows] when the file has one. kNotFound without the weight.
  Result<Linear> matrix(const std::string& name, int64_t rows, int64_t cols);
  // Two of them, whose panels alternate in memory when they have one type (Linear::pack_pair).
  Result<std::array<Linear, 2>> matrices(const std::string& first, const std::string& second, int64_t rows,
                                         int64_t cols);
  // A vector as f32. kNotFound when absent.
  Result<std::vector<float>> vector(const std::string& full_name, int64_t elements);
  // A matrix unpacked to f32 [rows, cols] (position embeddings).
  Result<std::vector<float>> floats(const std::string& full_name, int64_t rows, int64_t cols);

 private:
  Result<const WeightInfo*> expect(const std::string& name, const Shape& shape) const;
  Status done(const WeightInfo& info);
  // `packed` is what the weight became: adds its bias, or its name to the error.
  Result<Linear> finish(const std::string& name, const WeightInfo& info, Result<Linear> packed);

  const WeightSource& source_;
  ThreadPool& pool_;
  LoadProgress progress_;
  ReadAhead read_ahead_;
  uint64_t done_bytes_ = 0;
  uint64_t total_bytes_ = 0;
  std::vector<bool> used_;  // by position in the source
};

}  // namespace tessera

#endif  // TESSERA_MODEL_WEIGHT_BINDER_H_
