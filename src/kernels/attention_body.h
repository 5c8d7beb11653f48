// The attention kernels of every layer, written once over a small set of vector operations I (avx512/attention_isa.h and
// its siblings). Included by one file per layer, so everything has internal linkage.
//
// Computes, per page of 64 tokens and kv head, for `rows` query rows (query heads of the group x query tokens):
//   scores  S[r, t] = q[r] . k[t]              2 * 64 * head_dim flops per row
//   softmax P[r, t] = 2^(S[r, t] - max)        8 to 14 vector instructions per vector, and rounding
//   weigh   O[r, d] = c O[r, d] + P[r, t] v[t, d]   2 * 64 * head_dim flops per row
// Blocks of I::kRowBlock rows times two vectors of lanes stay in registers; a page block is read from memory once (by the
// first row block) and stays in the first-level cache for the others. Layout: attention_kernels.h.
//
// Bytes per page, head and side: 64 * head_dim * (4, 2 + 4 / head_dim, 2, 1 + 4 / head_dim). Measured on Zen 4 from the
// first-level cache with 8 rows, head 64, of the peak of the instruction in use: f32 99 %, f16 (vpdpwssd) 82 %, bf16
// (vdpbf16ps) 95 %, q8_0 (vpdpbusd) 86 %; decode from memory and what was tried: docs/performance-attention.md.
#ifndef TESSERA_KERNELS_ATTENTION_BODY_H_
#define TESSERA_KERNELS_ATTENTION_BODY_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

#include "kernels/attention_kernels.h"

#define TESSERA_INLINE static inline __attribute__((always_inline))

namespace tessera {
namespace {

// Sanitized builds: blocks of eight unrolled rows take a compiler minutes and a gigabyte. Results do not depend on the block.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSmallBlocks = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSmallBlocks = true;
#else
constexpr bool kSmallBlocks = false;
#endif
#else
constexpr bool kSmallBlocks = false;
#endif

template <int N>
struct Int {
  static constexpr int value = N;
};

constexpr int64_t pad_to(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Fetches the block that is read next while this one is worked on, a line per step. The processor's own prefetchers leave
// about 100 ns at the start of every block: they see the pauses of the softmax and the borders of 4 KiB pages.
constexpr int kSecondLevel = 2;  // into the second-level cache; into the first was slower by 15 % (bf16)
struct Ahead {
  const char* line;
  int64_t step_bytes;  // 0: none wanted; the same line again and again
  const char* end;

  template <int kLines>
  __attribute__((always_inline)) void step() {
#pragma GCC unroll 4
    for (int i = 0; i < kLines; ++i, line += step_bytes) __builtin_prefetch(line, 0, kSecondLevel);
  }
  // For the first row block only; the others find the panel in the cache.
  __attribute__((always_inline)) Ahead if_first(int64_t row, const void* here) const {
    return row == 0 ? *this : Ahead{static_cast<const char*>(here), 0, nullptr};
  }
  void rest() {
    for (; step_bytes > 0 && line < end; line += 64) __builtin_prefetch(line, 0, kSecondLevel);
  }
};

TESSERA_INLINE Ahead ahead_of(const void* next, int64_t bytes, const void* here) {
  const char* line = static_cast<const char*>(bytes > 0 ? next : here);
  return {line, bytes > 0 ? 64 : 0, line + bytes};
}

// --- Products: acc[r][v] += sum_d a[r][d] * b[d][lane], one struct per storage type. -----------------------------------
// A product that needs its registers for other sums (kStartsAtZero) sets acc instead of adding to it.
// a: prepared rows, a_stride bytes apart. b: first lane of a panel; b_stride bytes from one depth group to the next.
// prepare() writes the row of a query: factor * x[d], d < depth; Weights, below, those of softmax weights.

// Cache lines that one step of NV vectors of `bytes` per lane reads.
template <class I, int NV, int kBytes>
constexpr int kLines = NV * I::kLanes * kBytes < 64 ? 1 : NV * I::kLanes * kBytes / 64;

// The row behind `row`. Compilers keep one pointer per row of a block when they see the pattern, run out of registers and
// move pointers through vector registers in the inner loop: 10 % slower. The empty statement hides it.
TESSERA_INLINE const char* next_row(const char* row, int64_t stride) {
  row += stride;
  if (!__builtin_constant_p(stride)) asm("" : "+r"(row));
  return row;
}

// acc[r][v] += row r's number at a * x[v].
template <class I, int R, int NV>
TESSERA_INLINE void multiply_add(const char* a, int64_t a_stride, const typename I::F (&x)[NV], typename I::F (&acc)[R][NV]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r, a = next_row(a, a_stride)) {
    const typename I::F q = I::set1(*reinterpret_cast<const float*>(a));
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[r][v] = I::fma(q, x[v], acc[r][v]);
  }
}

// Plain f32 rows, multiplied by 2^kRowExponent.
template <int kRowExponent>
struct FloatRows {
  static_assert(kRowExponent == 0 || kRowExponent == 112);
  static constexpr float kRowScale = kRowExponent == 0 ? 1.0f : 0x1p112f;

