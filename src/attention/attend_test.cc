// attend() against a double loop over what the pages hold, for every kernel layer, cache type and head shape; and bit for
// bit against itself in other chunks, batches, threads and page orders. Pages start as NaN: nothing unwritten may be read.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "attention/part.h"
#include "base/cpu_features.h"
#include "kernels/kernels.h"

namespace tessera {
namespace {

struct Layer {
  std::string name;
  KernelTable table;
};

const std::vector<Layer>& layers() {
  static const std::vector<Layer> all = [] {
    std::vector<Layer> found;
    for (const KernelLayer& layer : kernel_layers()) {
      if (layer.attention == nullptr) continue;  // the one below again
      auto table = build_kernel_table(layer.name, cpu_features());
      if (table.ok()) found.push_back({layer.name, *table});
    }
    return found;
  }();
  return all;
}

constexpr DType kCacheTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};

struct Shape {
  int64_t heads, kv_heads, head_dim;
};

double half_to_double(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return h >> 15 ? -magnitude : magnitude;
}

// Element (lane, depth) of a block, by the definition in kernels/attention_kernels.h.
double block_element(KvType type, const std::byte* block, int64_t lanes, int64_t depth_size, int64_t lane, int64_t depth,
                     int bias, int64_t token) {
  const int64_t g = type == kKvQ8 ? 4 : type == kKvF32 ? 1 : 2;
  const int64_t padded_depth = (depth_size + g - 1) / g * g;
  const int64_t panel = lane / kKvPanel * kKvPanel;
  const int64_t width = std::min<int64_t>(kKvPanel, lanes - panel);
  const int64_t index = panel * padded_depth + ((depth / g) * width + lane - panel) * g + depth % g;
  uint16_t half;
  float value;
  switch (type) {
    case kKvF32: std::memcpy(&value, block + index * 4, 4); return value;
    case kKvF16:
      std::memcpy(&half, block + kPageTokens * 4 + index * 2, 2);
      std::memcpy(&value, block + token * 4, 4);
      return half_to_double(half) * static_cast<double>(value);
    case kKvBf16: {
      std::memcpy(&half, block + index * 2, 2);
      const uint32_t bits = static_cast<uint32_t>(half) << 16;
      std::memcpy(&value, &bits, 4);
      return value;
    }
    case kKvQ8: {
      const int stored = std::to_integer<int>(block[kPageTokens * 4 + index]);
      std::memcpy(&value, block + token * 4, 4);
      return (bias ? stored - bias : static_cast<int8_t>(stored)) * static_cast<double>(value);
    }
  }
  return 0;
}

// One sequence: random queries, keys and values, written into pages of its own in a shuffled order.
struct Sequence {
  Sequence(Shape shape, int64_t tokens, uint32_t seed) : tokens_(tokens) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    q.resize(tokens * shape.heads * shape.head_dim);
    k.resize(tokens * shape.kv_heads * shape.head_dim);
    v.resize(k.size());
    for (auto* x : {&q, &k, &v}) {
      for (float& e : *x) e = normal(random) * 2.0f;
    }
  }
  int64_t tokens_;
  std::vector<float> q, k, v;
  std::vector<int32_t> pages;
};

struct Fixture {
  Fixture(Shape s, DType k_type, DType v_type, std::vector<int64_t> lengths)
      : shape(s), layout(make_kv_layout(k_type, v_type, s.kv_heads, s.head_dim)) {
    int32_t count = 0;
    for (size_t i = 0; i < lengths.size(); ++i) {
      sequences.emplace_back(s, lengths[i], static_cast<uint32_t>(i + 1));
      const int32_t used = static_cast<int32_t>((lengths[i] + kPageTokens - 1) / kPageTokens);
      for (int32_t p = used - 1; p >= 0; --p) sequences[i].pages.push_back(count + p);
      count += used;
    }
    memory.assign(layout.page_bytes() * static_cast<uint64_t>(count) + 64, std::byte{0xff});
    auto* data = memory.data();
    data += (64 - reinterpret_cast<uintptr_t>(data) % 64) % 64;
    pages = {data, layout.page_bytes()};
  }

