// ModelShape: the few numbers of a model that decide its speed and memory. Filled by name from share/models, or from a
// checkpoint's header (shape_checkpoint.h). Counting follows Pope et al.: E = model_dim, F = ff_dim, H = heads, Q =
// head_dim.
#ifndef TESSERA_PLANNER_SHAPE_H_
#define TESSERA_PLANNER_SHAPE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tessera {

// Weights of the layers that a file stores in one type.
struct StoredPart {
  std::string type;
  double bytes = 0, params = 0;
};

struct ModelShape {
  std::string name;
  std::string source;
  int64_t layers = 0;
  int64_t model_dim = 0;
  int64_t ff_dim = 0;  // of one expert, when there are experts
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ff_matrices = 3;  // 3: gated (SwiGLU), 2: plain
  int64_t vocab = 0;
  int64_t max_context = 0;  // what the model was made for; 0 = unknown
  bool parallel_block = false;
  bool tied_embeddings = false;
  int64_t experts = 0;  // 0 = dense
  int64_t experts_per_token = 0;
  int64_t shared_experts = 0;
  int64_t dense_layers = 0;  // leading layers of a MoE model with a dense feed-forward of dense_ff_dim
  int64_t dense_ff_dim = 0;
  int64_t ff_block = 0;              // Sparse FF: one neuron of each ff_block is used per token; 0 = all
  int64_t kv_elements = 0;           // per token and layer when not 2 * kv_heads * head_dim (MLA); 0 = that product
  int64_t window_tokens = 0;         // sliding window; 0 = none
  int64_t full_attention_every = 0;  // with a window: every n-th layer sees everything; 0 = no layer does
  double nominal_params = 0;         // what the authors call it; used for MFU. 0 = counted

  // Known from a file: bytes as stored, by group. 0 = not known, then params * bytes of the weight type.
  double stored_stack_bytes = 0;         // matrices of all layers
  double stored_vector_bytes = 0;        // norms, biases, position table
  double stored_embedding_bytes = 0;     // token table
  double stored_output_bytes = 0;        // unembedding; 0 when tied
  std::string stored_type;               // type of most stack weights: "q4_k"
  std::string stored_output_type;        // of the unembedding, or of the token table when tied
  std::vector<StoredPart> stored_parts;  // what "q4_k_m" mixes; bytes add up to stored_stack_bytes
};

double attention_params_per_layer(const ModelShape& m);  // E(2HQ + kv)
double ff_params_per_layer(const ModelShape& m);         // all experts
double active_ff_params_per_layer(const ModelShape& m);  // of one token
double stack_params(const ModelShape& m);
double active_stack_params(const ModelShape& m);
double embedding_params(const ModelShape& m);  // V E; once more when untied
double total_params(const ModelShape& m);
// 2N of "2N FLOPs per token" for MFU: nominal where given, active parameters otherwise.
double mfu_params(const ModelShape& m);
double kv_elements_per_token_layer(const ModelShape& m);
// Tokens that a layer keeps, averaged over layers: context, or less where windows cut it.
double kept_tokens(const ModelShape& m, double context);
double kv_bytes_per_token(const ModelShape& m, double element_bytes);  // all layers, no window

// Share of the feed-forward weights that `tokens` tokens touch together: 1 for dense models.
double touched_ff_fraction(const ModelShape& m, double tokens);

// Bytes per weight of a type name: "bf16", "int8", "int4" (blocks of 32 with a half-precision scale), or any DType
// name.
Result<double> bytes_per_weight(std::string_view type);

// Bytes per cached key or value element in this engine's pages (attention/kv_layout.h): f16 and q8_0 have one f32 scale per
// token and head besides.
Result<double> page_element_bytes(std::string_view type, int64_t head_dim);

Status check_shape(const ModelShape& m);  // every field in range, so that later products are safe
Result<ModelShape> parse_model_shape(std::string_view json, std::string_view where);
std::string shape_to_json(const ModelShape& m);  // with "stored", the sizes known from a file, where there are any
std::vector<std::string> shipped_models();
Result<ModelShape> find_shipped_model(std::string_view name);

// From the text of a Hugging Face config.json alone.
Result<ModelShape> shape_from_config_json(std::string_view text, std::string_view where);

}  // namespace tessera

#endif  // TESSERA_PLANNER_SHAPE_H_
