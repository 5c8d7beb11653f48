// make_dense_attention() against plain double loops over the formula, and against itself in other chunks and batches.
#include "attention/dense.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/math.h"

namespace tessera {
namespace {

using Matrix = std::vector<float>;  // [rows, cols]

Matrix random_matrix(int64_t rows, int64_t cols, uint32_t seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  Matrix m(rows * cols);
  for (float& x : m) x = normal(random);
  return m;
}

Linear pack(const Matrix& m, int64_t cols, ThreadPool& pool) {
  const int64_t rows = static_cast<int64_t>(m.size()) / cols;
  auto linear = Linear::pack({DType::kF32, rows, cols,
                              [&](int64_t begin, int64_t, FunctionRef<void(const std::byte*)> use) {
                                use(reinterpret_cast<const std::byte*>(m.data() + begin * cols));
                              }},
                             pool);
  EXPECT_TRUE(linear.ok()) << linear.status().message();
  return std::move(*linear);
}

struct Case {
  DenseAttentionSettings settings;
  bool qk_norm = false;
  bool fused = false;
};

DenseAttentionSettings settings(int64_t heads, int64_t kv_heads, int64_t head_dim) {
  DenseAttentionSettings s;
  s.model_dim = 32;
  s.heads = heads;
  s.kv_heads = kv_heads;
  s.head_dim = head_dim;
  s.k_dtype = s.v_dtype = DType::kF32;
  return s;
}

struct Model {
  explicit Model(const Case& c, ThreadPool& pool) : settings(c.settings) {
    const int64_t dim = settings.model_dim, q_dim = settings.heads * settings.head_dim;
    const int64_t kv_dim = settings.kv_heads * settings.head_dim;
    q = random_matrix(q_dim, dim, 1, 0.3f);
    k = random_matrix(kv_dim, dim, 2, 0.3f);
    v = random_matrix(kv_dim, dim, 3, 0.3f);
    out = random_matrix(dim, q_dim, 4, 0.3f);
    DenseAttentionWeights w;
    if (c.fused) {
      Matrix all = q;
      all.insert(all.end(), k.begin(), k.end());
      all.insert(all.end(), v.begin(), v.end());
      w.qkv = pack(all, dim, pool);
    } else {
      w.q = pack(q, dim, pool);
      w.k = pack(k, dim, pool);
      w.v = pack(v, dim, pool);
    }
    w.out = pack(out, q_dim, pool);
    if (c.qk_norm) {
      w.q_norm = q_norm = random_matrix(1, settings.head_dim, 5, 1.0f);
      w.k_norm = k_norm = random_matrix(1, settings.head_dim, 6, 1.0f);
    }
    mixer = make_dense_attention(settings, std::move(w));
    rope = RopeTable(settings.rope);
  }

