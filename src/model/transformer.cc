#include "model/transformer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "model/weight_binder.h"
#include "ops/activation.h"
#include "ops/norm.h"
#include "quant/block_format.h"

namespace tessera {

struct Transformer::Norm {
  NormSpec spec;
  std::vector<float> weight, bias;  // [model_dim]; bias may be empty

  void operator()(OpContext& ctx, Rows<const float> x, Rows<float> y) const {
    if (spec.kind == NormKind::kRms) {
      rms_norm(ctx, x, weight, spec.eps, y);
    } else {
      layer_norm(ctx, x, weight, bias, spec.eps, y);
    }
  }
  RowNorm of_rows() const {
    return {spec.kind == NormKind::kRms ? RowNorm::Kind::kRms : RowNorm::Kind::kLayer, weight, bias, spec.eps};
  }
};

struct Transformer::Block {
  Norm attention_norm, ffn_norm;             // before the sub-layers (kPost: after them); ffn_norm is empty in a parallel
                                             // block that shares one norm
  Norm attention_post_norm, ffn_post_norm;   // kPrePost only
  std::unique_ptr<TokenMixer> mixer;
  std::unique_ptr<ChannelMixer> ffn;
  size_t rope_index = 0;
};

namespace {

Result<std::unique_ptr<TokenMixer>> bind_attention(WeightBinder& binder, const std::string& prefix, const ModelSpec& spec,
                                                   const DenseAttentionSettings& settings) {
  const int64_t dim = settings.model_dim;
  const int64_t q_rows = settings.heads * settings.head_dim;
  const int64_t kv_rows = settings.kv_heads * settings.head_dim;
  DenseAttentionWeights w;
  if (binder.has(prefix + "attn_qkv.weight")) {
    TESSERA_ASSIGN_OR_RETURN(w.qkv, binder.matrix(prefix + "attn_qkv", q_rows + 2 * kv_rows, dim));
  } else {
    TESSERA_ASSIGN_OR_RETURN(w.q, binder.matrix(prefix + "attn_q", q_rows, dim));
    TESSERA_ASSIGN_OR_RETURN(w.k, binder.matrix(prefix + "attn_k", kv_rows, dim));
    TESSERA_ASSIGN_OR_RETURN(w.v, binder.matrix(prefix + "attn_v", kv_rows, dim));
  }
  TESSERA_ASSIGN_OR_RETURN(w.out, binder.matrix(prefix + "attn_output", dim, q_rows));
  if (spec.qk_norm) {
    TESSERA_ASSIGN_OR_RETURN(w.q_norm, binder.vector(prefix + "attn_q_norm.weight", settings.head_dim));
    TESSERA_ASSIGN_OR_RETURN(w.k_norm, binder.vector(prefix + "attn_k_norm.weight", settings.head_dim));
  }
  return make_dense_attention(settings, std::move(w));
}

Result<std::unique_ptr<ChannelMixer>> bind_ffn(WeightBinder& binder, const std::string& prefix,
                                               const DenseFfnSettings& settings) {
  DenseFfnWeights w;
  if (settings.gated) {
    TESSERA_ASSIGN_OR_RETURN(auto pair, binder.matrices(prefix + "ffn_gate", prefix + "ffn_up", settings.ff_dim,
                                                        settings.model_dim));
    w.gate = std::move(pair[0]);
    w.up = std::move(pair[1]);
  } else {
    TESSERA_ASSIGN_OR_RETURN(w.up, binder.matrix(prefix + "ffn_up", settings.ff_dim, settings.model_dim));
  }
  TESSERA_ASSIGN_OR_RETURN(w.down, binder.matrix(prefix + "ffn_down", settings.model_dim, settings.ff_dim));
  return make_dense_ffn(settings, std::move(w));
}

// Index of `settings` in `tables`, appended when new.
size_t rope_index(std::vector<RopeTable>* tables, const RopeSettings& settings) {
  for (size_t i = 0; i < tables->size(); ++i) {
    if ((*tables)[i].settings() == settings) return i;
  }
  tables->emplace_back(settings);
  return tables->size() - 1;
}

}  // namespace

Transformer::Transformer(ModelSpec spec) : spec_(std::move(spec)) {}
Transformer::~Transformer() = default;

Result<std::unique_ptr<Transformer>> Transformer::load(ModelSpec spec, std::shared_ptr<const WeightSource> weights,
                                                       ThreadPool& pool, LoadProgress progress) {
  WeightBinder binder(*weights, pool, progress);
  std::unique_ptr<Transformer> model(new Transformer(std::move(spec)));
  const ModelSpec& s = model->spec_;
  model->embedding_ = weights->find("token_embd.weight");
  if (model->embedding_ == nullptr || model->embedding_->shape != Shape{s.vocab, s.model_dim}) {
    return invalid_argument("token_embd.weight: expected [{}, {}]", s.vocab, s.model_dim);
  }
  if (block_format(model->embedding_->dtype) == nullptr) {
    return unsupported("token_embd.weight: expected a weight type, found {}", to_string(model->embedding_->dtype));
  }

  const auto bind_norm = [&](const std::string& name) -> Result<Norm> {
    Norm norm{s.norm, {}, {}};
    TESSERA_ASSIGN_OR_RETURN(norm.weight, binder.vector(name + ".weight", s.model_dim));
    if (s.norm.kind == NormKind::kLayer && binder.has(name + ".bias")) {
      TESSERA_ASSIGN_OR_RETURN(norm.bias, binder.vector(name + ".bias", s.model_dim));
    }
    return norm;
  };

  if (s.position_embeddings) {
    TESSERA_ASSIGN_OR_RETURN(model->position_embedding_,
                             binder.floats("position_embd.weight", s.context_tokens, s.model_dim));
  }
  for (size_t l = 0; l < s.layers.size(); ++l) {
    const std::string prefix = "blk." + std::to_string(l) + ".";
    Block block;
    TESSERA_ASSIGN_OR_RETURN(block.attention_norm, bind_norm(prefix + "attn_norm"));
    if (s.wiring != Wiring::kParallel || binder.has(prefix + "ffn_norm.weight")) {
      TESSERA_ASSIGN_OR_RETURN(block.ffn_norm, bind_norm(prefix + "ffn_norm"));
    }
    if (s.wiring == Wiring::kPrePost) {
      TESSERA_ASSIGN_OR_RETURN(block.attention_post_norm, bind_norm(prefix + "post_attention_norm"));
      TESSERA_ASSIGN_OR_RETURN(block.ffn_post_norm, bind_norm(prefix + "post_ffw_norm"));
    }
    TESSERA_ASSIGN_OR_RETURN(block.mixer, bind_attention(binder, prefix, s, s.layers[l].attention));
    TESSERA_ASSIGN_OR_RETURN(block.ffn, bind_ffn(binder, prefix, s.layers[l].ffn));
    block.rope_index = rope_index(&model->rope_tables_, s.layers[l].attention.rope);
    model->blocks_.push_back(std::move(block));
  }
  TESSERA_ASSIGN_OR_RETURN(Norm final_norm, bind_norm("output_norm"));
  model->final_norm_ = std::make_unique<Norm>(std::move(final_norm));
  TESSERA_ASSIGN_OR_RETURN(model->output_,
                           binder.matrix(s.tied_embeddings ? "token_embd" : "output", s.vocab, s.model_dim));
  binder.uses(*model->embedding_);
  if (const WeightInfo* factors = weights->find("rope_freqs.weight")) binder.uses(*factors);
  TESSERA_RETURN_IF_ERROR(binder.all_used(s.architecture));
  model->weights_ = std::move(weights);
  return model;
}

std::vector<StateDeclaration> Transformer::states() const {
  std::vector<StateDeclaration> declarations;
  for (const Block& block : blocks_) declarations.push_back(block.mixer->state());
  return declarations;
}

uint64_t Transformer::weight_bytes() const {
  uint64_t bytes = output_.packed_bytes();
  for (const Block& block : blocks_) bytes += block.mixer->weight_bytes() + block.ffn->weight_bytes();
  return bytes;
}

StepCost Transformer::cost(const StepShape& shape) const {
  StepCost cost;
  for (const Block& block : blocks_) {
    cost += block.mixer->cost(shape);
    cost += block.ffn->cost(shape);
  }
  // Logits of one row per sequence, the usual case.
  cost.matmul_flops += 2.0 * static_cast<double>(spec_.vocab) * static_cast<double>(spec_.model_dim) *
                       static_cast<double>(std::min(shape.tokens, shape.sequences));
  cost.weight_bytes += static_cast<double>(output_.packed_bytes());
  return cost;
}

void Transformer::embed(OpContext& ctx, const Batch& batch, Rows<float> x) const {
  const BlockFormat* format = block_format(embedding_->dtype);
  ctx.pool.parallel_for(x.rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t token = batch.tokens[i];
      const WeightBytes row = weights_->read_rows(*embedding_, token, token + 1);
      format->unpack(row.bytes.data(), x.row(i), spec_.model_dim);
      if (spec_.embedding_scale != 1.0f) {
        for (int64_t d = 0; d < spec_.model_dim; ++d) x.row(i)[d] *= spec_.embedding_scale;
      }
      if (spec_.position_embeddings) {
        const float* position = position_embedding_.data() + int64_t{batch.positions[i]} * spec_.model_dim;
        for (int64_t d = 0; d < spec_.model_dim; ++d) x.row(i)[d] += position[d];
      }
    }
  });
}

