// AVX-512 without VNNI: float weights (F32, F16, BF16 with f32 activations) and the preparation of activations.
//
// Float tiles: 32 rows x up to 12 tokens, 24 registers of sums, weights widened to f32 on the way; bound: the f32 FMA
// peak.
#include <immintrin.h>

#include "kernels/layers.h"
#include "kernels/matmul_common.h"
#include "kernels/matmul_kernels.h"

namespace tessera::avx512 {
namespace {

constexpr int kR = kPanelRows;

struct RowsF32 {
  const float* w;
  inline __attribute__((always_inline)) __m512 at(int64_t k, int h) const {
    return _mm512_loadu_ps(w + k * kR + 16 * h);
  }
};
struct RowsF16 {
  const uint16_t* w;
  inline __attribute__((always_inline)) __m512 at(int64_t k, int h) const {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + k * kR + 16 * h)));
  }
};
struct RowsBf16 {
  const uint16_t* w;
  inline __attribute__((always_inline)) __m512 at(int64_t k, int h) const {
    const __m512i pair = _mm512_loadu_si512(w + (k / 2 * kR + 16 * h) * 2);
    return _mm512_castsi512_ps(k % 2 == 0 ? _mm512_slli_epi32(pair, 16)
                                          : _mm512_and_si512(pair, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
  }
};

template <class Source, int W>
void float_tile(const Source& w, const FloatTask& task) {
  const auto* x = static_cast<const float*>(task.x);
  const TileOutput& out = task.out;
  __m512 acc[W][2];
#pragma GCC unroll 12
  for (int t = 0; t < W; ++t) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      acc[t][h] = out.c_in != nullptr ? _mm512_loadu_ps(out.c_in + t * out.c_in_stride + 16 * h) : _mm512_setzero_ps();
    }
  }
  const auto step = [&](int64_t k) __attribute__((always_inline)) {
    const __m512 w0 = w.at(k, 0), w1 = w.at(k, 1);
#pragma GCC unroll 12
    for (int t = 0; t < W; ++t) {
      const __m512 xs = _mm512_set1_ps(x[k * W + t]);
      acc[t][0] = _mm512_fmadd_ps(w0, xs, acc[t][0]);
      acc[t][1] = _mm512_fmadd_ps(w1, xs, acc[t][1]);
    }
  };
  int64_t k = 0;
  for (; k + 2 <= task.cols; k += 2) {
    step(k);
    step(k + 1);
  }
  if (k < task.cols) step(k);
#pragma GCC unroll 12
  for (int t = 0; t < W; ++t) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      __m512 y = acc[t][h];
      if (out.add != nullptr) y = _mm512_add_ps(y, _mm512_loadu_ps(out.add + t * out.add_stride + 16 * h));
      _mm512_storeu_ps(out.c_out + t * out.c_out_stride + 16 * h, y);
    }
  }
}

template <class Source>
void float_rows(const Source& w, const FloatTask& task) {
  switch (task.width) {
    case 1: return float_tile<Source, 1>(w, task);
    case 2: return float_tile<Source, 2>(w, task);
    case 3: return float_tile<Source, 3>(w, task);
    case 4: return float_tile<Source, 4>(w, task);
    case 5: return float_tile<Source, 5>(w, task);
    case 6: return float_tile<Source, 6>(w, task);
    case 7: return float_tile<Source, 7>(w, task);
    case 8: return float_tile<Source, 8>(w, task);
    case 9: return float_tile<Source, 9>(w, task);
    case 10: return float_tile<Source, 10>(w, task);
    case 11: return float_tile<Source, 11>(w, task);
    default: return float_tile<Source, 12>(w, task);
  }
}
static_assert(kFloatTokens == 12);

void float_f32(const FloatTask& task) { float_rows(RowsF32{static_cast<const float*>(task.panel)}, task); }
void float_f16(const FloatTask& task) { float_rows(RowsF16{static_cast<const uint16_t*>(task.panel)}, task); }
void float_bf16(const FloatTask& task) { float_rows(RowsBf16{static_cast<const uint16_t*>(task.panel)}, task); }

// ---- activations ----

inline __attribute__((always_inline)) __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