  DenseAttentionSettings settings;
  Matrix q, k, v, out, q_norm, k_norm;
  std::unique_ptr<TokenMixer> mixer;
  RopeTable rope;
};

// State of one or more sequences, NaN where nothing was written.
struct State {
  State(const TokenMixer& mixer, int64_t pages) : bytes(mixer.state().page_bytes * static_cast<uint64_t>(pages)) {
    std::memset(bytes.data(), 0xff, bytes.size());
    layer = {bytes.data(), mixer.state().page_bytes};
  }
  AlignedBytes bytes;
  LayerPages layer;
};

// Runs the sequences' next tokens as one batch. x: all rows.
Matrix forward(const Model& m, ThreadPool& pool, LayerPages pages, std::vector<BatchSequence> sequences, const Matrix& x,
               bool accumulate = false, Matrix out = {}) {
  Arena arena;
  OpContext ctx{pool, arena};
  const int64_t dim = m.settings.model_dim, rows = static_cast<int64_t>(x.size()) / dim;
  std::vector<int32_t> positions, tokens(rows);
  for (const BatchSequence& s : sequences) {
    for (int64_t t = 0; t < s.tokens; ++t) positions.push_back(static_cast<int32_t>(s.position + t));
  }
  const Batch batch{tokens, positions, sequences, {}};
  const RopeRows rope = m.settings.rope.dims > 0 ? m.rope.rows(ctx, positions) : RopeRows{};
  if (out.empty()) out.assign(x.size(), NAN);
  LinearInput input(ctx, Rows<const float>(x.data(), rows, dim));
  m.mixer->forward(ctx, batch, rope, pages, input, accumulate,
                   Rows<float>(out.data(), rows, dim));
  return out;
}

std::vector<double> multiply(const Matrix& w, const double* x, int64_t cols) {
  std::vector<double> y(w.size() / cols);
  for (size_t r = 0; r < y.size(); ++r) {
    for (int64_t c = 0; c < cols; ++c) y[r] += static_cast<double>(w[r * cols + c]) * x[c];
  }
  return y;
}

void normalize_and_rotate(const Model& m, const Matrix& norm, double position, double* head) {
  const DenseAttentionSettings& s = m.settings;
  if (!norm.empty()) {
    double sum = 0;
    for (int64_t d = 0; d < s.head_dim; ++d) sum += head[d] * head[d];
    const double factor = 1 / std::sqrt(sum / static_cast<double>(s.head_dim) + s.qk_norm_eps);
    for (int64_t d = 0; d < s.head_dim; ++d) head[d] *= factor * norm[d];
  }
  const int64_t pairs = s.rope.dims / 2;
  for (int64_t i = 0; i < pairs; ++i) {
    const double angle = position * std::pow(s.rope.freq_base, -2.0 * static_cast<double>(i) / static_cast<double>(s.rope.dims));
    double& a = s.rope.pairs == RopePairs::kInterleaved ? head[2 * i] : head[i];
    double& b = s.rope.pairs == RopePairs::kInterleaved ? head[2 * i + 1] : head[i + pairs];
    const double x = a, y = b;
    a = x * std::cos(angle) - y * std::sin(angle);
    b = x * std::sin(angle) + y * std::cos(angle);
  }
}

struct Counted {
  std::vector<double> out;  // [tokens, model_dim]
  double attention_flops = 0;
};

Counted oracle(const Model& m, const Matrix& x) {
  const DenseAttentionSettings& s = m.settings;
  const int64_t dim = s.model_dim, tokens = static_cast<int64_t>(x.size()) / dim, head_dim = s.head_dim;
  const double scale = s.scale != 0 ? s.scale : 1 / std::sqrt(static_cast<double>(head_dim));
  std::vector<std::vector<double>> keys, values;
  Counted result;
  for (int64_t t = 0; t < tokens; ++t) {
    const std::vector<double> row(x.begin() + t * dim, x.begin() + (t + 1) * dim);
    std::vector<double> q = multiply(m.q, row.data(), dim), k = multiply(m.k, row.data(), dim);
    for (int64_t h = 0; h < s.heads; ++h) normalize_and_rotate(m, m.q_norm, static_cast<double>(t), &q[h * head_dim]);
    for (int64_t h = 0; h < s.kv_heads; ++h) normalize_and_rotate(m, m.k_norm, static_cast<double>(t), &k[h * head_dim]);
    keys.push_back(k);
    values.push_back(multiply(m.v, row.data(), dim));
    std::vector<double> mixed(s.heads * head_dim);
    const int64_t first = s.window > 0 ? std::max<int64_t>(0, t + 1 - s.window) : 0;
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t kv = h / (s.heads / s.kv_heads) * head_dim;
      double sum = 0;
      for (int64_t j = first; j <= t; ++j) {
        double score = 0;
        for (int64_t d = 0; d < head_dim; ++d) score += q[h * head_dim + d] * keys[j][kv + d];
        score *= scale;
        if (s.score_softcap != 0) score = s.score_softcap * std::tanh(score / s.score_softcap);
        const double p = std::exp(score);
        sum += p;
        for (int64_t d = 0; d < head_dim; ++d) mixed[h * head_dim + d] += p * values[j][kv + d];
        result.attention_flops += 4.0 * static_cast<double>(head_dim);
      }
      for (int64_t d = 0; d < head_dim; ++d) mixed[h * head_dim + d] /= sum;
    }
    const std::vector<double> y = multiply(m.out, mixed.data(), s.heads * head_dim);
    result.out.insert(result.out.end(), y.begin(), y.end());
  }
  return result;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  all.push_back({settings(4, 4, 8)});
  all.push_back({settings(6, 2, 12)});
  all.back().settings.rope = {.dims = 12, .pairs = RopePairs::kInterleaved};
  all.push_back({settings(4, 1, 16), true});
  all.back().settings.rope = {.dims = 16, .pairs = RopePairs::kHalves, .freq_base = 1e6};
  all.back().settings.qk_norm_eps = 1e-6f;
  all.push_back({settings(4, 2, 20), true, true});
  all.back().settings.rope = {.dims = 8, .pairs = RopePairs::kHalves};
  all.back().settings.qk_norm_eps = 1e-5f;
  all.back().settings.window = 50;
  all.back().settings.score_softcap = 3.0f;
  all.back().settings.scale = 0.4f;
  return all;
}

constexpr int64_t kTokens = 140;
const std::vector<int32_t> kPages = {2, 0, 1};

TEST(DenseAttention, EqualsTheFormula) {
  ThreadPool pool(2);
  for (const Case& c : cases()) {
    const Model m(c, pool);
    const Matrix x = random_matrix(kTokens, m.settings.model_dim, 7, 1.0f);
    State state(*m.mixer, 3);
    const Matrix got = forward(m, pool, state.layer, {{0, kTokens, 0, kPages}}, x);
    const Counted want = oracle(m, x);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want.out[i], 2e-4) << i;

    const StepCost cost = m.mixer->cost({.tokens = kTokens, .sequences = 1, .context_tokens = 0});
    EXPECT_DOUBLE_EQ(cost.attention_flops, want.attention_flops);
    const double split = m.mixer->cost({.tokens = 90, .context_tokens = 0}).attention_flops +
                         m.mixer->cost({.tokens = 50, .context_tokens = 90}).attention_flops;
    EXPECT_DOUBLE_EQ(split, want.attention_flops);
    EXPECT_DOUBLE_EQ(m.mixer->cost({.tokens = 3, .sequences = 3, .context_tokens = 20}).attention_flops,
                     3 * m.mixer->cost({.tokens = 1, .context_tokens = 20}).attention_flops);
  }
}