  TESSERA_INLINE void prepare(const float* x, float factor, int64_t depth, void* row) {
    float* out = static_cast<float*>(row);
    for (int64_t d = 0; d < depth; ++d) out[d] = x[d] * factor * kRowScale;
  }
};

// Weights: how softmax leaves the weights of a page and kv head. write() takes p = 2^(score - base) of one row, 0 for tokens
// that it does not see, and writes the row that multiply() reads. kDegree: of the polynomial (Exp2Terms).
// kOfPage: the base is the largest score + log_bounds[token] of this page alone, so that p may exceed 1, and write() is told
// the factor that brings the page to the largest base so far; else the base is the largest score so far and the factor 1.
template <class I>
using PageRow = typename I::F[kKvPageTokens / I::kLanes];

template <class I>
struct PlainWeights {
  static constexpr bool kOfPage = false;
  static constexpr int kDegree = 5;
  PlainWeights(const void*, int64_t) {}

  __attribute__((always_inline)) void write(const PageRow<I>& p, float, void* row) const {
#pragma GCC unroll 16
    for (int i = 0; i < kKvPageTokens / I::kLanes; ++i) I::store(static_cast<float*>(row) + i * I::kLanes, p[i]);
  }
};

// Weights times the values' scales; 0 where no token is: the block may hold garbage there.
template <class I, int kRowExponent>
struct ScaledWeights {
  static constexpr bool kOfPage = false;
  static constexpr int kDegree = 5;
  alignas(64) float scales[kKvPageTokens];

  ScaledWeights(const void* block, int64_t tokens) {
    const float* stored = static_cast<const float*>(block);
    constexpr float kRowScale = FloatRows<kRowExponent>::kRowScale;
    for (int64_t t = 0; t < kKvPageTokens; ++t) scales[t] = t < tokens ? stored[t] * kRowScale : 0.0f;
  }

  __attribute__((always_inline)) void write(const PageRow<I>& p, float, void* row) const {
#pragma GCC unroll 16
    for (int i = 0; i < kKvPageTokens / I::kLanes; ++i) {
      I::store(static_cast<float*>(row) + i * I::kLanes, I::mul(p[i], I::load(scales + i * I::kLanes)));
    }
  }
};

template <class I>
struct ProductF32 : FloatRows<0> {
  using Weights = PlainWeights<I>;
  static constexpr int kGroup = 1, kBytes = 4;
  static constexpr bool kScaled = false, kStartsAtZero = false;
  template <int R, int NV>
  TESSERA_INLINE void multiply(const char* a, int64_t a_stride, const char* b, int64_t b_stride, int64_t depth,
                               typename I::F (&acc)[R][NV], Ahead& ahead) {
    for (int64_t d = 0; d < depth; ++d) {
      ahead.step<kLines<I, NV, kBytes>>();
      typename I::F x[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) x[v] = I::load(reinterpret_cast<const float*>(b + d * b_stride) + v * I::kLanes);
      multiply_add<I, R, NV>(a + d * 4, a_stride, x, acc);
    }
  }
};

// Types whose lanes hold a group of elements in 32 bits; Element::get<I>(word, j) is element j as f32, times
// 2^-kRowExponent.
template <class I, class Element>
struct ProductGrouped : FloatRows<Element::kRowExponent> {
  static constexpr int kGroup = Element::kGroup, kBytes = 4 / kGroup;
  static constexpr bool kScaled = Element::kScaled, kStartsAtZero = false;
  static_assert(kScaled || Element::kRowExponent == 0);
  using Weights = std::conditional_t<kScaled, ScaledWeights<I, Element::kRowExponent>, PlainWeights<I>>;

