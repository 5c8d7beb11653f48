#include "formats/hf_weights.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "formats/tensor_layout.h"
#include "formats/text.h"

namespace tessera {
namespace {

struct Match {
  const WeightRule* rule;
  int64_t layer;  // -1 for names without a layer
};

// name against a pattern with at most one "{}". Layer numbers are plain digits without leading zeros.
std::optional<int64_t> match(std::string_view pattern, std::string_view name) {
  const size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) return pattern == name ? std::optional<int64_t>(-1) : std::nullopt;
  const std::string_view head = pattern.substr(0, hole), tail = pattern.substr(hole + 2);
  if (name.size() <= head.size() + tail.size() || !name.starts_with(head) || !name.ends_with(tail)) return {};
  const std::string_view digits = name.substr(head.size(), name.size() - head.size() - tail.size());
  if (digits.size() > 6 || (digits.size() > 1 && digits[0] == '0')) return {};
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
  if (error != std::errc() || end != digits.data() + digits.size() || layer < 0) return {};
  return layer;
}

std::optional<Match> find_rule(const HfFamily& family, std::string_view name) {
  if (name.starts_with(family.prefix)) name.remove_prefix(family.prefix.size());
  for (const WeightRule& rule : family.rules) {
    if (const auto layer = match(rule.huggingface, name)) return Match{&rule, *layer};
  }
  return {};
}

std::string gguf_name(const Match& match) {
  std::string name(match.rule->gguf);
  if (const size_t hole = name.find("{}"); hole != std::string::npos)
    name.replace(hole, 2, std::to_string(match.layer));
  return name;
}

bool is_weight_type(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF8E4M3;
}

// Stored row of row r: within a head, rows alternate between the first half and the second half.
int64_t paired_row(int64_t r, int64_t head_rows) {
  const int64_t head = r / head_rows, inside = r % head_rows;
  return head * head_rows + inside % 2 * (head_rows / 2) + inside / 2;
}

}  // namespace

int64_t HfWeights::heads_of(RowOrder order) const {
  return order == RowOrder::kPairKeyHeads ? settings_.kv_heads : settings_.heads;
}

Status HfWeights::check_order(const WeightInfo& weight, RowOrder order) const {
  if (order == RowOrder::kSame) return {};
  if (order == RowOrder::kTransposed) {
    if (weight.shape.rank() == 2) return {};
    return invalid_argument("{}: expected 2 dimensions, found {}", weight.name, weight.shape.to_string());
  }
  const int64_t heads = heads_of(order);
  if (heads > 0 && weight.shape.rank() <= 2 && weight.shape[0] % (2 * heads) == 0) return {};
  return invalid_argument("{}: expected {} heads of an even number of rows, found {}", weight.name, heads,
                          weight.shape.to_string());
}

Status HfWeights::add_weight(const SafetensorsEntry& entry, std::string name, RowOrder order) {
  const std::string shown = quotable(entry.name);
  if (!entry.dtype || !is_weight_type(*entry.dtype)) {
    return unsupported("{}: dtype: expected F32, F16, BF16 or F8_E4M3 for a weight, found {}", shown, entry.dtype_name);
  }
  if (entry.dims.empty() || entry.dims.size() > Shape::kMaxRank) {
    return invalid_argument("{}: shape: expected 1 to {} dimensions, found {}", shown, Shape::kMaxRank,
                            entry.dims.size());
  }
  std::vector<uint64_t> dims = entry.dims;
  if (order == RowOrder::kTransposed && dims.size() == 2) std::swap(dims[0], dims[1]);
  auto info = make_weight_info(name, *entry.dtype, dims);
  if (!info.ok()) return info.status().with_context(shown);
  TESSERA_RETURN_IF_ERROR(check_order(*info, order).with_context(shown));
  const auto [it, fresh] = origin_.emplace(std::move(name), entry.name);
  if (!fresh) return invalid_argument("{}: the weight is given twice, also as {}", shown, quotable(it->second));
  weights_.push_back(*std::move(info));
  places_.push_back({files_.size(), entry.begin, order});
  return {};
}