  void store(const AttentionKernels& kernels, const Sequence& s, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      std::byte* page = pages.page(s.pages[t / kPageTokens]);
      for (int64_t h = 0; h < shape.kv_heads; ++h) {
        const int64_t row = (t * shape.kv_heads + h) * shape.head_dim;
        kernels.store_key[layout.k_type](&s.k[row], shape.head_dim, t % kPageTokens, layout.keys(page, h));
        kernels.store_value[layout.v_type](&s.v[row], shape.head_dim, t % kPageTokens, layout.values(page, h));
      }
    }
  }

  // What the pages hold for one kv head: [tokens, head_dim].
  std::vector<double> stored(const Sequence& s, int64_t h, bool keys) const {
    const int64_t lanes = (shape.head_dim + 15) / 16 * 16;
    std::vector<double> all;
    for (int64_t t = 0; t < s.tokens_; ++t) {
      const std::byte* page = pages.page(s.pages[t / kPageTokens]);
      const int64_t local = t % kPageTokens;
      for (int64_t d = 0; d < shape.head_dim; ++d) {
        all.push_back(keys ? block_element(layout.k_type, layout.keys(page, h), kPageTokens, shape.head_dim, local, d, 128, local)
                           : block_element(layout.v_type, layout.values(page, h), lanes, kPageTokens, d, local, 0, local));
      }
    }
    return all;
  }

  int64_t q_dim() const { return shape.heads * shape.head_dim; }

  Shape shape;
  KvLayout layout;
  std::vector<Sequence> sequences;
  std::vector<std::byte> memory;
  LayerPages pages;
};

AttentionPart part_of(const Fixture& f, const Sequence& s, KeyPlan plan, ScoreProgram program) {
  return {{&f.layout, f.pages, s.pages}, plan, program};
}

// Queries [begin, begin + tokens) of sequence s alone.
std::vector<float> run(Fixture& f, const AttentionKernels& kernels, const Sequence& s, int64_t begin, int64_t tokens,
                       std::vector<AttentionPart> parts, int threads = 1, std::vector<float>* lse = nullptr) {
  ThreadPool pool(threads);
  Arena arena;
  OpContext ctx{pool, arena};
  std::vector<float> out(tokens * f.q_dim(), NAN), sums(tokens * f.shape.heads, NAN);
  const AttentionQueries queries{0, tokens, begin, parts};
  attend(ctx, kernels, {&queries, 1}, Rows<const float>(&s.q[begin * f.q_dim()], tokens, f.q_dim()),
         Rows<float>(out.data(), tokens, f.q_dim()), Rows<float>(sums.data(), tokens, f.shape.heads));
  if (lse) *lse = sums;
  return out;
}

struct Reference {
  std::vector<double> out, bound, lse;
};

// Error bounds: scores of the arithmetic in use are off by at most e_s = unit * sum_d |q_d k_d| * scale (+ rounding of the
// maximum and of 2^x), weights relatively by 2 e_s + e_p, outputs by that times the largest |v|.
double query_unit(const std::string& layer, KvType k, int64_t head_dim) {
  const double f32 = static_cast<double>(head_dim + 8) * 0x1p-24;
  if (layer == "avx512_bf16" && k == kKvBf16) return f32 + 0x1p-8;
  return f32;
}
// Queries and weights of 8 bits against q8_0 pages, 16 bits against f16 pages; the other layers compute with f32.
bool has_integer_products(const std::string& layer) { return layer == "avx512_vnni" || layer == "avx512_bf16"; }