  template <int R, int NV>
  TESSERA_INLINE void multiply(const char* a, int64_t a_stride, const char* b, int64_t b_stride, int64_t depth,
                               typename I::F (&acc)[R][NV], Ahead& ahead) {
    const int64_t whole = depth / kGroup * kGroup;
    int64_t d = 0;
    for (; d < whole; d += kGroup, b += b_stride) {
      ahead.step<kLines<I, NV, 4>>();
      group<R, NV>(a + d * 4, a_stride, b, kGroup, acc);
    }
    // Elements behind the depth may be garbage.
    if (d < depth) group<R, NV>(a + d * 4, a_stride, b, static_cast<int>(depth - d), acc);
  }

  template <int R, int NV>
  TESSERA_INLINE void group(const char* a, int64_t a_stride, const char* b, int used, typename I::F (&acc)[R][NV]) {
    typename I::N word[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) word[v] = I::load_words(b + v * I::kLanes * 4);
#pragma GCC unroll 4
    for (int j = 0; j < kGroup; ++j) {
      if (j >= used) break;
      typename I::F x[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) x[v] = Element::template get<I>(word[v], j);
      multiply_add<I, R, NV>(a + j * 4, a_stride, x, acc);
    }
  }
};

struct ElementBf16 {
  static constexpr int kGroup = 2, kRowExponent = 0;
  static constexpr bool kScaled = false;
  template <class I>
  TESSERA_INLINE typename I::F get(typename I::N word, int j) {
    return I::as_float(j == 0 ? I::shift_left(word, 16) : I::bit_and(word, 0xffff0000));
  }
};
// The bits of an f16, three places lower in an f32, are its value times 2^-112, subnormal numbers included. Shifts and masks
// leave the multiply-add units alone: 6 % faster than the conversion instruction.
struct ElementF16 {
  static constexpr int kGroup = 2, kRowExponent = 112;
  static constexpr bool kScaled = true;
  template <class I>
  TESSERA_INLINE typename I::F get(typename I::N word, int j) {
    const typename I::N high = j == 0 ? I::shift_left(word, 16) : word;
    return I::as_float(I::bit_and(I::shift_right_signed(high, 3), 0x8fffe000));
  }
};
struct ElementS8 {
  static constexpr int kGroup = 4, kRowExponent = 0;
  static constexpr bool kScaled = true;
  template <class I>
  TESSERA_INLINE typename I::F get(typename I::N word, int j) {
    return I::to_float(I::shift_right_signed(I::shift_left(word, 24 - 8 * j), 24));
  }
};
struct ElementU8 {  // 128 + value
  static constexpr int kGroup = 4, kRowExponent = 0;
  static constexpr bool kScaled = true;
  template <class I>
  TESSERA_INLINE typename I::F get(typename I::N word, int j) {
    return ElementS8::get<I>(I::bit_xor(word, 0x80808080), j);
  }
};

// --- Scores and weighted sum over one product. ------------------------------------------------------------------------

// f(Int<R>, first row) over all rows in blocks of I::kRowBlock and one remainder.
template <class I, class F>
TESSERA_INLINE void for_row_blocks(int64_t rows, F f) {
  constexpr int kBlock = kSmallBlocks ? 2 : I::kRowBlock;
  int64_t r = 0;
  for (; r + kBlock <= rows; r += kBlock) f(Int<kBlock>{}, r);
  if (rows - r == 1) f(Int<1>{}, r);
  if constexpr (kBlock > 2) {
    if (rows - r == 2) f(Int<2>{}, r);
    if (rows - r == 3) f(Int<3>{}, r);
  }
  if constexpr (kBlock > 4) {
    if (rows - r == 4) f(Int<4>{}, r);
    if (rows - r == 5) f(Int<5>{}, r);
    if (rows - r == 6) f(Int<6>{}, r);
    if (rows - r == 7) f(Int<7>{}, r);
  }
}

// The scales of a block stand before its elements.
constexpr int64_t kScaleBytes = kKvPageTokens * static_cast<int64_t>(sizeof(float));
template <class P>
TESSERA_INLINE const float* block_scales(const void* block) {
  return P::kScaled ? static_cast<const float*>(block) : nullptr;
}
template <class P>
TESSERA_INLINE const char* block_elements(const void* block) {
  return static_cast<const char*>(block) + (P::kScaled ? kScaleBytes : 0);
}

template <class I, class P>
void scores(const ScoreArgs& args) {
  constexpr int kStep = 2 * I::kLanes;
  const int64_t depth = pad_to(args.head_dim, P::kGroup);
  const float* scales = block_scales<P>(args.keys);
  Ahead ahead = ahead_of(args.next, args.next_bytes, args.keys);
  for (int64_t token = 0; token < args.tokens; token += kStep) {
    const char* b = block_elements<P>(args.keys) + (token / kKvPanel) * kKvPanel * depth * P::kBytes +
                    (token % kKvPanel) * P::kGroup * P::kBytes;
    for_row_blocks<I>(args.rows, [&](auto block, int64_t row) __attribute__((always_inline)) {
      constexpr int R = decltype(block)::value;
      const char* a = static_cast<const char*>(args.queries) + row * args.query_stride;
      typename I::F acc[R][2];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = I::zero();
      Ahead own = ahead.if_first(row, b);
      P::template multiply<R, 2>(a, args.query_stride, b, kKvPanel * P::kGroup * P::kBytes, args.head_dim, acc, own);
      if (row == 0) ahead = own;
      float* out = args.scores + row * kKvPageTokens + token;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          typename I::F s = acc[r][v];
          if (P::kScaled) s = I::mul(s, I::load(scales + token + v * I::kLanes));
          I::store(out + r * kKvPageTokens + v * I::kLanes, s);
        }
      }
    });
  }
  ahead.rest();
}