// As integers, so that NaN is the largest (generic/matmul.cc says why).
float max_magnitude(const float* x, int64_t n) {
  const auto magnitude = [](__m512 v) { return _mm512_castps_si512(_mm512_abs_ps(v)); };
  __m512i most = _mm512_setzero_si512();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) most = _mm512_max_epi32(most, magnitude(_mm512_loadu_ps(x + i)));
  if (i < n) most = _mm512_max_epi32(most, magnitude(_mm512_maskz_loadu_ps(first_lanes(n - i), x + i)));
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(most))));
}

// 32 columns -> int8, columns from n on are zeros.
inline __attribute__((always_inline)) __m256i round32(const float* x, int64_t n, float inverse) {
  const __m512 factor = _mm512_set1_ps(inverse);
  const bool whole = n >= kBlockCols;
  const __m512 v0 = whole ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps(first_lanes(n), x);
  const __m512 v1 = whole ? _mm512_loadu_ps(x + 16) : _mm512_maskz_loadu_ps(first_lanes(n - 16), x + 16);
  const __m128i q0 = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v0, factor)));
  const __m128i q1 = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v1, factor)));
  return _mm256_set_m128i(q1, q0);
}

// One block of W tokens, 8 words of 4 columns each: token by token -> word by word.
template <int W>
struct Interleave {
  static constexpr int kVectors = (8 * W + 15) / 16;
  struct Tables {
    int32_t index[kVectors][16];
    uint16_t upper[kVectors];  // lanes that come from tokens 4 to 7
  };
  static constexpr Tables make() {
    Tables tables{};
    for (int i = 0; i < 8 * W; ++i) {
      const int word = i / W, token = i % W;
      tables.index[i / 16][i % 16] = token % 4 * 8 + word;
      if (token >= 4) tables.upper[i / 16] = static_cast<uint16_t>(tables.upper[i / 16] | 1 << i % 16);
    }
    return tables;
  }
  static constexpr Tables kTables = make();

  static inline __attribute__((always_inline)) __m512i pair(const __m256i (&q)[W], int t) {
    const __m512i first = _mm512_castsi256_si512(q[t < W ? t : 0]);
    return t + 1 < W ? _mm512_inserti64x4(first, q[t + 1 < W ? t + 1 : 0], 1) : first;
  }
  static inline __attribute__((always_inline)) void store(const __m256i (&q)[W], int8_t* out) {
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      const __m512i index = _mm512_loadu_si512(kTables.index[i]);
      __m512i v = _mm512_permutex2var_epi32(pair(q, 0), index, pair(q, 2));
      if (W > 4) {
        v = _mm512_mask_mov_epi32(v, kTables.upper[i], _mm512_permutex2var_epi32(pair(q, 4), index, pair(q, 6)));
      }
      const __mmask16 used = static_cast<__mmask16>(8 * W - 16 * i >= 16 ? 0xffff : 0x00ff);
      _mm512_mask_storeu_epi32(out + 64 * i, used, v);
    }
  }
};

// Sums of 4 bytes each.
inline __attribute__((always_inline)) __m256i word_sums(__m256i bytes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
}

// Sums of both halves of a block; lanes are tokens. Two rounds of pairwise sums leave the first halves of four tokens in
// the low, the second halves in the high 128 bits.
template <int W>
inline __attribute__((always_inline)) void half_sums(const __m256i (&q)[W], __m256i& first, __m256i& second) {
  const auto four = [&](int t) __attribute__((always_inline)) {
    const auto words = [&](int i) { return i < W ? word_sums(q[i < W ? i : 0]) : _mm256_setzero_si256(); };
    return _mm256_hadd_epi32(_mm256_hadd_epi32(words(t), words(t + 1)), _mm256_hadd_epi32(words(t + 2), words(t + 3)));
  };
  const __m256i low = four(0), high = W > 4 ? four(4) : _mm256_setzero_si256();
  first = _mm256_permute2x128_si256(low, high, 0x20);
  second = _mm256_permute2x128_si256(low, high, 0x31);
}