Status HfWeights::add_file(std::span<const SafetensorsEntry> entries, std::span<const std::byte> bytes,
                           std::shared_ptr<FileMap> file) {
  uint64_t end = 0;
  for (const SafetensorsEntry& entry : entries) {
    const auto found = find_rule(*settings_.family, entry.name);
    if (!found) {
      return unsupported("{}: not a weight of the {} family", quotable(entry.name), settings_.family->architecture);
    }
    if (found->layer >= settings_.layers) {
      return invalid_argument("{}: layer {} of a model with {} layers", quotable(entry.name), found->layer,
                              settings_.layers);
    }
    end = std::max(end, entry.begin + entry.bytes);
    std::string name = gguf_name(*found);
    if (name.empty() || (settings_.tied_embeddings && name == "output.weight")) continue;
    TESSERA_RETURN_IF_ERROR(add_weight(entry, std::move(name), found->rule->order));
  }
  add_missing(end, bytes.size(), &missing_bytes_);
  files_.push_back({bytes, std::move(file), {}});
  return {};
}

void HfWeights::add_computed(std::string name, std::vector<float> values) {
  const auto n = static_cast<int64_t>(values.size());
  weights_.push_back({name, DType::kF32, Shape({n}), values.size() * sizeof(float)});
  places_.push_back({files_.size(), 0, RowOrder::kSame});
  origin_.emplace(std::move(name), "");
  files_.push_back({{}, nullptr, std::move(values)});
  files_.back().bytes = std::as_bytes(std::span(files_.back().computed));
}

WeightBytes HfWeights::read_rows(const WeightInfo& weight, int64_t row_begin, int64_t row_end) const {
  TESSERA_CHECK(!settings_.options.header_only, "{} is read from a header", weight.name);
  const size_t index = index_of(weight);
  const WeightInfo& own = weights_[index];
  TESSERA_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= own.shape.rows(), "rows [{}, {}) of {}", row_begin,
                row_end, own.name);
  const Place& place = places_[index];
  const auto stored = files_[place.file].bytes.subspan(place.begin, own.bytes);
  const auto item = static_cast<size_t>(dtype_info(own.dtype).block_bytes);
  const auto cols = static_cast<size_t>(own.shape.cols());
  const size_t row = item * cols;
  const auto first = static_cast<size_t>(row_begin), count = static_cast<size_t>(row_end - row_begin);
  if (place.order == RowOrder::kSame) return {stored.subspan(first * row, count * row), {}};

  WeightBytes out{{}, std::vector<std::byte>(count * row)};
  std::byte* to = out.owned.data();
  if (place.order == RowOrder::kTransposed) {  // stored [cols, rows]
    const size_t stride = item * static_cast<size_t>(own.shape.rows());
    for (size_t c = 0; c < cols; ++c) {
      for (size_t r = 0; r < count; ++r) {
        std::memcpy(to + r * row + c * item, &stored[c * stride + (first + r) * item], item);
      }
    }
  } else if (own.shape.rank() == 1) {  // a bias: its elements are what elsewhere are rows
    const int64_t head_rows = own.shape.cols() / heads_of(place.order);
    for (size_t c = 0; c < cols && count > 0; ++c) {
      std::memcpy(to + c * item, &stored[static_cast<size_t>(paired_row(static_cast<int64_t>(c), head_rows)) * item],
                  item);
    }
  } else {
    const int64_t head_rows = own.shape.rows() / heads_of(place.order);
    for (int64_t r = row_begin; r < row_end; ++r, to += row) {
      std::memcpy(to, &stored[static_cast<size_t>(paired_row(r, head_rows)) * row], row);
    }
  }
  out.bytes = out.owned;
  return out;
}

void HfWeights::will_read(const WeightInfo& weight) const {
  const size_t index = index_of(weight);
  const File& file = files_[places_[index].file];
  // rope_freqs.weight is computed, not stored.
  if (file.map) file.map->will_read(places_[index].begin, weights_[index].bytes);
}

void HfWeights::release(const WeightInfo& weight) const {
  const size_t index = index_of(weight);
  const File& file = files_[places_[index].file];
  if (file.map) file.map->release(places_[index].begin, weights_[index].bytes);
}

}  // namespace tessera