template <class I, class P, int R, int NV>
TESSERA_INLINE void weigh_block(const WeighArgs& args, int64_t row, const char* a, int64_t dim, const char* b,
                                int64_t b_stride, Ahead& ahead) {
  float* out = args.out + row * args.out_stride + dim;
  typename I::F acc[R][NV];
  if constexpr (!P::kStartsAtZero) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const typename I::F c = I::set1(args.correction[row + r]);
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) acc[r][v] = I::mul(c, I::load(out + r * args.out_stride + v * I::kLanes));
    }
  }
  P::template multiply<R, NV>(a, kWeightRowBytes, b, b_stride, args.tokens, acc, ahead);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const typename I::F c = I::set1(args.correction[row + r]);
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      float* at = out + r * args.out_stride + v * I::kLanes;
      I::store(at, P::kStartsAtZero ? I::fma(c, I::load(at), acc[r][v]) : acc[r][v]);
    }
  }
}

template <class I, class P>
void weigh(const WeighArgs& args) {
  constexpr int kStep = 2 * I::kLanes;
  const int64_t lanes = pad_to(args.head_dim, 16);
  Ahead ahead = ahead_of(args.next, args.next_bytes, args.values);
  for_row_blocks<I>(args.rows, [&](auto block, int64_t row) __attribute__((always_inline)) {
    constexpr int R = decltype(block)::value;
    const char* a = static_cast<const char*>(args.weights) + row * kWeightRowBytes;
    for (int64_t dim = 0; dim < lanes; dim += kStep) {
      const int64_t panel = dim / kKvPanel * kKvPanel;
      const int64_t width = lanes - panel < kKvPanel ? 16 : kKvPanel;
      const char* b = block_elements<P>(args.values) + panel * kKvPageTokens * P::kBytes +
                      (dim - panel) * P::kGroup * P::kBytes;
      const int64_t b_stride = width * P::kGroup * P::kBytes;
      Ahead own = ahead.if_first(row, b);
      if (kStep <= 16 || width == kKvPanel) {
        weigh_block<I, P, R, 2>(args, row, a, dim, b, b_stride, own);
      } else {
        weigh_block<I, P, R, 1>(args, row, a, dim, b, b_stride, own);
      }
      if (row == 0) ahead = own;
    }
  });
  ahead.rest();
}

template <class I, class P>
void prepare_query(const float* q, float factor, int64_t head_dim, void* row) {
  P::prepare(q, factor, head_dim, row);
}

// --- Softmax and merge. -----------------------------------------------------------------------------------------------

