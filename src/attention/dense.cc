// Dense attention, one forward pass over a ragged batch:
//   q, k, v = projections of x;  norm and rotate q, k;  append k, v to the pages;  attend;  out = projection.
#include "attention/dense.h"

#include <cmath>
#include <utility>

#include "attention/part.h"
#include "base/check.h"
#include "base/math.h"
#include "kernels/kernels.h"
#include "ops/norm.h"

namespace tessera {
namespace {

constexpr int64_t kAppendRows = 32;  // a chunk of rows that one thread writes: whole key panels, no shared cache lines

KvLayout layout_of(const DenseAttentionSettings& s) { return make_kv_layout(s.k_dtype, s.v_dtype, s.kv_heads, s.head_dim); }

StateDeclaration state_of(const KvLayout& layout) {
  StateDeclaration state;
  state.page_bytes = layout.page_bytes();
  return state;
}

// Keys that the queries [position, position + tokens) see, summed over the queries.
double visible_pairs(const DenseAttentionSettings& s, double position, double tokens) {
  const double last = position + tokens;
  const double all = (position + 1 + last) / 2 * tokens;
  if (s.window <= 0) return all;
  const double window = static_cast<double>(s.window);
  if (position + 1 >= window) return window * tokens;
  const double growing = std::min(tokens, window - position);  // queries that see everything before them
  return (position + 1 + position + growing) / 2 * growing + window * (tokens - growing);
}

StepCost attention_cost(const DenseAttentionSettings& s, const StepShape& shape) {
  StepCost cost;
  const double sequences = static_cast<double>(std::max<int64_t>(shape.sequences, 1));
  const double tokens = static_cast<double>(shape.tokens) / sequences;
  const double context = static_cast<double>(shape.context_tokens);
  const double token_bytes = static_cast<double>(layout_of(s).page_bytes()) / static_cast<double>(kPageTokens);
  const double row_flops = 4.0 * static_cast<double>(s.heads * s.head_dim);  // scores and weighted sum, per pair
  cost.attention_flops = sequences * visible_pairs(s, context, tokens) * row_flops;
  double seen = context + tokens;  // keys that any query of a sequence sees
  if (s.window > 0) seen = std::min(seen, static_cast<double>(s.window) - 1 + tokens);
  cost.state_bytes = sequences * (seen + tokens) * token_bytes;  // read once, new ones written
  return cost;
}

class DenseAttention final : public TokenMixer {
 public:
  DenseAttention(DenseAttentionSettings settings, DenseAttentionWeights weights)
      : s_(std::move(settings)), w_(std::move(weights)), layout_(layout_of(s_)) {
    TESSERA_CHECK(s_.kv_heads > 0 && s_.head_dim > 0 && s_.heads % s_.kv_heads == 0);
    const int64_t q_dim = s_.heads * s_.head_dim, kv_dim = s_.kv_heads * s_.head_dim;
    if (w_.qkv.empty()) {
      TESSERA_CHECK(w_.q.rows() == q_dim && w_.k.rows() == kv_dim && w_.v.rows() == kv_dim);
    } else {
      TESSERA_CHECK(w_.qkv.rows() == q_dim + 2 * kv_dim);
    }
    TESSERA_CHECK(w_.out.cols() == q_dim);
  }

  StateDeclaration state() const override { return state_of(layout_); }

  StepCost cost(const StepShape& shape) const override {
    StepCost cost = attention_cost(s_, shape);
    const double weights = static_cast<double>(
        (w_.qkv.empty() ? elements(w_.q) + elements(w_.k) + elements(w_.v) : elements(w_.qkv)) + elements(w_.out));
    cost.matmul_flops = 2.0 * weights * static_cast<double>(shape.tokens);
    cost.weight_bytes = static_cast<double>(weight_bytes());
    return cost;
  }

  uint64_t weight_bytes() const override {
    const uint64_t in = w_.qkv.empty() ? w_.q.packed_bytes() + w_.k.packed_bytes() + w_.v.packed_bytes() : w_.qkv.packed_bytes();
    return in + w_.out.packed_bytes();
  }

  void forward(OpContext& ctx, const Batch& batch, const RopeRows& rope, LayerPages pages, LinearInput& x,
               bool accumulate, Rows<float> out) const override {
    const ArenaScope scope(ctx.arena);
    const Projected p = project(ctx, x);
    normalize_and_rotate(ctx, rope, s_.heads, w_.q_norm, p.q);
    normalize_and_rotate(ctx, rope, s_.kv_heads, w_.k_norm, p.k);
    append(ctx, batch, pages, p);
    const Rows<float> mixed = ctx.scratch(x.rows(), s_.heads * s_.head_dim);  // [rows, heads * head_dim]
    attend(ctx, kernels().attention, queries(ctx, batch, pages), p.q, mixed);
    LinearInput input(ctx, mixed);
    accumulate ? linear_add(ctx, w_.out, input, out) : linear(ctx, w_.out, input, out);
  }

