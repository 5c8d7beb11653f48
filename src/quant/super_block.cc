#include "quant/super_block.h"

namespace tessera {
namespace {

using Fits = std::array<AffineFit, 16>;

// Scale and minimum of one sub-block: the best of the 3 x 3 neighbours of the wanted pair. Returns its error.
float choose_pair(const AffineLayout& layout, const float* x, const float* importance, const AffineFit& wanted,
                  AffineBlock* block, size_t j) {
  const int high = layout.scale_high;
  const int scale = block->d != 0 ? nearest_int(wanted.scale / block->d, 0, high) : 0;
  const int minimum = block->dmin != 0 ? nearest_int(-wanted.minimum / block->dmin, 0, high) : 0;
  float best = INFINITY;
  for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, high); ++s) {
    for (int m = std::max(minimum - 1, 0); m <= std::min(minimum + 1, high); ++m) {
      const float error = affine_error(layout.code_high, x, importance, layout.sub_elements,
                                       block->d * static_cast<float>(s), -block->dmin * static_cast<float>(m));
      if (error < best) {
        best = error;
        block->scale[j] = s;
        block->minimum[j] = m;
      }
    }
  }
  return best;
}

AffineBlock assign(const AffineLayout& layout, const float* x, const float* importance, const Fits& wanted, float d,
                   float dmin) {
  AffineBlock block;
  block.d = d;
  block.dmin = dmin;
  const int n = layout.sub_elements;
  for (int j = 0; j < kSuperBlock / n; ++j) {
    const auto index = static_cast<size_t>(j);
    const float* xs = x + j * n;
    block.error += choose_pair(layout, xs, importance ? importance + j * n : nullptr, wanted[index], &block, index);
    const float scale = d * static_cast<float>(block.scale[index]);
    const float minimum = -dmin * static_cast<float>(block.minimum[index]);
    for (int i = 0; i < n; ++i) {
      block.code[static_cast<size_t>(j * n + i)] = affine_level(layout.code_high, xs[i], scale, minimum);
    }
  }
  return block;
}

// Least squares for d and dmin with every small integer fixed. False when the data does not determine them.
bool refit(const AffineLayout& layout, const float* x, const float* importance, const AffineBlock& block, float* d,
           float* dmin) {
  double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
  for (int i = 0; i < kSuperBlock; ++i) {
    const auto j = static_cast<size_t>(i / layout.sub_elements);
    const double a = block.scale[j] * block.code[static_cast<size_t>(i)];
    const double b = -block.minimum[j];
    const double w = weight_of(importance, i);
    aa += w * a * a;
    ab += w * a * b;
    bb += w * b * b;
    xa += w * x[i] * a;
    xb += w * x[i] * b;
  }
  if (!(aa > 0)) return false;
  const double determinant = aa * bb - ab * ab;
  if (determinant > 1e-9 * aa * bb) {
    *d = round_f16(static_cast<float>((xa * bb - xb * ab) / determinant));
    *dmin = round_f16(static_cast<float>((xb * aa - xa * ab) / determinant));
  } else {
    *d = round_f16(static_cast<float>((xa - *dmin * ab) / aa));
  }
  return *d > 0 && *dmin >= 0;
}

}  // namespace

AffineBlock pack_affine_block(const AffineLayout& layout, const float* x, const float* importance) {
  const int n = layout.sub_elements;
  Fits wanted{};
  float scale = 0, minimum = 0;
  for (int j = 0; j < kSuperBlock / n; ++j) {
    AffineFit& fit = wanted[static_cast<size_t>(j)];
    fit =
        search_affine(layout.code_high, Minimum::kNotPositive, x + j * n, importance ? importance + j * n : nullptr, n);
    scale = std::max(scale, fit.scale);
    minimum = std::max(minimum, -fit.minimum);
  }
  float d = round_f16(scale / static_cast<float>(layout.scale_high));
  float dmin = round_f16(minimum / static_cast<float>(layout.scale_high));
  AffineBlock best = assign(layout, x, importance, wanted, d, dmin);
  for (int step = 0; step < 3; ++step) {
    if (!refit(layout, x, importance, best, &d, &dmin)) break;
    const AffineBlock next = assign(layout, x, importance, wanted, d, dmin);
    if (!(next.error < best.error)) break;
    best = next;
  }
  return best;
}

}  // namespace tessera