// 2^x for x <= 0, 0 below about -127: 2^n times a polynomial of degree 5 on [-1/2, 1/2], relative error 2e-7; exact at 0.
template <class I>
TESSERA_INLINE typename I::F exp2_nonpositive(typename I::F x) {
  x = I::max(x, I::set1(I::kExp2Floor));
  const typename I::F n = I::round(x);
  const typename I::F r = I::sub(x, n);
  typename I::F p = I::set1(0x1.5bba14p-10f);
  p = I::fma(p, r, I::set1(0x1.3cea88p-7f));
  p = I::fma(p, r, I::set1(0x1.c6b752p-5f));
  p = I::fma(p, r, I::set1(0x1.ebf9bcp-3f));
  p = I::fma(p, r, I::set1(0x1.62e42ap-1f));
  p = I::fma(p, r, I::set1(1.0f));
  return I::scale_by_power_of_2(p, n);
}

// Coefficients of the polynomial that is closest to 2^(r - 1/2) on [0, 1), relative to it.
template <int kDegree>
struct Exp2Terms;
template <>
struct Exp2Terms<3> {  // relative error 7.5e-5
  static constexpr float of[] = {0x1.c3f76p-5f, 0x1.476156p-3f, 0x1.f7d65ap-2f, 0x1.6a02f8p-1f};
};
template <>
struct Exp2Terms<4> {  // 2.6e-6
  static constexpr float of[] = {0x1.3997d6p-7f, 0x1.2d4856p-5f, 0x1.5da57ep-3f, 0x1.f5c9d2p-2f, 0x1.6a0a24p-1f};
};
template <>
struct Exp2Terms<5> {  // 1.0e-7
  static constexpr float of[] = {0x1.5c08e6p-10f, 0x1.a09316p-8f, 0x1.43616ep-5f,
                                 0x1.5bc792p-3f, 0x1.f5e57cp-2f, 0x1.6a09e4p-1f};
};

// 2^(x - base). Layers with a fraction and a scaling instruction that round down work on y = x - base + 1/2, whose integer part
// is the rounded exponent: ten instructions instead of fourteen with degree 5, and fewer where the weights are rounded
// anyway. The others have degree 5 and want x <= base. Not used for corrections and merges: there 2^0 must be exactly 1.
template <class I, int kDegree>
TESSERA_INLINE typename I::F exp2_below(typename I::F x, float base) {
  if constexpr (!I::kFloorScaling) {
    return exp2_nonpositive<I>(I::sub(x, I::set1(base)));
  } else {
    const typename I::F y = I::sub(x, I::set1(base - 0.5f));
    const typename I::F r = I::fraction(y);
    typename I::F p = I::set1(Exp2Terms<kDegree>::of[0]);
#pragma GCC unroll 8
    for (int i = 1; i <= kDegree; ++i) p = I::fma(p, r, I::set1(Exp2Terms<kDegree>::of[i]));
    return I::scale_by_power_of_2(p, y);
  }
}

TESSERA_INLINE float fused(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
// 2^x of one number x <= 0, exact at 0, without a vector's worth of work; 0 below -126.5 and, which softmax needs, of NaN.
TESSERA_INLINE float exp2_scalar(float x) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23
  x = x > -127.0f ? x : -127.0f;
  const float rounded = x + kRounder;
  const float r = x - (rounded - kRounder);
  float p = 0x1.5bba14p-10f;
  p = fused(p, r, 0x1.3cea88p-7f);
  p = fused(p, r, 0x1.c6b752p-5f);
  p = fused(p, r, 0x1.ebf9bcp-3f);
  p = fused(p, r, 0x1.62e42ap-1f);
  p = fused(p, r, 1.0f);
  uint32_t bits;
  memcpy(&bits, &rounded, sizeof(bits));
  bits = (bits - 0x4b400000u + 127u) << 23;
  float power;
  memcpy(&power, &bits, sizeof(power));
  return p * power;
}

// cap * tanh(x), as cap * sign(x) * (1 - t) / (1 + t) with t = 2^(-2 log2(e) |x|).
template <class I>
TESSERA_INLINE typename I::F capped(typename I::F x, float cap) {
  const typename I::F t = exp2_nonpositive<I>(I::mul(I::set1(-2.8853900817779268f), I::abs(x)));
  const typename I::F one = I::set1(1.0f);
  const typename I::F y = I::div(I::sub(one, t), I::add(one, t));
  return I::mul(I::set1(cap), I::copy_sign(y, x));
}