 private:
  struct Projected {
    Rows<float> q;     // [rows, heads * head_dim]
    Rows<float> k, v;  // [rows, kv_heads * head_dim]
  };

  static int64_t elements(const Linear& w) { return w.rows() * w.cols(); }

  Projected project(OpContext& ctx, LinearInput& x) const {
    const int64_t q_dim = s_.heads * s_.head_dim, kv_dim = s_.kv_heads * s_.head_dim;
    if (!w_.qkv.empty()) {
      const Rows<float> all = ctx.scratch(x.rows(), q_dim + 2 * kv_dim);
      linear(ctx, w_.qkv, x, all);
      return {all.col_range(0, q_dim), all.col_range(q_dim, q_dim + kv_dim), all.col_range(q_dim + kv_dim, all.cols)};
    }
    const Projected p{ctx.scratch(x.rows(), q_dim), ctx.scratch(x.rows(), kv_dim), ctx.scratch(x.rows(), kv_dim)};
    const Linear* const matrices[] = {&w_.q, &w_.k, &w_.v};
    const Rows<float> results[] = {p.q, p.k, p.v};
    linear_many(ctx, matrices, x, results);
    return p;
  }

  void normalize_and_rotate(OpContext& ctx, const RopeRows& rope, int64_t heads, const std::vector<float>& norm,
                            Rows<float> x) const {
    if (!norm.empty() && x.stride == x.cols) {
      const Rows<float> by_head(x.data, x.rows * heads, s_.head_dim);
      rms_norm(ctx, by_head, norm, s_.qk_norm_eps, by_head);
    } else if (!norm.empty()) {  // columns of a fused projection
      for (int64_t h = 0; h < heads; ++h) {
        const Rows<float> head = x.col_range(h * s_.head_dim, (h + 1) * s_.head_dim);
        rms_norm(ctx, head, norm, s_.qk_norm_eps, head);
      }
    }
    if (s_.rope.dims > 0) apply_rope(ctx, rope, s_.rope.pairs, heads, s_.head_dim, x);
  }

  // Writes the new keys and values into their pages.
  void append(OpContext& ctx, const Batch& batch, LayerPages pages, const Projected& p) const {
    for (const BatchSequence& s : batch.sequences) {
      TESSERA_CHECK(static_cast<int64_t>(s.pages.size()) * kPageTokens >= s.position + s.tokens,
                    "{} pages for {} tokens", s.pages.size(), s.position + s.tokens);
      // Chunks end at multiples of kAppendRows of the position.
      const int64_t first = s.position / kAppendRows, last = ceil_div(s.position + s.tokens, kAppendRows);
      ctx.pool.parallel_for(last - first, 1, [&](int64_t begin, int64_t end, int) {
        const int64_t from = std::max((first + begin) * kAppendRows, s.position);
        const int64_t to = std::min((first + end) * kAppendRows, s.position + s.tokens);
        for (int64_t t = from; t < to; ++t) append_token(p, s.first_row + t - s.position, t, pages.page(s.pages[t / kPageTokens]));
      });
    }
  }

  void append_token(const Projected& p, int64_t row, int64_t position, std::byte* page) const {
    const AttentionKernels& k = kernels().attention;
    for (int64_t h = 0; h < s_.kv_heads; ++h) {
      k.store_key[layout_.k_type](p.k.row(row) + h * s_.head_dim, s_.head_dim, position % kPageTokens, layout_.keys(page, h));
      k.store_value[layout_.v_type](p.v.row(row) + h * s_.head_dim, s_.head_dim, position % kPageTokens,
                                    layout_.values(page, h));
    }
  }

  // One part per sequence: its own pages, causal, within the window.
  std::span<const AttentionQueries> queries(OpContext& ctx, const Batch& batch, LayerPages pages) const {
    const int64_t count = static_cast<int64_t>(batch.sequences.size());
    const std::span<AttentionPart> parts = ctx.arena.allocate<AttentionPart>(count);
    const std::span<AttentionQueries> queries = ctx.arena.allocate<AttentionQueries>(count);
    const float scale = s_.scale != 0 ? s_.scale : 1.0f / std::sqrt(static_cast<float>(s_.head_dim));
    for (int64_t i = 0; i < count; ++i) {
      const BatchSequence& s = batch.sequences[i];
      parts[i] = {{&layout_, pages, s.pages}, KeyPlan{.window = s_.window}, {scale, s_.score_softcap}};
      queries[i] = {s.first_row, s.tokens, s.position, parts.subspan(i, 1)};
    }
    return queries;
  }

  DenseAttentionSettings s_;
  DenseAttentionWeights w_;
  KvLayout layout_;
};

}  // namespace

std::unique_ptr<TokenMixer> make_dense_attention(DenseAttentionSettings settings, DenseAttentionWeights weights) {
  return std::make_unique<DenseAttention>(std::move(settings), std::move(weights));
}

StateDeclaration dense_attention_state(const DenseAttentionSettings& settings) { return state_of(layout_of(settings)); }


}  // namespace tessera