// Errors of 2^x in a weight and in the sum of weights, and of sums over up to a thousand tokens; rounding to bf16.
double weight_unit(const std::string& layer, KvType v) {
  const double f32 = 0x1p-16, degree_3 = 2 * 7.5e-5;
  if (layer == "avx512_bf16" && v == kKvBf16) return f32 + degree_3 + 0x1p-8;
  if (has_integer_products(layer) && v == kKvQ8) return f32 + degree_3;
  return f32;
}
// By what the bound that weights of 8 bits are relative to may exceed the page's largest: 2^0.0861 (IntegerWeights).
constexpr double kSlack = 1.0615;

// Error of q . k when both are integers of 16 bits: half a unit of each (EncodeF16, QueryHalves).
double half_product_error(const float* q, const double* k, int64_t dim) {
  double q_max = 0, q_size = 0, q_square = 0, k_size = 0, k_square = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const double a = std::abs(static_cast<double>(q[d])), b = std::abs(k[d]);
    q_max = std::max(q_max, a), q_size += a, q_square += a * a;
    k_size += b, k_square += b * b;
  }
  const double q_unit = std::max(q_max / 32767, std::sqrt(q_square) / 65000), k_unit = std::sqrt(k_square) / 16384;
  return 0.501 * (q_size * k_unit + k_size * q_unit);
}

// Error of the weighted sum, of the largest value: half a unit of each value, and of each weight relative to the larger of
// its page's largest and a quarter of their sum.
double half_weight_error(double tokens, double sum) {
  const double pages = std::ceil(tokens / kPageTokens) + 1;
  return 0x1.01p-14 + kPageTokens * (0.251 + pages / sum) / 32767;
}

Reference oracle(const Fixture& f, const Sequence& s, int64_t begin, int64_t tokens, KeyPlan plan, ScoreProgram program,
                 const std::string& layer) {
  const int64_t dim = f.shape.head_dim, heads = f.shape.heads, group = heads / f.shape.kv_heads;
  Reference ref;
  ref.out.resize(tokens * f.q_dim());
  ref.bound.resize(tokens * f.q_dim());
  ref.lse.resize(tokens * heads);
  std::vector<double> keys, values;
  for (int64_t h = 0; h < heads; ++h) {
    if (h % group == 0) keys = f.stored(s, h / group, true), values = f.stored(s, h / group, false);
    for (int64_t t = begin; t < begin + tokens; ++t) {
      const KeyRange seen = plan.visible(t);
      const float* q = &s.q[t * f.q_dim() + h * dim];
      double q_max = 0, top = -INFINITY, score_error = 0, sum = 0, v_max = 0;
      for (int64_t d = 0; d < dim; ++d) q_max = std::max(q_max, std::abs(static_cast<double>(q[d])));
      std::vector<double> p;
      for (int64_t j = seen.begin; j < seen.end; ++j) {
        double dot = 0, size = 0, k_size = 0;
        for (int64_t d = 0; d < dim; ++d) {
          const double k = keys[j * dim + d];
          dot += q[d] * k;
          size += std::abs(q[d] * k);
          k_size += std::abs(k);
        }
        double error = size * query_unit(layer, f.layout.k_type, dim);
        if (f.layout.k_type == kKvQ8 && has_integer_products(layer)) error += k_size * q_max * 0.5001 / 127;
        if (f.layout.k_type == kKvF16 && has_integer_products(layer)) {
          error += half_product_error(q, &keys[j * dim], dim);
        }
        score_error = std::max(score_error, error * program.scale);
        dot *= program.scale;
        if (program.softcap != 0) dot = program.softcap * std::tanh(dot / program.softcap);
        p.push_back(dot);
        top = std::max(top, dot);
      }
      for (double& x : p) sum += x = std::exp(x - top);
      ref.lse[(t - begin) * heads + h] = top + std::log(sum);
      double* out = &ref.out[(t - begin) * f.q_dim() + h * dim];
      for (int64_t j = seen.begin; j < seen.end; ++j) {
        for (int64_t d = 0; d < dim; ++d) {
          out[d] += p[j - seen.begin] / sum * values[j * dim + d];
          v_max = std::max(v_max, std::abs(values[j * dim + d]));
        }
      }
      double weight_error = weight_unit(layer, f.layout.v_type);
      if (f.layout.v_type == kKvQ8 && has_integer_products(layer)) {
        // Each weight is off by at most half a step, of about the largest of its page, which is at most 1.
        weight_error += static_cast<double>(p.size()) * 0.5001 * kSlack / 255 / sum;
      }
      if (f.layout.v_type == kKvF16 && has_integer_products(layer)) {
        weight_error += half_weight_error(static_cast<double>(p.size()), sum);
      }
      const double bound = v_max * (2 * score_error + weight_error + 0x1p-20 * std::abs(top));
      std::fill_n(&ref.bound[(t - begin) * f.q_dim() + h * dim], dim, bound);
    }
  }
  return ref;
}