// Largest score of a row, or sum of score and bias; scores outside [begin, end) become -infinity.
template <class I>
TESSERA_INLINE float prepare_scores(float* scores, int begin, int end, float softcap, const float* bias) {
  const auto biased = [bias](typename I::F x, int i) __attribute__((always_inline)) {
    return bias == nullptr ? x : I::add(x, I::load(bias + i * I::kLanes));
  };
  constexpr int kVectors = kKvPageTokens / I::kLanes;
  const bool whole = begin <= 0 && end >= kKvPageTokens;
  typename I::F top = I::set1(-__builtin_inff());
  if (whole && softcap == 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) top = I::max(top, biased(I::load(scores + i * I::kLanes), i));
    return I::reduce_max(top);
  }
  for (int i = 0; i < kVectors; ++i) {
    typename I::F x = I::load(scores + i * I::kLanes);
    if (softcap != 0) x = capped<I>(x, softcap);
    if (!whole) x = I::select_lanes(begin - i * I::kLanes, end - i * I::kLanes, x, I::set1(-__builtin_inff()));
    I::store(scores + i * I::kLanes, x);
    top = I::max(top, biased(x, i));
  }
  return I::reduce_max(top);
}

// Two passes over up to sixteen rows: the maximum is a long chain of dependent instructions, and rows overlap better in the
// processor's window when the chain stands alone; the scores stay in the first-level cache in between.
template <class I, class P>
void softmax(const SoftmaxArgs& args) {
  using Weights = typename P::Weights;
  static_assert(I::kFloorScaling || (!Weights::kOfPage && Weights::kDegree == 5));
  constexpr int kVectors = kKvPageTokens / I::kLanes;
  constexpr int kSums = kSumLanes / I::kLanes;
  constexpr int kRows = 16;
  const Weights weights(args.values, args.tokens);
  for (int64_t first = 0; first < args.rows; first += kRows) {
    const int64_t last = first + kRows < args.rows ? first + kRows : args.rows;
    float bases[kRows], factors[kRows];
    for (int64_t row = first; row < last; ++row) {
      float page_max = -__builtin_inff();
      if (args.begin[row] < args.end[row]) {
        const float* bias = nullptr;
        if constexpr (Weights::kOfPage) bias = weights.log_bounds;
        page_max = prepare_scores<I>(args.scores + row * kKvPageTokens, args.begin[row], args.end[row], args.softcap, bias);
      }
      const float old_max = args.max[row];
      const bool grows = !(page_max <= old_max);
      // Of the smaller to the larger maximum; needed for the older pages if the maximum grows, else for this one.
      float ratio = 1.0f;
      if (grows || Weights::kOfPage) ratio = exp2_scalar(grows ? old_max - page_max : page_max - old_max);
      args.max[row] = grows ? page_max : old_max;
      args.correction[row] = grows ? ratio : 1.0f;
      bases[row - first] = Weights::kOfPage ? page_max : args.max[row];
      factors[row - first] = grows ? 1.0f : ratio;
    }
    for (int64_t row = first; row < last; ++row) {
      const float* scores = args.scores + row * kKvPageTokens;
      void* to = static_cast<char*>(args.weights) + row * kWeightRowBytes;
      const float factor = Weights::kOfPage ? factors[row - first] : 1.0f;  // 1 without, as a constant
      PageRow<I> p;
      if (args.begin[row] >= args.end[row]) {
#pragma GCC unroll 16
        for (int i = 0; i < kVectors; ++i) p[i] = I::zero();
        weights.write(p, 0.0f, to);
        continue;
      }
      typename I::F sum[kSums];
#pragma GCC unroll 16
      for (int i = 0; i < kVectors; ++i) {
        p[i] = exp2_below<I, Weights::kDegree>(I::load(scores + i * I::kLanes), bases[row - first]);
        sum[i % kSums] = i < kSums ? p[i] : I::add(sum[i % kSums], p[i]);
      }
      float* sums = args.sum + row * kSumLanes;
#pragma GCC unroll 4
      for (int i = 0; i < kSums; ++i) {
        if (Weights::kOfPage) sum[i] = I::mul(sum[i], I::set1(factor));
        I::store(sums + i * I::kLanes, I::fma(I::load(sums + i * I::kLanes), I::set1(args.correction[row]), sum[i]));
      }
      weights.write(p, factor, to);
    }
  }
}

