#include "formats/gguf.h"

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#include "base/check.h"
#include "base/file_map.h"
#include "formats/gguf_header.h"
#include "formats/tensor_layout.h"
#include "formats/text.h"

namespace tessera {
namespace {

class GgufWeights final : public WeightSource {
 public:
  explicit GgufWeights(const OpenOptions& options) : options_(options) {}

  // `file` is null when the bytes are not a mapped file.
  Status add_shard(GgufHeader header, std::span<const std::byte> bytes, std::shared_ptr<FileMap> file) {
    const size_t shard = shards_.size();
    uint64_t end = 0;
    for (size_t i = 0; i < header.weights.size(); ++i) {
      if (!names_.insert(header.weights[i].name).second) {
        return invalid_argument("{}: tensor is in two files of the split set", quotable(header.weights[i].name));
      }
      weights_.push_back(std::move(header.weights[i]));
      places_.push_back({shard, header.offsets[i]});
      end = std::max(end, header.offsets[i] + weights_.back().bytes);
    }
    add_missing(end, bytes.size(), &missing_bytes_);
    shards_.push_back({bytes, std::move(file)});
    return {};
  }

  std::span<const WeightInfo> weights() const override { return weights_; }
  uint64_t missing_bytes() const { return missing_bytes_; }

  WeightBytes read_rows(const WeightInfo& weight, int64_t row_begin, int64_t row_end) const override {
    TESSERA_CHECK(!options_.header_only, "{} is read from a header", weight.name);
    const size_t index = index_of(weight);
    const WeightInfo& own = weights_[index];
    TESSERA_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= own.shape.rows(), "rows [{}, {}) of {}",
                  row_begin, row_end, own.name);
    const uint64_t row = own.bytes / static_cast<uint64_t>(own.shape.rows());
    const Place& place = places_[index];
    return {shards_[place.shard].bytes.subspan(place.offset + static_cast<uint64_t>(row_begin) * row,
                                               static_cast<uint64_t>(row_end - row_begin) * row),
            {}};
  }

  bool header_only() const override { return options_.header_only; }

  void will_read(const WeightInfo& weight) const override {
    const size_t index = index_of(weight);
    const Shard& shard = shards_[places_[index].shard];
    if (shard.file) shard.file->will_read(places_[index].offset, weights_[index].bytes);
  }

  void release(const WeightInfo& weight) const override {
    const size_t index = index_of(weight);
    const Shard& shard = shards_[places_[index].shard];
    if (shard.file) shard.file->release(places_[index].offset, weights_[index].bytes);
  }

 private:
  struct Shard {
    std::span<const std::byte> bytes;
    std::shared_ptr<FileMap> file;
  };
  struct Place {
    size_t shard;
    uint64_t offset;
  };