void expect_near(const std::vector<float>& got, const Reference& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.out.size());
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double ratio = std::abs(got[i] - want.out[i]) / want.bound[i];
    if (!(ratio <= worst)) worst = ratio, at = i;
  }
  EXPECT_LE(worst, 1.0) << what << ": element " << at << " is " << got[at] << ", expected " << want.out[at] << " +- "
                        << want.bound[at];
}

std::string name_of(const Layer& layer, Shape s, DType k, DType v) {
  return layer.name + " " + std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + "x" + std::to_string(s.head_dim) +
         " " + std::string(to_string(k)) + "/" + std::string(to_string(v));
}

constexpr ScoreProgram kPlain{0.125f, 0.0f};

TEST(Attend, EqualsDoubleLoop) {
  const Shape shapes[] = {{4, 4, 16}, {8, 1, 64}, {6, 2, 43}, {14, 2, 80}, {5, 1, 8}, {2, 2, 128}, {7, 1, 256}};
  for (const Layer& layer : layers()) {
    for (Shape shape : shapes) {
      for (DType type : kCacheTypes) {
        Fixture f(shape, type, type, {103});
        const Sequence& s = f.sequences[0];
        f.store(layer.table.attention, s, 0, s.tokens_);
        const auto got = run(f, layer.table.attention, s, 60, 43, {part_of(f, s, {}, kPlain)});
        expect_near(got, oracle(f, s, 60, 43, {}, kPlain, layer.name), name_of(layer, shape, type, type));
      }
    }
  }
}

// Vectors that bring sums of products to their limits: all numbers equal, one that dwarfs the others, signs that agree with
// the query's; large and small numbers beside each other; tokens of zeros.
TEST(Attend, NumbersAtTheirLimits) {
  const std::pair<float, float> sizes[] = {{1e-6f, 1e6f}, {1e6f, 1e-6f}, {1e-12f, 1e-12f}};  // of values, by page
  for (const Layer& layer : layers()) {
    for (Shape shape : {Shape{8, 1, 64}, Shape{2, 1, 256}}) {
      for (DType type : kCacheTypes) {
        for (const auto& [first, second] : sizes) {
          Fixture f(shape, type, type, {128});
          Sequence& s = f.sequences[0];
          for (int64_t i = 0; i < s.tokens_ * shape.head_dim; ++i) {
            const int64_t t = i / shape.head_dim, d = i % shape.head_dim;
            const float sign = d % 3 == 0 ? -1.0f : 1.0f, size = t % 5 == 0 ? 1e-9f : 3.0f;
            const float shapes[] = {1.0f, d == 7 ? 32.0f : 0.0f, d == 7 ? 9.0f : 1e-3f, 0.0f};
            s.k[i] = shapes[t % 4] * size * sign;
            s.v[i] = shapes[(t + d / 16) % 4] * (t < 64 ? first : second);
            for (int64_t h = 0; h < shape.heads; ++h) {
              s.q[t * f.q_dim() + h * shape.head_dim + d] = (h % 2 == 0 || d == 7 ? 0.25f : 0.0f) * sign;
            }
          }
          f.store(layer.table.attention, s, 0, s.tokens_);
          for (int64_t begin : {63, 127}) {
            const auto got = run(f, layer.table.attention, s, begin, 1, {part_of(f, s, {}, kPlain)});
            expect_near(got, oracle(f, s, begin, 1, {}, kPlain, layer.name), name_of(layer, shape, type, type));
          }
        }
      }
    }
  }
}

