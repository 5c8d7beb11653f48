// Dense causal attention, exact: MHA, MQA and GQA, with sliding window, rope, query/key norm and soft-capped scores
// (mechanisms M3, M4). Vaswani et al. 2017; Shazeer 2019 (MQA); Ainslie et al. 2023 (GQA).
#ifndef TESSERA_ATTENTION_DENSE_H_
#define TESSERA_ATTENTION_DENSE_H_

#include <memory>
#include <vector>

#include "attention/mixer.h"
#include "ops/linear.h"
#include "ops/rope.h"
#include "tensor/dtype.h"

namespace tessera {

struct DenseAttentionSettings {
  int64_t model_dim = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0;           // of the scores; 0: 1 / sqrt(head_dim)
  float score_softcap = 0;   // 0: none; else cap * tanh(score / cap)
  int64_t window = 0;        // tokens that a query sees including itself; 0: all
  RopeSettings rope;
  float qk_norm_eps = 0;     // used with q_norm/k_norm weights
  DType k_dtype = DType::kBF16;  // of the cache: f32, f16, bf16, q8_0
  DType v_dtype = DType::kBF16;
};

struct DenseAttentionWeights {
  // Either q, k, v or one fused matrix of rows [q; k; v].
  Linear q, k, v;   // [heads * head_dim, model_dim], [kv_heads * head_dim, model_dim] twice
  Linear qkv;
  Linear out;       // [model_dim, heads * head_dim]
  std::vector<float> q_norm, k_norm;  // [head_dim] each, or empty: RMS norm per head before rope (qwen3)
};

// Settings must be valid (model/ checks them): heads % kv_heads == 0, all sizes positive.
std::unique_ptr<TokenMixer> make_dense_attention(DenseAttentionSettings settings, DenseAttentionWeights weights);

// State and cost from settings alone, for the planner and for checks before weights are loaded.
StateDeclaration dense_attention_state(const DenseAttentionSettings& settings);

}  // namespace tessera

#endif  // TESSERA_ATTENTION_DENSE_H_
