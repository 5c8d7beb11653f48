// Every wiring of a block with the options of ModelSpec, in a tiny model with random f32 weights, against the same
// network written down in double as plain loops. Most combinations occur in no family that model/arch/ reads: here they
// are held to the definitions in model/spec.h.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "model/transformer.h"
#include "runtime/state_store.h"
#include "support/engine_fixture.h"

namespace tessera {
namespace {

constexpr int64_t kDim = 64, kFfDim = 80, kVocab = 96, kCount = 12, kHeads = 4, kKvHeads = 2, kHeadDim = 16;
constexpr int64_t kQDim = kHeads * kHeadDim, kKvDim = kKvHeads * kHeadDim;
constexpr int32_t kTokens[kCount] = {5, 95, 0, 17, 17, 60, 33, 71, 2, 48, 95, 8};
constexpr int32_t kRows[kCount] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};  // positions too

// A network is named by what it has: "Biases_QkNorm".
bool has(const std::string& options, const std::string& option) { return options.find(option) != std::string::npos; }

ModelSpec make_spec(Wiring wiring, const std::string& options) {
  ModelSpec spec{.model_dim = kDim, .vocab = kVocab, .context_tokens = kCount, .wiring = wiring};
  spec.norm = {has(options, "LayerNorm") ? NormKind::kLayer : NormKind::kRms, 0.02f};  // an eps that can be seen
  spec.qk_norm = has(options, "QkNorm");
  spec.tied_embeddings = has(options, "TiedEmbeddings");
  spec.position_embeddings = has(options, "LearnedPositions");
  if (has(options, "EmbeddingScale")) spec.embedding_scale = 8;
  if (has(options, "LogitScale")) spec.logit_scale = 3;
  if (has(options, "LogitSoftcap")) spec.logit_softcap = 2;
  for (const bool last : {false, true}) {
    DenseAttentionSettings a{.model_dim = kDim, .heads = kHeads, .kv_heads = kKvHeads, .head_dim = kHeadDim};
    a.k_dtype = a.v_dtype = DType::kF32;
    a.qk_norm_eps = 0.1f;
    a.rope.dims = spec.position_embeddings ? 0 : kHeadDim;
    if (has(options, "RopeHalvesOfPart")) a.rope.pairs = RopePairs::kHalves, a.rope.dims = kHeadDim / 2;
    if (has(options, "RopeByLayer") && last) a.rope.freq_base = 50;
    const Activation activation = has(options, "Gelu") ? Activation::kGelu : Activation::kSilu;
    spec.layers.push_back({a, {kDim, kFfDim, !has(options, "PlainFfn"), activation}});
  }
  return spec;
}

// Random weights in memory: what the network uses and nothing else, as a weight without a place is refused.
struct Weights : WeightSource {
  Weights(const ModelSpec& spec, const std::string& options, bool ffn_norm)
      : norm_biases_(has(options, "NormBias")), biases_(has(options, "Biases")) {
    add({"output_norm"}, {kDim});
    add({spec.tied_embeddings ? "token_embd" : "output"}, {kVocab, kDim});
    const float deviation = 1 / std::sqrt(static_cast<float>(kDim));
    if (!spec.tied_embeddings) fill("token_embd.weight", {kVocab, kDim}, 0, deviation);
    if (spec.position_embeddings) fill("position_embd.weight", {kCount, kDim}, 0, deviation);
    for (const std::string p : {"blk.0.", "blk.1."}) {
      add({p + "attn_norm"}, {kDim});
      if (spec.wiring == Wiring::kPrePost) add({p + "post_attention_norm", p + "post_ffw_norm"}, {kDim});
      if (ffn_norm) add({p + "ffn_norm"}, {kDim});
      if (has(options, "FusedQkv")) add({p + "attn_qkv"}, {kQDim + 2 * kKvDim, kDim});
      if (!has(options, "FusedQkv")) add({p + "attn_q"}, {kQDim, kDim});
      if (!has(options, "FusedQkv")) add({p + "attn_k", p + "attn_v"}, {kKvDim, kDim});
      for (const char* name : {"attn_q_norm.weight", "attn_k_norm.weight"}) {
        if (spec.qk_norm) fill(p + name, {kHeadDim}, 1, 0.3f);
      }
      add({p + "attn_output"}, {kDim, kQDim});
      if (spec.layers[0].ffn.gated) add({p + "ffn_gate"}, {kFfDim, kDim});
      add({p + "ffn_up"}, {kFfDim, kDim});
      add({p + "ffn_down"}, {kDim, kFfDim});
    }
    index_names();
  }
  bool header_only() const override { return false; }
  std::span<const WeightInfo> weights() const override { return infos_; }
  WeightBytes read_rows(const WeightInfo& weight, int64_t begin, int64_t end) const override {
    const int64_t cols = weight.shape.cols();
    return {std::as_bytes(std::span(values_[index_of(weight)]).subspan(begin * cols, (end - begin) * cols)), {}};
  }
  void will_read(const WeightInfo&) const override {}
  void release(const WeightInfo&) const override {}
  std::span<const float> values(const std::string& name) const {  // empty when absent
    const WeightInfo* info = find(name);
    return info == nullptr ? std::span<const float>() : values_[index_of(*info)];
  }