TEST(Attend, MixedCacheTypes) {
  const Shape shape{4, 2, 36};
  for (const Layer& layer : layers()) {
    for (DType k : kCacheTypes) {
      for (DType v : kCacheTypes) {
        Fixture f(shape, k, v, {77});
        const Sequence& s = f.sequences[0];
        f.store(layer.table.attention, s, 0, s.tokens_);
        const auto got = run(f, layer.table.attention, s, 75, 2, {part_of(f, s, {}, kPlain)});
        expect_near(got, oracle(f, s, 75, 2, {}, kPlain, layer.name), name_of(layer, shape, k, v));
      }
    }
  }
}

TEST(Attend, WindowSoftcapAndOpenPlans) {
  const Shape shape{4, 2, 32};
  const KeyPlan plans[] = {{.window = 1}, {.window = 64}, {.window = 100}, {.begin = 70, .window = 300},
                           {.end = 130, .causal = false}, {.begin = 65, .end = 66, .causal = false}};
  const ScoreProgram programs[] = {{0.3f, 0.0f}, {0.2f, 5.0f}};
  for (const Layer& layer : layers()) {
    for (DType values : kCacheTypes) {
      Fixture f(shape, DType::kF32, values, {700});
      const Sequence& s = f.sequences[0];
      f.store(layer.table.attention, s, 0, s.tokens_);
      for (const KeyPlan& plan : plans) {
        for (const ScoreProgram& program : programs) {
          const Reference want = oracle(f, s, 500, 140, plan, program, layer.name);
          for (int threads : {1, 3}) {
            std::vector<float> lse;
            const auto got = run(f, layer.table.attention, s, 500, 140, {part_of(f, s, plan, program)}, threads, &lse);
            expect_near(got, want, name_of(layer, shape, DType::kF32, values));
            for (size_t i = 0; i < lse.size(); ++i) ASSERT_NEAR(lse[i], want.lse[i], 2e-4) << layer.name;
          }
        }
      }
    }
  }
}

TEST(Attend, PagesOutsideTheWindowAreNotTouched) {
  Fixture f({2, 1, 16}, DType::kF16, DType::kF16, {1000});
  Sequence& s = f.sequences[0];
  f.store(layers()[0].table.attention, s, 0, s.tokens_);
  for (int i = 0; i < 13; ++i) s.pages[i] = -1'000'000'000;  // 13 pages = 832 tokens
  const auto got = run(f, layers()[0].table.attention, s, 999, 1, {part_of(f, s, {.window = 168}, kPlain)});
  for (float x : got) EXPECT_TRUE(std::isfinite(x));
}

TEST(Attend, NothingVisibleIsZero) {
  for (const Layer& layer : layers()) {
    for (DType values : kCacheTypes) {
      Fixture f({2, 1, 16}, DType::kF32, values, {10});
      const Sequence& s = f.sequences[0];
      f.store(layer.table.attention, s, 0, s.tokens_);
      for (int threads : {1, 3}) {
        std::vector<float> lse;
        const auto got = run(f, layer.table.attention, s, 3, 2, {part_of(f, s, {.begin = 5}, kPlain)}, threads, &lse);
        for (float x : got) EXPECT_EQ(x, 0.0f);
        for (float x : lse) EXPECT_EQ(x, -INFINITY);
      }
    }
  }
}