template <class I>
void fold_sums(const float* lanes, int64_t rows, float* sums) {
  for (int64_t row = 0; row < rows; ++row) {
    float x[kSumLanes];
    memcpy(x, lanes + row * kSumLanes, sizeof(x));
    for (int half = kSumLanes / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) x[i] += x[i + half];
    }
    sums[row] = x[0];
  }
}

template <class I>
void merge(const MergeArgs& args) {
  const int64_t lanes = pad_to(args.head_dim, 16);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float a = args.max[row], b = args.part_max[row];
    const float top = a > b ? a : b;
    const float keep = a == top ? 1.0f : exp2_scalar(a - top);
    const float take = b == top ? 1.0f : exp2_scalar(b - top);
    args.max[row] = top;
    args.sum[row] = args.sum[row] * keep + args.part_sum[row] * take;
    float* out = args.out + row * args.out_stride;
    const float* part = args.part_out + row * args.part_stride;
    for (int64_t d = 0; d < lanes; d += I::kLanes) {
      const typename I::F old = I::mul(I::load(out + d), I::set1(keep));
      I::store(out + d, I::fma(I::load(part + d), I::set1(take), old));
    }
  }
}

template <class I>
void normalize(const float* x, float sum, int64_t head_dim, float* y) {
  const float factor = sum > 0 || sum != sum ? 1.0f / sum : 0.0f;
  for (int64_t d = 0; d < head_dim; ++d) y[d] = x[d] * factor;
}

// --- Writing tokens. --------------------------------------------------------------------------------------------------

TESSERA_INLINE uint16_t round_to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);  // NaN stays NaN
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Encoders of one element; begin() sees the whole vector first and returns the token's scale.
template <class I>
struct EncodeF32 {
  using Stored = float;
  static constexpr int kGroup = 1;
  static constexpr bool kScaled = false;
  float begin(const float*, int64_t) { return 1.0f; }
  float operator()(float x) const { return x; }
};
// Relative to a power of two that brings the vector's largest number, or its length, to [2^14, 2^15): integer products want
// bounds that they can count on (avx512_vnni/attention.cc), and the range of f16 is no matter any more.
template <class I, bool kByLength>
struct EncodeF16 {
  using Stored = uint16_t;
  static constexpr int kGroup = 2;
  static constexpr bool kScaled = true;
  static constexpr uint32_t kBias = 127, kTop = 14, kLowest = kBias - 98, kHighest = kBias + 28;  // of f32 exponents
  float inverse = 0;

  float begin(const float* x, int64_t n) {
    uint32_t top = 0;  // compared as integers, which compilers vectorize
    for (int64_t d = 0; d < n; ++d) top = bits_of(x[d]) << 1 > top ? bits_of(x[d]) << 1 : top;
    uint32_t exponent = top >> 24 < kLowest ? kLowest : top >> 24 > kHighest ? kHighest : top >> 24;
    inverse = power_of_2(2 * kBias + kTop - exponent);
    if (kByLength) {
      float squares = 0;
      for (int64_t d = 0; d < n; ++d) squares += scaled(x[d]) * scaled(x[d]);
      const uint32_t above = bits_of(squares) >> 23;  // squares in [2^28, 2^30 n) unless all are 0
      const uint32_t steps = above >= kBias + 30 ? (above - kBias) / 2 - kTop : 0;
      exponent += steps;
      inverse = power_of_2(2 * kBias + kTop - exponent);
    }
    return power_of_2(exponent - kTop);
  }
  uint16_t operator()(float x) const { return I::to_f16(scaled(x)); }

  // Saturates: an infinity in the cache would spread to every later token.
  float scaled(float x) const {
    constexpr float kLargest = 0x1.ffcp14f;
    const float y = x * inverse;
    return y > kLargest ? kLargest : y < -kLargest ? -kLargest : y;
  }
  static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
  }
  static float power_of_2(uint32_t biased_exponent) {
    const uint32_t bits = biased_exponent << 23;
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
  }
};
template <class I>
struct EncodeBf16 {
  using Stored = uint16_t;
  static constexpr int kGroup = 2;
  static constexpr bool kScaled = false;
  float begin(const float*, int64_t) { return 1.0f; }
  uint16_t operator()(float x) const { return round_to_bf16(x); }
};
template <class I, int kBias>
struct EncodeQ8 {
  using Stored = uint8_t;
  static constexpr int kGroup = 4;
  static constexpr bool kScaled = true;
  float inverse = 0;
  float begin(const float* x, int64_t n) {
    float top = 0;
    for (int64_t d = 0; d < n; ++d) {
      const float a = __builtin_fabsf(x[d]);
      top = a > top ? a : top;
    }
    inverse = top > 1e-30f && top < 1e36f ? 127.0f / top : 0.0f;
    return inverse > 0 ? top / 127.0f : 0.0f;  // what is stored as zeros weighs nothing
  }
  uint8_t operator()(float x) const {
    // Adding 1.5 * 2^23 rounds to nearest even into the low mantissa bits.
    const float shifted = x * inverse + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof(bits));
    return static_cast<uint8_t>(bits + kBias);
  }
};