 private:
  void add(std::initializer_list<std::string> names, Shape shape) {  // norms are vectors, all else is matrices
    const bool norm = shape.rank() == 1;
    for (const std::string& name : names) {
      fill(name + ".weight", shape, norm ? 1 : 0, norm ? 0.3f : 1 / std::sqrt(static_cast<float>(shape.cols())));
      if (norm ? norm_biases_ : biases_) fill(name + ".bias", {shape[0]}, 0, 0.3f);
    }
  }
  void fill(const std::string& name, Shape shape, float mean, float deviation) {
    std::normal_distribution<float> normal(mean, deviation);
    auto& values = values_.emplace_back(static_cast<size_t>(shape.elements()));
    for (float& v : values) v = normal(random_);
    infos_.push_back({name, DType::kF32, shape, values.size() * sizeof(float)});
  }
  bool norm_biases_, biases_;
  std::mt19937 random_{1};
  std::vector<WeightInfo> infos_;
  std::vector<std::vector<float>> values_;
};

using Row = std::vector<double>;
using Table = std::vector<Row>;  // [tokens][dim]
Table operator+(Table a, const Table& b) {
  for (int64_t i = 0; i < kCount * kDim; ++i) a[i / kDim][i % kDim] += b[i / kDim][i % kDim];
  return a;
}

// The definition of the network.
struct Reference {
  const ModelSpec& spec;
  const Weights& weights;