// Values of zero, in a page or in all of them, count as zero and leave the log-sum-exp alone.
TEST(Attend, ValuesOfZero) {
  for (const Layer& layer : layers()) {
    for (DType values : kCacheTypes) {
      for (int64_t zeros : {int64_t{64}, int64_t{130}}) {
        Fixture f({4, 2, 32}, DType::kF32, values, {130});
        Sequence& s = f.sequences[0];
        std::fill_n(s.v.begin(), zeros * 2 * 32, 0.0f);
        f.store(layer.table.attention, s, 0, s.tokens_);
        std::vector<float> lse;
        const auto got = run(f, layer.table.attention, s, 60, 70, {part_of(f, s, {}, kPlain)}, 1, &lse);
        const Reference want = oracle(f, s, 60, 70, {}, kPlain, layer.name);
        const std::string what = name_of(layer, f.shape, DType::kF32, values) + " " + std::to_string(zeros);
        for (size_t i = 0; i < got.size(); ++i) ASSERT_LE(std::abs(got[i] - want.out[i]), want.bound[i]) << what;
        for (size_t i = 0; i < lse.size(); ++i) ASSERT_NEAR(lse[i], want.lse[i], 2e-4) << what;
      }
    }
  }
}

// Vectors that bytes cannot hold are stored as zeros, and must not push the others aside.
TEST(Attend, ValuesBeyondQ8) {
  for (const Layer& layer : layers()) {
    for (float size : {3e38f, INFINITY}) {
      Fixture f({4, 1, 32}, DType::kF32, DType::kQ8_0, {200});
      Sequence& s = f.sequences[0];
      std::fill_n(s.v.begin() + 5 * 32, 32, size);
      std::fill_n(s.v.begin() + 130 * 32, 32, -size);
      f.store(layer.table.attention, s, 0, s.tokens_);
      const auto got = run(f, layer.table.attention, s, 198, 2, {part_of(f, s, {}, kPlain)}, 2);
      expect_near(got, oracle(f, s, 198, 2, {}, kPlain, layer.name), layer.name);
    }
  }
}

// A cut of the keys into parts gives the same result up to rounding: prefix and rest merge by log-sum-exp, also when their
// values have different types.
TEST(Attend, PartsMerge) {
  const Shape shape{4, 2, 24};
  for (const Layer& layer : layers()) {
    const AttentionKernels& kernels = layer.table.attention;
    for (DType first : kCacheTypes) {
      Fixture f(shape, DType::kF32, first, {300});
      const Sequence& s = f.sequences[0];
      f.store(kernels, s, 0, s.tokens_);
      const Reference head = oracle(f, s, 290, 10, {.end = 37}, kPlain, layer.name);
      for (DType second : kCacheTypes) {
        Fixture g(shape, DType::kF32, second, {300});  // the same numbers
        const Sequence& u = g.sequences[0];
        g.store(kernels, u, 0, u.tokens_);
        const Reference tail = oracle(g, u, 290, 10, {.begin = 37}, kPlain, layer.name);
        Reference want = tail;
        for (size_t i = 0; i < want.out.size(); ++i) {
          const size_t row = i / shape.head_dim;  // token and head
          const double share = 1 / (1 + std::exp(tail.lse[row] - head.lse[row]));
          want.out[i] = share * head.out[i] + (1 - share) * tail.out[i];
          want.bound[i] = head.bound[i] + tail.bound[i];
        }
        const auto got = run(f, kernels, s, 290, 10,
                             {part_of(f, s, {.end = 37}, kPlain), part_of(g, u, {.begin = 37}, kPlain)}, 2);
        expect_near(got, want, name_of(layer, shape, first, second));
      }
    }
  }
}