void Transformer::run_block(OpContext& ctx, const Batch& batch, const Block& block, LayerPages pages, const RopeRows& rope,
                            Rows<float> x) const {
  const ArenaScope scope(ctx.arena);
  const auto mix = [&](LinearInput in, bool accumulate, Rows<float> out) {
    block.mixer->forward(ctx, batch, rope, pages, in, accumulate, out);
  };
  const auto feed = [&](LinearInput in, bool accumulate, Rows<float> out) {
    block.ffn->forward(ctx, in, accumulate, out);
  };
  // x as the input of a sub-layer, normed on the way.
  const auto normed = [&](const Norm& norm) { return LinearInput(ctx, x, norm.of_rows()); };
  switch (spec_.wiring) {
    case Wiring::kPre:
      mix(normed(block.attention_norm), true, x);
      feed(normed(block.ffn_norm), true, x);
      return;
    case Wiring::kPost: {
      Rows<float> h = ctx.scratch(x.rows, x.cols);  // [rows, model_dim]
      mix({ctx, x}, false, h);
      add(ctx, h, x);
      block.attention_norm(ctx, x, x);
      feed({ctx, x}, false, h);
      add(ctx, h, x);
      block.ffn_norm(ctx, x, x);
      return;
    }
    case Wiring::kPrePost: {
      Rows<float> out = ctx.scratch(x.rows, x.cols);
      mix(normed(block.attention_norm), false, out);
      block.attention_post_norm(ctx, out, out);
      add(ctx, out, x);
      feed(normed(block.ffn_norm), false, out);
      block.ffn_post_norm(ctx, out, out);
      add(ctx, out, x);
      return;
    }
    case Wiring::kParallel: {
      // Attention adds to x, which both read before.
      Rows<float> attention_in = ctx.scratch(x.rows, x.cols), ffn_in = attention_in;
      block.attention_norm(ctx, x, attention_in);
      if (!block.ffn_norm.weight.empty()) {
        ffn_in = ctx.scratch(x.rows, x.cols);
        block.ffn_norm(ctx, x, ffn_in);
      }
      mix({ctx, attention_in}, true, x);
      feed({ctx, ffn_in}, true, x);
      return;
    }
  }
}