template <int W>
void quantize_tile(const float* x, int64_t stride, int64_t cols, const BlockTile& out) {
  constexpr __mmask8 tokens = static_cast<__mmask8>((1 << W) - 1);
  const int64_t blocks = (cols + kBlockCols - 1) / kBlockCols, group_cols = out.group_blocks * kBlockCols;
  const bool super = out.group_blocks == kMostGroupBlocks;
  for (int64_t begin = 0; begin < blocks; begin += out.group_blocks) {
    const int64_t end = blocks - begin < out.group_blocks ? blocks : begin + out.group_blocks;
    const int64_t at = begin * kBlockCols, left = cols - at < group_cols ? cols - at : group_cols;
    alignas(32) float most[8] = {};
    for (int t = 0; t < W; ++t) most[t] = max_magnitude(x + t * stride + at, left);
    const __m256 magnitude = _mm256_load_ps(most), top = _mm256_set1_ps(127.0f);
    _mm256_mask_storeu_ps(out.scale + begin / out.group_blocks * W, tokens, _mm256_div_ps(magnitude, top));
    alignas(32) float inverse[8];
    const __mmask8 nonzero = _mm256_cmp_ps_mask(magnitude, _mm256_setzero_ps(), _CMP_GT_OQ);
    _mm256_store_ps(inverse, _mm256_maskz_div_ps(nonzero, top, magnitude));

    __m256i even = _mm256_setzero_si256();  // sums of the pair's first block
    for (int64_t b = begin; b < end; ++b) {
      __m256i q[W];
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) q[t] = round32(x + t * stride + b * kBlockCols, cols - b * kBlockCols, inverse[t]);
      Interleave<W>::store(q, out.codes + b * kBlockCols * W);
      __m256i first, second;
      half_sums<W>(q, first, second);
      const __m256i sum = _mm256_add_epi32(first, second), low = _mm256_set1_epi32(0xffff);
      if (!super) {
        const __m256i start = _mm256_sub_epi32(_mm256_set1_epi32(out.rounding[b % 2]), _mm256_slli_epi32(sum, 7));
        _mm256_mask_storeu_epi32(out.start32 + b * W, tokens, start);
        continue;
      }
      const auto pair_up = [&](__m256i p, __m256i n) {
        return _mm256_or_si256(_mm256_and_si256(p, low), _mm256_slli_epi32(n, 16));
      };
      const auto start16 = [](__m256i half) {
        return _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(half, 5));
      };
      _mm256_mask_storeu_epi32(out.start16 + 2 * b * W, tokens, start16(first));
      _mm256_mask_storeu_epi32(out.start16 + (2 * b + 1) * W, tokens, start16(second));
      _mm256_mask_storeu_epi32(out.pair16 + b * 2 * W, tokens, pair_up(first, second));
      const bool odd = b % 2 != 0;
      _mm256_mask_storeu_epi32(out.pair32 + b / 2 * 2 * W, tokens,
                               odd ? pair_up(even, sum) : pair_up(sum, _mm256_setzero_si256()));
      even = sum;
    }
  }
}

template <int W>
void quantize_row_tile(const float* x, int64_t stride, int64_t cols, const RowTile& out) {
  float inverse[W];
  __m256i sum[W];
  for (int t = 0; t < W; ++t) {
    const float most = max_magnitude(x + t * stride, cols);
    out.scale[t] = most / 127.0f;
    inverse[t] = most > 0 ? 127.0f / most : 0.0f;
    sum[t] = _mm256_setzero_si256();
  }
  for (int64_t i = 0; i < cols; i += kBlockCols) {
    __m256i q[W];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
      q[t] = round32(x + t * stride + i, cols - i, inverse[t]);
      sum[t] = _mm256_add_epi32(sum[t], word_sums(q[t]));
    }
    Interleave<W>::store(q, out.codes + i * W);
  }
  for (int t = 0; t < W; ++t) out.sum[t] = _mm512_reduce_add_epi32(_mm512_zextsi256_si512(sum[t]));
}

void quantize_blocks(const float* x, int64_t stride, int64_t cols, const BlockTile& out) {
  by_width(out.width, [&](auto width) { quantize_tile<decltype(width)::value>(x, stride, cols, out); });
}
void quantize_rows(const float* x, int64_t stride, int64_t cols, const RowTile& out) {
  by_width(out.width, [&](auto width) { quantize_row_tile<decltype(width)::value>(x, stride, cols, out); });
}

}  // namespace

void apply(MatmulKernels& table) {
  table.float_f32 = float_f32;
  table.float_f16 = float_f16;
  table.float_bf16 = float_bf16;
  table.quantize_blocks = quantize_blocks;
  table.quantize_rows = quantize_rows;
}

}  // namespace tessera::avx512