TEST(Attend, SameBitsInAnyChunkAndThreads) {
  const Shape shapes[] = {{8, 1, 64}, {3, 1, 43}, {2, 2, 80}, {66, 1, 8}};
  for (const Layer& layer : layers()) {
    const AttentionKernels& kernels = layer.table.attention;
    for (Shape shape : shapes) {
      for (DType type : kCacheTypes) {
        for (int64_t window : {0, 90}) {
          if (window > 0 && shape.kv_heads == 1 && shape.heads > 3) continue;  // two shapes are enough
          Fixture f(shape, type, type, {577});
          const Sequence& s = f.sequences[0];
          f.store(kernels, s, 0, 577);
          const std::vector<AttentionPart> parts = {part_of(f, s, {.window = window}, kPlain)};
          const auto whole = run(f, kernels, s, 0, 577, parts);
          for (int threads : {2, 3}) ASSERT_EQ(whole, run(f, kernels, s, 0, 577, parts, threads));
          // Token by token, while later pages still hold garbage.
          Fixture g(shape, type, type, {577});
          const Sequence& u = g.sequences[0];
          const std::vector<AttentionPart> own = {part_of(g, u, {.window = window}, kPlain)};
          int64_t done = 0;
          for (int64_t step : {1, 1, 63, 2, 100, 1, 1, 31, 57, 255, 64, 1}) {
            g.store(kernels, u, done, done + step);
            const auto piece = run(g, kernels, u, done, step, own, step % 3 + 1);
            const std::vector<float> expected(whole.begin() + done * f.q_dim(), whole.begin() + (done + step) * f.q_dim());
            ASSERT_EQ(piece, expected) << name_of(layer, shape, type, type) << " at " << done;
            done += step;
          }
          ASSERT_EQ(done, 577);
        }
      }
    }
  }
}

TEST(Attend, RaggedBatchEqualsEachAlone) {
  const Shape shape{8, 2, 40};
  const std::vector<int64_t> lengths = {700, 1, 65, 64, 300, 129};
  const std::vector<int64_t> news = {1, 1, 65, 3, 200, 1};
  for (const Layer& layer : layers()) {
    for (DType type : kCacheTypes) {
      Fixture f(shape, type, type, lengths);
      std::vector<AttentionPart> parts;
      std::vector<AttentionQueries> queries;
      std::vector<float> q, expected;
      for (const Sequence& s : f.sequences) {
        f.store(layer.table.attention, s, 0, s.tokens_);
        parts.push_back(part_of(f, s, {}, kPlain));
      }
      int64_t row = 0;
      for (size_t i = 0; i < lengths.size(); ++i) {
        const Sequence& s = f.sequences[i];
        queries.push_back({row, news[i], lengths[i] - news[i], std::span(parts).subspan(i, 1)});
        row += news[i];
        q.insert(q.end(), s.q.end() - news[i] * f.q_dim(), s.q.end());
        const auto alone = run(f, layer.table.attention, s, lengths[i] - news[i], news[i], {parts[i]});
        expected.insert(expected.end(), alone.begin(), alone.end());
      }
      for (int threads : {1, 2, 3, 16}) {
        ThreadPool pool(threads);
        Arena arena;
        OpContext ctx{pool, arena};
        std::vector<float> out(q.size());
        attend(ctx, layer.table.attention, queries, Rows<const float>(q.data(), row, f.q_dim()),
               Rows<float>(out.data(), row, f.q_dim()));
        ASSERT_EQ(out, expected) << layer.name << " " << to_string(type) << ", threads: " << threads;
      }
    }
  }
}

TEST(Attend, AllocatesNothingAfterWarmUp) {
  Fixture f({4, 1, 16}, DType::kF16, DType::kF16, {500});
  const Sequence& s = f.sequences[0];
  const AttentionKernels& kernels = layers().back().table.attention;
  f.store(kernels, s, 0, 500);
  const AttentionPart part = part_of(f, s, {}, kPlain);
  const AttentionQueries queries{0, 4, 496, {&part, 1}};
  ThreadPool pool(2);
  Arena arena;
  OpContext ctx{pool, arena};
  std::vector<float> out(4 * f.q_dim());
  uint64_t peak = 0;
  for (int i = 0; i < 3; ++i) {
    arena.reset();
    attend(ctx, kernels, {&queries, 1}, Rows<const float>(s.q.data(), 4, f.q_dim()), Rows<float>(out.data(), 4, f.q_dim()));
    if (i == 0) peak = arena.peak_bytes();
    EXPECT_EQ(arena.peak_bytes(), peak);
  }
}

}  // namespace
}  // namespace tessera
