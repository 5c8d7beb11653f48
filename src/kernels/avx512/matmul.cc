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

float max_magnitude(const float* x, int64_t n) {
  __m512 most = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += 16) {
    most = _mm512_max_ps(_mm512_abs_ps(_mm512_maskz_loadu_ps(first_lanes(n - i), x + i)), most);
  }
  return _mm512_reduce_max_ps(most);
}

// 16 columns -> int8, columns from n on are zeros.
inline __attribute__((always_inline)) __m128i round16(const float* x, int64_t n, __m512 inverse) {
  const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(first_lanes(n), x), inverse);
  return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
}
// 16 bytes -> 4 words, `width` words apart.
inline __attribute__((always_inline)) void scatter4(__m128i bytes, int8_t* out, int64_t width) {
  alignas(16) int32_t words[4];
  _mm_store_si128(reinterpret_cast<__m128i*>(words), bytes);
  for (int i = 0; i < 4; ++i) __builtin_memcpy(out + i * width * 4, words + i, 4);
}

// Sums of 4 bytes each.
inline __attribute__((always_inline)) __m256i word_sums(__m256i bytes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
}

// One token's next (up to 4) blocks: codes and sums. `n` columns are left in the row.
inline __attribute__((always_inline)) void quantize_four(const float* x, int64_t n, int64_t b, int64_t blocks,
                                                         int64_t t, __m512 inverse, const BlockTile& out) {
  const int64_t w = out.width;
  __m256i words[4];
  for (int i = 0; i < 4; ++i) {
    words[i] = _mm256_setzero_si256();
    if (i >= blocks) continue;
    const __m128i q0 = round16(x + 32 * i, n - 32 * i, inverse),
                  q1 = round16(x + 32 * i + 16, n - 32 * i - 16, inverse);
    scatter4(q0, out.codes + ((b + i) * 8 * w + t) * 4, w);
    scatter4(q1, out.codes + (((b + i) * 8 + 4) * w + t) * 4, w);
    words[i] = word_sums(_mm256_set_m128i(q1, q0));
  }
  // Two rounds of pairwise sums leave the first halves of the four blocks in the low, the second halves in the high
  // lane.
  const __m256i sums = _mm256_hadd_epi32(_mm256_hadd_epi32(words[0], words[1]), _mm256_hadd_epi32(words[2], words[3]));
  alignas(32) int32_t half[2][4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(half), sums);
  for (int64_t i = 0; i < blocks; ++i) {
    const int32_t s0 = half[0][i], s1 = half[1][i];
    out.start32[(b + i) * w + t] = -128 * (s0 + s1);
    out.start16[(b + i) * 2 * w + t] = -32 * s0;
    out.start16[((b + i) * 2 + 1) * w + t] = -32 * s1;
    out.pair16[((b + i) * w + t) * 2] = static_cast<int16_t>(s0);
    out.pair16[((b + i) * w + t) * 2 + 1] = static_cast<int16_t>(s1);
  }
  for (int64_t i = 0; i < blocks; i += 2) {
    out.pair32[((b + i) / 2 * w + t) * 2] = static_cast<int16_t>(half[0][i] + half[1][i]);
    out.pair32[((b + i) / 2 * w + t) * 2 + 1] = static_cast<int16_t>(half[0][i + 1] + half[1][i + 1]);
  }
}

void quantize_blocks(const float* x, int64_t stride, int64_t cols, const BlockTile& out) {
  const int64_t w = out.width, blocks = (cols + kBlockCols - 1) / kBlockCols;
  for (int64_t t = 0; t < w; ++t) {
    for (int64_t begin = 0; begin < blocks; begin += out.group_blocks) {
      const int64_t end = blocks - begin < out.group_blocks ? blocks : begin + out.group_blocks;
      const float* row = x + t * stride;
      const int64_t first = begin * kBlockCols, last = end * kBlockCols < cols ? end * kBlockCols : cols;
      const float most = max_magnitude(row + first, last - first);
      out.scale[begin / out.group_blocks * w + t] = most / 127.0f;
      const __m512 inverse = _mm512_set1_ps(most > 0 ? 127.0f / most : 0.0f);
      for (int64_t b = begin; b < end; b += 4) {
        quantize_four(row + b * kBlockCols, cols - b * kBlockCols, b, end - b < 4 ? end - b : 4, t, inverse, out);
      }
    }
  }
}

void quantize_rows(const float* x, int64_t stride, int64_t cols, const RowTile& out) {
  const int64_t w = out.width, padded = (cols + kBlockCols - 1) / kBlockCols * kBlockCols;
  for (int64_t t = 0; t < w; ++t) {
    const float* row = x + t * stride;
    const float most = max_magnitude(row, cols);
    const __m512 inverse = _mm512_set1_ps(most > 0 ? 127.0f / most : 0.0f);
    __m512i sum = _mm512_setzero_si512();
    for (int64_t i = 0; i < padded; i += 16) {
      const __m128i q = round16(row + i, cols - i, inverse);
      scatter4(q, out.codes + (i / 4 * w + t) * 4, w);
      sum = _mm512_add_epi32(sum, _mm512_cvtepi8_epi32(q));
    }
    out.sum[t] = _mm512_reduce_add_epi32(sum);
    out.scale[t] = most / 127.0f;
  }
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
