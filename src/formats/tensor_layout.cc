#include "formats/tensor_layout.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "base/math.h"
#include "formats/text.h"

namespace tessera {
namespace {

constexpr uint64_t kMaxElements = std::numeric_limits<int64_t>::max();

}  // namespace

Result<WeightInfo> make_weight_info(std::string_view name, DType dtype, std::span<const uint64_t> dims) {
  std::array<int64_t, Shape::kMaxRank> shape{};
  uint64_t elements = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0) return invalid_argument("{}: dimension {} is zero", quotable(name), i);
    if (!checked_mul(elements, dims[i], &elements) || elements > kMaxElements) {
      return invalid_argument("{}: the product of its dimensions overflows", quotable(name));
    }
    shape[i] = static_cast<int64_t>(dims[i]);
  }
  const uint64_t cols = dims.empty() ? 1 : dims.back();
  const auto row = row_bytes(dtype, cols);
  uint64_t bytes = 0;
  if (row.has_value() && !checked_mul(elements / cols, *row, &bytes)) {
    return invalid_argument("{}: its size in bytes overflows", quotable(name));
  }
  if (!row.has_value()) {
    return invalid_argument("{}: expected rows of a multiple of {} elements for {}, found {}", quotable(name),
                            dtype_info(dtype).block_elements, to_string(dtype), cols);
  }
  return WeightInfo{std::string(name), dtype, Shape(std::span(shape).first(dims.size())), bytes};
}

Status check_ranges(std::span<const WeightInfo> weights, std::span<const ByteRange> ranges, uint64_t limit) {
  std::vector<size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return ranges[i].begin; });
  uint64_t previous_end = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    const size_t i = order[k];
    uint64_t end = 0;
    if (!checked_add(ranges[i].begin, ranges[i].bytes, &end) || end > limit) {
      return invalid_argument("{}: bytes {} + {} are outside of the file's {}", quotable(weights[i].name),
                              ranges[i].begin, ranges[i].bytes, limit);
    }
    if (k > 0 && ranges[i].begin < previous_end) {
      return invalid_argument("{}: overlaps {}", quotable(weights[i].name), quotable(weights[order[k - 1]].name));
    }
    previous_end = end;
  }
  return {};
}

void add_missing(uint64_t end, uint64_t file_bytes, uint64_t* missing) {
  if (end <= file_bytes) return;
  if (!checked_add(*missing, end - file_bytes, missing)) *missing = std::numeric_limits<uint64_t>::max();
}

std::string ggml_type_label(uint32_t type) {
  static constexpr std::array kKnown = {
      std::pair{9u, "q8_1"},     std::pair{15u, "q8_k"},  std::pair{16u, "iq2_xxs"}, std::pair{17u, "iq2_xs"},
      std::pair{18u, "iq3_xxs"}, std::pair{19u, "iq1_s"}, std::pair{21u, "iq3_s"},   std::pair{22u, "iq2_s"},
      std::pair{29u, "iq1_m"},   std::pair{34u, "tq1_0"}, std::pair{35u, "tq2_0"},   std::pair{40u, "nvfp4"},
  };
  for (const auto& [number, name] : kKnown) {
    if (number == type) return fmt::format("{} ({})", type, name);
  }
  return fmt::format("{}", type);
}

}  // namespace tessera