  Row product(const std::string& name, const Row& x) const {
    const auto w = weights.values(name + ".weight"), bias = weights.values(name + ".bias");
    Row y(bias.begin(), bias.end());
    y.resize(w.size() / x.size());
    for (size_t i = 0; i < w.size(); ++i) y[i / x.size()] += w[i] * x[i % x.size()];
    return y;
  }
  void normalize(const std::string& name, NormKind kind, double eps, std::span<double> x) const {
    const auto w = weights.values(name + ".weight"), bias = weights.values(name + ".bias");
    const bool layer = kind == NormKind::kLayer;
    const double n = static_cast<double>(x.size()), mean = layer ? std::reduce(x.begin(), x.end()) / n : 0;
    double variance = 0;
    for (double v : x) variance += (v - mean) * (v - mean) / n;
    for (size_t i = 0; i < x.size(); ++i) x[i] = (x[i] - mean) / std::sqrt(variance + eps) * w[i];
    for (size_t i = 0; layer && i < bias.size(); ++i) x[i] += bias[i];
  }
  Table norm(const std::string& name, Table x) const {
    for (Row& row : x) normalize(name, spec.norm.kind, spec.norm.eps, row);
    return x;
  }
  static void rotate(const RopeSettings& rope, int64_t position, std::span<double> x) {
    const bool halves = rope.pairs == RopePairs::kHalves;
    for (int64_t i = 0; i < rope.dims / 2; ++i) {
      const double angle = position * std::pow(rope.freq_base, -2.0 * i / rope.dims);
      const int64_t first = halves ? i : 2 * i, second = halves ? i + rope.dims / 2 : 2 * i + 1;
      const double a = x[first], b = x[second];
      x[first] = a * std::cos(angle) - b * std::sin(angle);
      x[second] = a * std::sin(angle) + b * std::cos(angle);
    }
  }
  Table attention(const std::string& p, const DenseAttentionSettings& s, const Table& x) const {
    Table rows, out;  // rows: queries, keys and values of a token, one behind the other
    for (const Row& in : x) {
      Row& row = rows.emplace_back();
      for (const char* name : {"attn_qkv", "attn_q", "attn_k", "attn_v"}) {  // those that are there
        for (double v : product(p + name, in)) row.push_back(v);
      }
      for (int64_t h = 0; h < kHeads + kKvHeads; ++h) {
        const auto head = std::span(row).subspan(h * kHeadDim, kHeadDim);
        const std::string norm_name = p + (h < kHeads ? "attn_q_norm" : "attn_k_norm");
        if (spec.qk_norm) normalize(norm_name, NormKind::kRms, s.qk_norm_eps, head);
        rotate(s.rope, std::ssize(rows) - 1, head);
      }
      Row mixed(kQDim);
      for (int64_t h = 0; h < kHeads; ++h) {
        const int64_t q = h * kHeadDim, k = kQDim + h / (kHeads / kKvHeads) * kHeadDim, v = k + kKvDim;
        double total = 0;
        for (const Row& seen : rows) {
          const double score = std::inner_product(&row[q], &row[q] + kHeadDim, &seen[k], 0.0);
          const double share = std::exp(score / std::sqrt(kHeadDim));
          for (int64_t i = 0; i < kHeadDim; ++i) mixed[q + i] += share * seen[v + i];
          total += share;
        }
        for (int64_t i = 0; i < kHeadDim; ++i) mixed[q + i] /= total;
      }
      out.push_back(product(p + "attn_output", mixed));
    }
    return out;
  }
  Table ffn(const std::string& p, const DenseFfnSettings& s, Table x) const {
    for (Row& row : x) {
      Row hidden = product(p + (s.gated ? "ffn_gate" : "ffn_up"), row);
      const Row up = s.gated ? product(p + "ffn_up", row) : Row(kFfDim, 1.0);
      for (int64_t i = 0; i < kFfDim; ++i) {
        const double h = hidden[i], gelu = h / 2 * std::erfc(-h / std::sqrt(2)), silu = h / (1 + std::exp(-h));
        hidden[i] = (s.activation == Activation::kGelu ? gelu : silu) * up[i];
      }
      row = product(p + "ffn_down", hidden);
    }
    return x;
  }
  Table block(const std::string& p, const LayerSpec& layer, Table x) const {
    const auto mix = [&](const Table& in) { return attention(p, layer.attention, in); };
    const auto feed = [&](const Table& in) { return ffn(p, layer.ffn, in); };
    const std::string first = p + "attn_norm", second = p + "ffn_norm";
    switch (spec.wiring) {
      case Wiring::kPre: x = x + mix(norm(first, x)); return x + feed(norm(second, x));
      case Wiring::kPost: x = norm(first, x + mix(x)); return norm(second, x + feed(x));
      case Wiring::kPrePost:
        x = x + norm(p + "post_attention_norm", mix(norm(first, x)));
        return x + norm(p + "post_ffw_norm", feed(norm(second, x)));
      case Wiring::kParallel: break;
    }
    return x + mix(norm(first, x)) + feed(norm(weights.find(second + ".weight") ? second : first, x));
  }
  std::vector<float> logits() const {
    Table x(kCount, Row(kDim));
    for (int64_t i = 0; i < kCount * kDim; ++i) {
      const int64_t t = i / kDim, d = i % kDim;
      x[t][d] = weights.values("token_embd.weight")[kTokens[t] * kDim + d] * spec.embedding_scale;
      if (spec.position_embeddings) x[t][d] += weights.values("position_embd.weight")[i];
    }
    for (size_t l = 0; l < 2; ++l) x = block("blk." + std::to_string(l) + ".", spec.layers[l], x);
    std::vector<float> all;
    for (const Row& row : norm("output_norm", x)) {
      for (double logit : product(spec.tied_embeddings ? "token_embd" : "output", row)) {
        const double scaled = logit * spec.logit_scale, cap = spec.logit_softcap;
        all.push_back(static_cast<float>(cap == 0 ? scaled : cap * std::tanh(scaled / cap)));
      }
    }
    return all;
  }
};

TEST(WeightsWithoutAPlace, AreRefused) {
  const auto weights = std::make_shared<const Weights>(make_spec(Wiring::kPre, "QkNorm"), "QkNorm", true);
  ThreadPool pool(1);
  const auto model = Transformer::load(make_spec(Wiring::kPre, ""), weights, pool, [](uint64_t, uint64_t) { return true; });
  EXPECT_EQ(model.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(model.status().message().find("blk.0.attn_q_norm.weight"), std::string::npos) << model.status().message();
}

struct Form {
  std::string name;
  Wiring wiring;
  friend std::ostream& operator<<(std::ostream& out, const Form& form) { return out << form.name; }
};
class WiringTest : public ::testing::TestWithParam<std::tuple<Form, std::string>> {};

TEST_P(WiringTest, AgreesWithPlainLoops) {
  const auto& [form, options] = GetParam();
  const ModelSpec spec = make_spec(form.wiring, options);
  const auto weights = std::make_shared<const Weights>(spec, options, form.name != "ParallelSharedNorm");
  ThreadPool pool(2);
  const auto model = Transformer::load(spec, weights, pool, [](uint64_t, uint64_t) { return true; });
  ASSERT_TRUE(model.ok()) << model.status().message();
  StateStore states = *StateStore::create((*model)->states(), 1);
  const SequenceId sequence = states.create_sequence();
  ASSERT_TRUE(states.reserve(sequence, kCount).ok());
  const BatchSequence all{0, kCount, 0, states.pages(sequence)};
  Arena arena;
  OpContext ctx{pool, arena};
  std::vector<float> logits(kCount * kVocab);
  (*model)->forward(ctx, {kTokens, kRows, {&all, 1}, kRows}, states.layers(), {logits.data(), kCount, kVocab});
  EXPECT_LT(testing::relative_error(logits, Reference{spec, *weights}.logits()), 1e-4);
}

const auto kForms =
    ::testing::Values(Form{"Pre", Wiring::kPre}, Form{"Post", Wiring::kPost}, Form{"PrePost", Wiring::kPrePost},
                      Form{"ParallelTwoNorms", Wiring::kParallel}, Form{"ParallelSharedNorm", Wiring::kParallel});
const auto kOptions = ::testing::Values("RmsNorm", "LayerNorm", "LayerNormBias", "EmbeddingScale", "TiedEmbeddings",
                                        "LogitScale", "LogitSoftcap", "LogitScale_LogitSoftcap", "Biases", "QkNorm",
                                        "FusedQkv_Biases_QkNorm", "LearnedPositions_EmbeddingScale", "RopeHalvesOfPart",
                                        "RopeByLayer", "Gelu", "PlainFfn", "PlainFfn_Gelu_Biases_LayerNormBias");
INSTANTIATE_TEST_SUITE_P(All, WiringTest, ::testing::Combine(kForms, kOptions),
                         [](const auto& test) { return std::get<0>(test.param).name + "_" + std::get<1>(test.param); });

}  // namespace
}  // namespace tessera
