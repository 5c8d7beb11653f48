// Weights of a Hugging Face folder under GGUF names and in GGUF's row order (see hf_family.h for the rules). Rows that
// lie in the wanted order are given straight from the mapped file; the others are gathered when they are read.
#ifndef TESSERA_FORMATS_HF_WEIGHTS_H_
#define TESSERA_FORMATS_HF_WEIGHTS_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file_map.h"
#include "formats/hf_family.h"
#include "formats/safetensors.h"
#include "formats/weight_source.h"

namespace tessera {

struct HfWeightSettings {
  const HfFamily* family = nullptr;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  bool tied_embeddings = false;  // then lm_head.weight is a copy, and left out
  OpenOptions options;
};

class HfWeights final : public WeightSource {
 public:
  explicit HfWeights(const HfWeightSettings& settings) : settings_(settings) {}

  // `file` is null when the bytes are not a mapped file. Unknown weights and types are refused: leaving one out in
  // silence would give a model that runs and is wrong.
  Status add_file(std::span<const SafetensorsEntry> entries, std::span<const std::byte> bytes,
                  std::shared_ptr<FileMap> file);
  // A weight that is computed instead of stored.
  void add_computed(std::string name, std::vector<float> values);

  std::span<const WeightInfo> weights() const override { return weights_; }
  uint64_t missing_bytes() const { return missing_bytes_; }
  WeightBytes read_rows(const WeightInfo& weight, int64_t row_begin, int64_t row_end) const override;
  bool header_only() const override { return settings_.options.header_only; }
  void will_read(const WeightInfo& weight) const override;
  void release(const WeightInfo& weight) const override;

 private:
  struct Place {
    size_t file = 0;
    uint64_t begin = 0;
    RowOrder order = RowOrder::kSame;
  };
  struct File {
    std::span<const std::byte> bytes;
    std::shared_ptr<FileMap> map;
    std::vector<float> computed;  // what `bytes` points to, for add_computed
  };

  Status add_weight(const SafetensorsEntry& entry, std::string name, RowOrder order);
  Status check_order(const WeightInfo& weight, RowOrder order) const;
  int64_t heads_of(RowOrder order) const;

  HfWeightSettings settings_;
  std::vector<File> files_;
  std::vector<WeightInfo> weights_;
  std::vector<Place> places_;
  std::unordered_map<std::string, std::string> origin_;  // GGUF name -> Hugging Face name, to find duplicates
  uint64_t missing_bytes_ = 0;
};

}  // namespace tessera

#endif  // TESSERA_FORMATS_HF_WEIGHTS_H_
