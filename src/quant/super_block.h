// Two-level scales: 256 elements in sub-blocks, each sub-block's scale (and minimum) a small integer times an f16
// number of the whole super-block. The sub-block scales are searched alone first (scale_search.h), then rounded
// together: each small integer is chosen among its neighbours by the error that it really causes, and the f16 numbers
// are refitted by least squares for the codes so found, as long as the error falls. Private to quant/.
#ifndef TESSERA_QUANT_SUPER_BLOCK_H_
#define TESSERA_QUANT_SUPER_BLOCK_H_

#include <array>

#include "quant/k_quants.h"
#include "quant/scale_search.h"

namespace tessera {

// x = d scale[j] level(code)
struct ScaledBlock {
  float d = 0;  // exactly an f16 number
  std::array<int, 16> scale{};
  std::array<int, kSuperBlock> code{};
  float error = 0;
};

struct ScaledLayout {
  int sub_elements;
  int scale_low;  // negative, and the larger side
  int scale_high;
};

namespace internal {

// Small integers for a given d, then codes and the error.
template <class Levels>
ScaledBlock assign_scaled(const Levels& levels, const ScaledLayout& layout, const float* x, const float* importance,
                          const std::array<float, 16>& wanted, float d) {
  ScaledBlock block;
  block.d = d;
  const int n = layout.sub_elements;
  for (int j = 0; j < kSuperBlock / n; ++j) {
    const float* xs = x + j * n;
    const float* ws = importance ? importance + j * n : nullptr;
    const int middle =
        d != 0 ? nearest_int(wanted[static_cast<size_t>(j)] / d, layout.scale_low, layout.scale_high) : 0;
    float best_error = INFINITY;
    int best = middle;
    for (int s = std::max(middle - 1, layout.scale_low); s <= std::min(middle + 1, layout.scale_high); ++s) {
      const float error = scale_error(levels, xs, ws, n, d * static_cast<float>(s));
      if (error < best_error) best_error = error, best = s;
    }
    block.scale[static_cast<size_t>(j)] = best;
    block.error += best_error;
    const float scale = d * static_cast<float>(best);
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < n; ++i) block.code[static_cast<size_t>(j * n + i)] = levels.nearest(xs[i] * inverse);
  }
  return block;
}

}  // namespace internal

template <class Levels>
ScaledBlock pack_scaled(const Levels& levels, const ScaledLayout& layout, const float* x, const float* importance) {
  const int n = layout.sub_elements;
  std::array<float, 16> wanted{};
  float largest = 0;
  for (int j = 0; j < kSuperBlock / n; ++j) {
    const float scale = search_scale(levels, x + j * n, importance ? importance + j * n : nullptr, n);
    wanted[static_cast<size_t>(j)] = scale;
    if (std::fabs(scale) > std::fabs(largest)) largest = scale;
  }
  float d = round_f16(largest / static_cast<float>(layout.scale_low));
  ScaledBlock best = internal::assign_scaled(levels, layout, x, importance, wanted, d);
  for (int step = 0; step < 3 && best.d != 0; ++step) {
    float sum_xl = 0, sum_ll = 0;
    for (int i = 0; i < kSuperBlock; ++i) {
      const float level =
          levels.value(best.code[static_cast<size_t>(i)]) * static_cast<float>(best.scale[static_cast<size_t>(i / n)]);
      sum_xl += weight_of(importance, i) * x[i] * level;
      sum_ll += weight_of(importance, i) * level * level;
    }
    if (!(sum_ll > 0)) break;
    d = round_f16(sum_xl / sum_ll);
    const ScaledBlock next = internal::assign_scaled(levels, layout, x, importance, wanted, d);
    if (!(next.error < best.error)) break;
    best = next;
  }
  return best;
}

// x = d scale[j] code - dmin minimum[j]
struct AffineBlock {
  float d = 0;
  float dmin = 0;
  std::array<int, 16> scale{};
  std::array<int, 16> minimum{};
  std::array<int, kSuperBlock> code{};
  float error = 0;
};

struct AffineLayout {
  int sub_elements;
  int code_high;
  int scale_high;  // of scale and minimum
};

AffineBlock pack_affine_block(const AffineLayout& layout, const float* x, const float* importance);

}  // namespace tessera

#endif  // TESSERA_QUANT_SUPER_BLOCK_H_