template <class E>
TESSERA_INLINE typename E::Stored* elements_of(void* block) {
  return reinterpret_cast<typename E::Stored*>(static_cast<char*>(block) + (E::kScaled ? kScaleBytes : 0));
}

template <class E>
void store_key(const float* x, int64_t head_dim, int64_t token, void* block) {
  using Stored = typename E::Stored;
  constexpr int g = E::kGroup;
  const int64_t depth = pad_to(head_dim, g);
  Stored* lane = elements_of<E>(block) + token / kKvPanel * kKvPanel * depth + token % kKvPanel * g;
  E encode;
  const float scale = encode.begin(x, head_dim);
  for (int64_t d = 0; d < head_dim; ++d) lane[d / g * kKvPanel * g + d % g] = encode(x[d]);
  if (E::kScaled) static_cast<float*>(block)[token] = scale;
}

template <class E>
void store_value(const float* x, int64_t head_dim, int64_t token, void* block) {
  using Stored = typename E::Stored;
  constexpr int g = E::kGroup;
  const int64_t lanes = pad_to(head_dim, 16);
  E encode;
  const float scale = encode.begin(x, head_dim);
  for (int64_t panel = 0; panel < lanes; panel += kKvPanel) {
    const int64_t width = lanes - panel < kKvPanel ? 16 : kKvPanel;
    Stored* group = elements_of<E>(block) + panel * kKvPageTokens + token / g * width * g + token % g;
    const int64_t used = head_dim - panel < width ? head_dim - panel : width;
    for (int64_t d = 0; d < used; ++d) group[d * g] = encode(x[panel + d]);
  }
  if (E::kScaled) static_cast<float*>(block)[token] = scale;
}

// --- Table. -----------------------------------------------------------------------------------------------------------

template <class I, KvType kType, class Keys, class Values>
void apply_products(AttentionKernels& table) {
  table.prepare_query[kType] = &prepare_query<I, Keys>;
  table.scores[kType] = &scores<I, Keys>;
  table.softmax[kType] = &softmax<I, Values>;
  table.weigh[kType] = &weigh<I, Values>;
}

template <class I>
void apply_all(AttentionKernels& table) {
  using Bf16 = ProductGrouped<I, ElementBf16>;
  using F16 = ProductGrouped<I, ElementF16>;
  apply_products<I, kKvF32, ProductF32<I>, ProductF32<I>>(table);
  apply_products<I, kKvF16, F16, F16>(table);
  apply_products<I, kKvBf16, Bf16, Bf16>(table);
  apply_products<I, kKvQ8, ProductGrouped<I, ElementU8>, ProductGrouped<I, ElementS8>>(table);
  table.store_key[kKvF32] = &store_key<EncodeF32<I>>;
  table.store_key[kKvF16] = &store_key<EncodeF16<I, true>>;
  table.store_key[kKvBf16] = &store_key<EncodeBf16<I>>;
  table.store_key[kKvQ8] = &store_key<EncodeQ8<I, 128>>;
  table.store_value[kKvF32] = &store_value<EncodeF32<I>>;
  table.store_value[kKvF16] = &store_value<EncodeF16<I, false>>;
  table.store_value[kKvBf16] = &store_value<EncodeBf16<I>>;
  table.store_value[kKvQ8] = &store_value<EncodeQ8<I, 0>>;
  table.fold_sums = &fold_sums<I>;
  table.merge = &merge<I>;
  table.normalize = &normalize<I>;
}

}  // namespace
}  // namespace tessera

#endif  // TESSERA_KERNELS_ATTENTION_BODY_H_