TEST(DenseAttention, SameBitsInChunksAndBatchesAndSharedPages) {
  ThreadPool one(1), three(3);
  const DType types[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};
  for (Case c : cases()) {
    for (DType type : types) {
      c.settings.k_dtype = c.settings.v_dtype = type;
      const Model m(c, one);
      const int64_t dim = m.settings.model_dim;
      const Matrix x = random_matrix(kTokens, dim, 7, 1.0f), other = random_matrix(70, dim, 8, 1.0f);
      const auto rows = [&](const Matrix& from, int64_t begin, int64_t end) {
        return Matrix(from.begin() + begin * dim, from.begin() + end * dim);
      };
      State alone(*m.mixer, 3);
      const Matrix whole = forward(m, one, alone.layer, {{0, kTokens, 0, kPages}}, x);
      State threaded(*m.mixer, 3);
      ASSERT_EQ(whole, forward(m, three, threaded.layer, {{0, kTokens, 0, kPages}}, x));

      // Together with another sequence, in pieces; then a fork that shares the first page and continues differently.
      State both(*m.mixer, 6);
      const std::vector<int32_t> other_pages = {5, 3}, fork_pages = {2, 4};
      const Matrix other_alone = [&] {
        State s(*m.mixer, 2);
        const std::vector<int32_t> pages = {0, 1};
        return forward(m, one, s.layer, {{0, 70, 0, pages}}, other);
      }();
      Matrix joined = rows(x, 0, 64), piece = rows(other, 0, 69);
      joined.insert(joined.end(), piece.begin(), piece.end());
      Matrix expected = rows(whole, 0, 64);
      piece = rows(other_alone, 0, 69);
      expected.insert(expected.end(), piece.begin(), piece.end());
      ASSERT_EQ(forward(m, three, both.layer, {{0, 64, 0, kPages}, {64, 69, 0, other_pages}}, joined), expected);

      joined = rows(x, 64, 65);
      piece = rows(other, 69, 70);
      joined.insert(joined.end(), piece.begin(), piece.end());
      piece = rows(x, 64, 67);  // the fork's own tokens: the same, so the same numbers
      joined.insert(joined.end(), piece.begin(), piece.end());
      expected = rows(whole, 64, 65);
      piece = rows(other_alone, 69, 70);
      expected.insert(expected.end(), piece.begin(), piece.end());
      piece = rows(whole, 64, 67);
      expected.insert(expected.end(), piece.begin(), piece.end());
      ASSERT_EQ(forward(m, three, both.layer, {{0, 1, 64, kPages}, {1, 1, 69, other_pages}, {2, 3, 64, fork_pages}}, joined),
                expected);
      ASSERT_EQ(forward(m, one, both.layer, {{0, kTokens - 65, 65, kPages}}, rows(x, 65, kTokens)), rows(whole, 65, kTokens));
    }
  }
}

TEST(DenseAttention, AccumulateAddsToTheResidual) {
  ThreadPool pool(1);
  const Model m(cases()[1], pool);
  const Matrix x = random_matrix(5, m.settings.model_dim, 7, 1.0f);
  State state(*m.mixer, 1);
  const std::vector<int32_t> pages = {0};
  const Matrix plain = forward(m, pool, state.layer, {{0, 5, 0, pages}}, x);
  const Matrix added = forward(m, pool, state.layer, {{0, 5, 0, pages}}, x, true, x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(added[i], x[i] + plain[i], 1e-5);
}

TEST(DenseAttention, DeclaresItsState) {
  DenseAttentionSettings s = settings(32, 4, 64);
  s.k_dtype = s.v_dtype = DType::kF16;
  EXPECT_EQ(dense_attention_state(s).page_bytes, 4u * 64 * (4 + 128) * 2);
  s.k_dtype = DType::kQ8_0;
  EXPECT_EQ(dense_attention_state(s).page_bytes, 4u * 64 * (64 + 4 + 128 + 4));
  EXPECT_EQ(dense_attention_state(s).rollback, StateDeclaration::Rollback::kTruncate);
}

}  // namespace
}  // namespace tessera