void Transformer::forward(OpContext& ctx, const Batch& batch, std::span<const LayerPages> pages, Rows<float> logits) const {
  const auto rows = static_cast<int64_t>(batch.tokens.size());
  Rows<float> x = ctx.scratch(rows, spec_.model_dim);  // [rows, model_dim], the residual stream
  embed(ctx, batch, x);

  const std::span<RopeRows> rope = ctx.arena.allocate<RopeRows>(static_cast<int64_t>(rope_tables_.size()));
  for (size_t i = 0; i < rope.size(); ++i) rope[i] = rope_tables_[i].rows(ctx, batch.positions);
  for (size_t l = 0; l < blocks_.size(); ++l) run_block(ctx, batch, blocks_[l], pages[l], rope[blocks_[l].rope_index], x);

  const auto wanted = static_cast<int64_t>(batch.logit_rows.size());
  if (wanted == 0) return;
  Rows<float> last = ctx.scratch(wanted, spec_.model_dim);  // [logit_rows, model_dim]
  for (int64_t i = 0; i < wanted; ++i) std::copy_n(x.row(batch.logit_rows[i]), spec_.model_dim, last.row(i));
  LinearInput input(ctx, last, final_norm_->of_rows());
  linear(ctx, output_, input, logits);
  if (spec_.logit_scale != 1.0f) scale(ctx, spec_.logit_scale, logits);
  if (spec_.logit_softcap != 0.0f) softcap(ctx, spec_.logit_softcap, logits);
}

int64_t ModelSpec::parameters(const WeightSource& weights) const {
  int64_t total = 0;
  for (const WeightInfo& info : weights.weights()) total += info.shape.elements();
  return total;
}

}  // namespace tessera