  OpenOptions options_;
  std::vector<Shard> shards_;
  std::vector<WeightInfo> weights_;
  std::vector<Place> places_;
  std::unordered_set<std::string> names_;
  uint64_t missing_bytes_ = 0;
};

// Place of a file in a split set, from its metadata; count is 1 for an ordinary file.
struct SplitPlace {
  uint64_t number = 0;
  uint64_t count = 1;
};

Result<SplitPlace> split_place(const Metadata& metadata) {
  SplitPlace place;
  TESSERA_ASSIGN_OR_RETURN(place.count, Metadata::value_or(metadata.u64("split.count"), uint64_t{1}));
  TESSERA_ASSIGN_OR_RETURN(place.number, Metadata::value_or(metadata.u64("split.no"), uint64_t{0}));
  if (place.count == 0) place.count = 1;  // written by some tools into whole files
  if (place.count > 99999) return invalid_argument("split.count: expected at most 99999, found {}", place.count);
  if (place.number >= place.count) {
    return invalid_argument("split.no: expected less than split.count = {}, found {}", place.count, place.number);
  }
  return place;
}

std::string split_suffix(uint64_t number, uint64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", number + 1, count);
}

// "dir/name" of "dir/name-00001-of-00003.gguf".
Result<std::string> split_stem(const std::string& path, const SplitPlace& place) {
  const std::string suffix = split_suffix(place.number, place.count);
  if (!path.ends_with(suffix)) {
    return invalid_argument("split.count: file {} of {}; its name must end in {}", place.number + 1, place.count,
                            suffix);
  }
  const std::string stem = path.substr(0, path.size() - suffix.size());
  if (place.number != 0) {
    return invalid_argument("split.no: this is file {} of {}; open the first one, {}{}", place.number + 1, place.count,
                            stem, split_suffix(0, place.count));
  }
  return stem;
}

struct OpenedFile {
  GgufHeader header;
  std::shared_ptr<FileMap> map;
};

Result<OpenedFile> open_file(const std::string& path, const OpenOptions& options) {
  TESSERA_ASSIGN_OR_RETURN(auto map, FileMap::open(path));
  auto header = parse_gguf_header(map->bytes(), options);
  if (!header.ok()) return header.status().with_context(path);
  return OpenedFile{*std::move(header), std::move(map)};
}

// Files 2 .. count of the set.
Status add_siblings(const std::string& stem, uint64_t count, const OpenOptions& options, GgufWeights* weights) {
  for (uint64_t i = 1; i < count; ++i) {
    const std::string path = stem + split_suffix(i, count);
    TESSERA_ASSIGN_OR_RETURN(OpenedFile file, open_file(path, options));
    const auto place = split_place(file.header.metadata);
    if (!place.ok()) return place.status().with_context(path);
    if (place->number != i || place->count != count) {
      return invalid_argument("{}: expected file {} of {} of the split set, found file {} of {}", path, i + 1, count,
                              place->number + 1, place->count);
    }
    const auto bytes = file.map->bytes();
    TESSERA_RETURN_IF_ERROR(weights->add_shard(std::move(file.header), bytes, std::move(file.map)).with_context(path));
  }
  return {};
}

}  // namespace

Result<Checkpoint> open_gguf(const std::string& path, const OpenOptions& options) {
  TESSERA_ASSIGN_OR_RETURN(OpenedFile file, open_file(path, options));
  Checkpoint checkpoint{path, "gguf", std::move(file.header.metadata), nullptr, 0};
  auto weights = std::make_unique<GgufWeights>(options);
  const auto bytes = file.map->bytes();
  TESSERA_RETURN_IF_ERROR(weights->add_shard(std::move(file.header), bytes, std::move(file.map)).with_context(path));
  const auto place = split_place(checkpoint.metadata);
  if (!place.ok()) return place.status().with_context(path);
  if (place->count > 1) {
    const auto stem = split_stem(path, *place);
    if (!stem.ok()) return stem.status().with_context(path);
    TESSERA_RETURN_IF_ERROR(add_siblings(*stem, place->count, options, weights.get()));
    const auto total = Metadata::value_or(checkpoint.metadata.u64("split.tensors.count"),
                                          static_cast<uint64_t>(weights->weights().size()));
    if (!total.ok()) return total.status().with_context(path);
    if (*total != weights->weights().size()) {
      return invalid_argument("{}: split.tensors.count: expected {} tensors in all files, found {}", path, *total,
                              weights->weights().size());
    }
  }
  weights->index_names();
  checkpoint.missing_bytes = weights->missing_bytes();
  checkpoint.weights = std::move(weights);
  return checkpoint;
}

Result<Checkpoint> gguf_from_memory(std::span<const std::byte> bytes, const OpenOptions& options) {
  TESSERA_ASSIGN_OR_RETURN(GgufHeader header, parse_gguf_header(bytes, options));
  TESSERA_ASSIGN_OR_RETURN(const SplitPlace place, split_place(header.metadata));
  if (place.count > 1) return unsupported("split.count: a file of a split set cannot be opened from memory");
  Checkpoint checkpoint{"", "gguf", std::move(header.metadata), nullptr, 0};
  auto weights = std::make_unique<GgufWeights>(options);
  TESSERA_RETURN_IF_ERROR(weights->add_shard(std::move(header), bytes, nullptr));
  weights->index_names();
  checkpoint.missing_bytes = weights->missing_bytes();
  checkpoint.weights = std::move(weights);
  return checkpoint;
}

}  // namespace tessera
