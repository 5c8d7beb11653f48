#include "planner/shape.h"

#include <algorithm>
#include <cmath>

#include "planner/embedded.h"
#include "planner/json_fields.h"
#include "tensor/dtype.h"

namespace tessera {
namespace {

using Json = nlohmann::json;

double moe_layers(const ModelShape& m) { return static_cast<double>(m.experts > 0 ? m.layers - m.dense_layers : 0); }
double one_expert(const ModelShape& m) {
  return static_cast<double>(m.ff_matrices) * static_cast<double>(m.model_dim) * static_cast<double>(m.ff_dim);
}
double dense_ff(const ModelShape& m) {
  const double width = static_cast<double>(m.dense_ff_dim > 0 ? m.dense_ff_dim : m.ff_dim);
  return static_cast<double>(m.ff_matrices) * static_cast<double>(m.model_dim) * width;
}
// Averages the MoE layers and the leading dense ones.
double blend(const ModelShape& m, double moe_value) {
  const double share = m.layers > 0 ? moe_layers(m) / static_cast<double>(m.layers) : 0;
  return share * moe_value + (1 - share) * dense_ff(m);
}
double router(const ModelShape& m) { return static_cast<double>(m.model_dim) * static_cast<double>(m.experts); }

void read_shape_fields(JsonFields* f, ModelShape* m) {
  constexpr double kDim = 1 << 24;
  f->text("name", &m->name);
  f->text("source", &m->source);
  f->number("layers", &m->layers, 1, 100000);
  f->number("model_dim", &m->model_dim, 1, kDim);
  f->number("ff_dim", &m->ff_dim, 1, kDim);
  f->number("heads", &m->heads, 1, 65536);
  m->kv_heads = m->heads;
  f->number("kv_heads", &m->kv_heads, 1, 65536);
  if (m->heads > 0) m->head_dim = m->model_dim / m->heads;
  f->number("head_dim", &m->head_dim, 1, 65536);
  f->number("ff_matrices", &m->ff_matrices, 2, 3);
  f->number("vocab", &m->vocab, 1, kDim);
  f->number("max_context", &m->max_context, 0, 1e9);
  f->flag("parallel_block", &m->parallel_block);
  f->flag("tied_embeddings", &m->tied_embeddings);
  f->number("experts", &m->experts, 0, 65536);
  f->number("experts_per_token", &m->experts_per_token, 0, 65536);
  f->number("shared_experts", &m->shared_experts, 0, 65536);
  f->number("dense_layers", &m->dense_layers, 0, 100000);
  f->number("dense_ff_dim", &m->dense_ff_dim, 0, kDim);
  f->number("ff_block", &m->ff_block, 0, kDim);
  f->number("kv_elements", &m->kv_elements, 0, kDim);
  f->number("window_tokens", &m->window_tokens, 0, 1e9);
  f->number("full_attention_every", &m->full_attention_every, 0, 100000);
  f->number("nominal_params", &m->nominal_params, 0, 1e18);
}

Status read_stored(const Json& json, const std::string& where, ModelShape* m) {
  JsonFields f(json, where);
  f.number("stack", &m->stored_stack_bytes, 1, 1e18);
  f.number("vectors", &m->stored_vector_bytes, 0, 1e18);
  f.number("embedding", &m->stored_embedding_bytes, 0, 1e18);
  f.number("output", &m->stored_output_bytes, 0, 1e18);
  f.text("type", &m->stored_type);
  f.text("output_type", &m->stored_output_type);
  if (const Json* parts = f.array("parts")) {
    for (const Json& row : *parts) {
      StoredPart part;
      JsonFields p(row, where + ".parts");
      p.text("type", &part.type);
      p.number("bytes", &part.bytes, 1, 1e18);
      p.number("params", &part.params, 1, 1e18);
      TESSERA_RETURN_IF_ERROR(p.status());
      m->stored_parts.push_back(std::move(part));
    }
  }
  return f.status();
}

Result<ModelShape> shape_from_json(const Json& json, const std::string& where) {
  ModelShape m;
  JsonFields f(json, where);
  for (const char* key : {"layers", "model_dim", "ff_dim", "heads", "vocab"}) f.require(key);
  TESSERA_RETURN_IF_ERROR(f.status());
  read_shape_fields(&f, &m);
  TESSERA_RETURN_IF_ERROR(f.status());
  if (const Json* stored = f.object("stored")) TESSERA_RETURN_IF_ERROR(read_stored(*stored, where + ".stored", &m));
  TESSERA_RETURN_IF_ERROR(f.status());
  TESSERA_RETURN_IF_ERROR(check_shape(m).with_context(where));
  return m;
}

}  // namespace

double kv_elements_per_token_layer(const ModelShape& m) {
  return m.kv_elements > 0 ? static_cast<double>(m.kv_elements)
                           : 2.0 * static_cast<double>(m.kv_heads) * static_cast<double>(m.head_dim);
}

double attention_params_per_layer(const ModelShape& m) {
  const double hq = static_cast<double>(m.heads) * static_cast<double>(m.head_dim);
  return static_cast<double>(m.model_dim) * (2 * hq + kv_elements_per_token_layer(m));
}

double ff_params_per_layer(const ModelShape& m) {
  if (m.experts == 0) return dense_ff(m);
  return blend(m, static_cast<double>(m.experts + m.shared_experts) * one_expert(m) + router(m));
}

double active_ff_params_per_layer(const ModelShape& m) {
  if (m.experts == 0) return dense_ff(m) / static_cast<double>(std::max<int64_t>(1, m.ff_block));
  return blend(m, static_cast<double>(m.experts_per_token + m.shared_experts) * one_expert(m) + router(m));
}

double stack_params(const ModelShape& m) {
  return static_cast<double>(m.layers) * (attention_params_per_layer(m) + ff_params_per_layer(m));
}

double active_stack_params(const ModelShape& m) {
  return static_cast<double>(m.layers) * (attention_params_per_layer(m) + active_ff_params_per_layer(m));
}

double embedding_params(const ModelShape& m) {
  return static_cast<double>(m.vocab) * static_cast<double>(m.model_dim) * (m.tied_embeddings ? 1 : 2);
}

double total_params(const ModelShape& m) { return stack_params(m) + embedding_params(m); }

double mfu_params(const ModelShape& m) {
  if (m.nominal_params > 0) return m.nominal_params;
  return active_stack_params(m) + static_cast<double>(m.vocab) * static_cast<double>(m.model_dim);
}

double kept_tokens(const ModelShape& m, double context) {
  if (m.window_tokens == 0) return context;
  const double full = m.full_attention_every > 0 ? 1.0 / static_cast<double>(m.full_attention_every) : 0.0;
  return full * context + (1 - full) * std::min(context, static_cast<double>(m.window_tokens));
}

double kv_bytes_per_token(const ModelShape& m, double element_bytes) {
  return static_cast<double>(m.layers) * kv_elements_per_token_layer(m) * element_bytes;
}

double touched_ff_fraction(const ModelShape& m, double tokens) {
  if (m.experts > 0) {
    // A given expert is missed by one token with probability 1 - k/N; tokens choose independently.
    const double k = static_cast<double>(m.experts_per_token), n = static_cast<double>(m.experts);
    const double hit = 1 - std::pow(1 - std::min(1.0, k / n), tokens);
    const double moe = (hit * n + static_cast<double>(m.shared_experts)) * one_expert(m) + router(m);
    return blend(m, moe) / ff_params_per_layer(m);
  }
  if (m.ff_block > 1) return 1 - std::pow(1 - 1.0 / static_cast<double>(m.ff_block), tokens);
  return 1;
}

Result<double> bytes_per_weight(std::string_view type) {
  if (type == "int8") return 1.0;
  if (type == "int4") return 18.0 / 32;
  const auto dtype = dtype_from_name(type);
  if (!dtype)
    return invalid_argument("weight type '{}': expected bf16, int8, int4 or a type of the engine (q4_k, q8_0 ...)",
                            type);
  const DTypeInfo& info = dtype_info(*dtype);
  if (info.block_elements == 0) return 1.0;  // int8 rows: the scale of a row is lost in its length
  return static_cast<double>(info.block_bytes) / info.block_elements;
}

Result<double> page_element_bytes(std::string_view type, int64_t head_dim) {
  const double scale = 4.0 / static_cast<double>(head_dim);
  if (type == "f16") return 2 + scale;
  if (type == "q8_0") return 1 + scale;
  return bytes_per_weight(type);
}

Status check_shape(const ModelShape& m) {
  if (m.layers < 1 || m.model_dim < 1 || m.ff_dim < 1 || m.heads < 1 || m.kv_heads < 1 || m.head_dim < 1 || m.vocab < 1)
    return invalid_argument("layers, model_dim, ff_dim, heads, kv_heads, head_dim and vocab must be at least 1");
  if (m.kv_heads > m.heads)
    return invalid_argument("kv_heads: expected at most heads = {}, found {}", m.heads, m.kv_heads);
  if (m.experts > 0 && (m.experts_per_token < 1 || m.experts_per_token > m.experts))
    return invalid_argument("experts_per_token: expected 1 to {}, found {}", m.experts, m.experts_per_token);
  if (m.dense_layers > m.layers)
    return invalid_argument("dense_layers: expected at most {}, found {}", m.layers, m.dense_layers);
  return Status();
}

Result<ModelShape> parse_model_shape(std::string_view text, std::string_view where) {
  TESSERA_ASSIGN_OR_RETURN(const Json json, parse_json(text, where));
  return shape_from_json(json, std::string(where));
}

std::string shape_to_json(const ModelShape& m) {
  nlohmann::ordered_json json{{"name", m.name}, {"layers", m.layers}, {"model_dim", m.model_dim}, {"ff_dim", m.ff_dim},
                              {"heads", m.heads}, {"kv_heads", m.kv_heads}, {"head_dim", m.head_dim},
                              {"ff_matrices", m.ff_matrices}, {"vocab", m.vocab}};
  const auto add = [&](const char* key, int64_t value) {
    if (value != 0) json[key] = value;
  };
  add("max_context", m.max_context);
  if (m.parallel_block) json["parallel_block"] = true;
  if (m.tied_embeddings) json["tied_embeddings"] = true;
  add("experts", m.experts);
  add("experts_per_token", m.experts_per_token);
  add("shared_experts", m.shared_experts);
  add("dense_layers", m.dense_layers);
  add("dense_ff_dim", m.dense_ff_dim);
  add("ff_block", m.ff_block);
  add("kv_elements", m.kv_elements);
  add("window_tokens", m.window_tokens);
  add("full_attention_every", m.full_attention_every);
  if (m.nominal_params > 0) json["nominal_params"] = m.nominal_params;
  if (m.stored_stack_bytes > 0) {
    nlohmann::ordered_json stored{{"stack", m.stored_stack_bytes}, {"vectors", m.stored_vector_bytes},
                                  {"embedding", m.stored_embedding_bytes}, {"output", m.stored_output_bytes},
                                  {"type", m.stored_type}, {"output_type", m.stored_output_type}};
    for (const StoredPart& part : m.stored_parts)
      stored["parts"].push_back({{"type", part.type}, {"bytes", part.bytes}, {"params", part.params}});
    json["stored"] = std::move(stored);
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<std::string> shipped_models() {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path != "models/models.json") continue;
    Result<Json> json = parse_json(file.text, file.path);
    if (!json.ok() || !json->contains("models")) continue;
    for (const Json& model : (*json)["models"]) names.push_back(model.value("name", std::string()));
  }
  return names;
}

Result<ModelShape> find_shipped_model(std::string_view name) {
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path != "models/models.json") continue;
    TESSERA_ASSIGN_OR_RETURN(const Json json, parse_json(file.text, file.path));
    for (const Json& model : json.value("models", Json::array())) {
      if (model.value("name", std::string()) == name)
        return shape_from_json(model, fmt::format("{} {}", file.path, name));
    }
  }
  return not_found("model '{}': expected a file, a folder or one of: {}", name, fmt::join(shipped_models(), ", "));
}

// Names of the Hugging Face vocabulary; families differ in spelling, not in meaning.
Result<ModelShape> shape_from_config_json(std::string_view text, std::string_view where_view) {
  const std::string where(where_view);
  TESSERA_ASSIGN_OR_RETURN(Json root, parse_json(text, where));
  if (root.is_object() && root.contains("text_config") && root["text_config"].is_object())
    root = Json(root["text_config"]);
  ModelShape m;
  JsonFields f(root, where);
  TESSERA_RETURN_IF_ERROR(f.status());
  constexpr double kDim = 1 << 24;
  const auto any = [&](std::initializer_list<const char*> keys, int64_t* out) {
    for (const char* key : keys) f.number(key, out, 0, kDim);
  };
  std::string family;
  f.text("model_type", &family);
  f.text("_name_or_path", &m.name);
  if (m.name.empty()) m.name = family;
  m.source = where;
  any({"num_hidden_layers", "n_layer", "num_layers", "n_layers"}, &m.layers);
  any({"hidden_size", "n_embd", "d_model"}, &m.model_dim);
  any({"num_attention_heads", "n_head", "num_heads", "n_heads"}, &m.heads);
  m.kv_heads = m.heads;
  any({"num_key_value_heads"}, &m.kv_heads);
  bool multi_query = false;
  f.flag("multi_query", &multi_query);
  if (multi_query) m.kv_heads = 1;
  m.head_dim = m.heads > 0 ? m.model_dim / m.heads : 0;
  any({"head_dim", "d_kv"}, &m.head_dim);
  m.ff_dim = 4 * m.model_dim;
  any({"intermediate_size", "n_inner", "d_ff"}, &m.ff_dim);
  any({"vocab_size"}, &m.vocab);
  any({"max_position_embeddings", "n_positions"}, &m.max_context);
  any({"num_local_experts", "num_experts", "n_routed_experts"}, &m.experts);
  any({"num_experts_per_tok"}, &m.experts_per_token);
  any({"n_shared_experts"}, &m.shared_experts);
  any({"first_k_dense_replace"}, &m.dense_layers);
  if (m.experts > 0) {
    m.dense_ff_dim = m.ff_dim;
    any({"moe_intermediate_size"}, &m.ff_dim);
  } else {
    m.dense_layers = 0;
  }
  int64_t kv_rank = 0, rope_dim = 0;
  any({"kv_lora_rank"}, &kv_rank);
  any({"qk_rope_head_dim"}, &rope_dim);
  if (kv_rank > 0) m.kv_elements = kv_rank + rope_dim;
  bool use_window = family == "mistral" || family.starts_with("gemma") || family == "phi3";
  f.flag("use_sliding_window", &use_window);
  if (use_window) any({"sliding_window"}, &m.window_tokens);
  any({"sliding_window_pattern"}, &m.full_attention_every);
  const bool plain = family == "gpt2" || family == "gpt_neox" || family == "gpt_bigcode" || family == "opt" ||
                     family == "falcon" || family == "phi" || family == "starcoder2" || family == "gptj" ||
                     family == "bloom";
  m.ff_matrices = plain ? 2 : 3;
  m.parallel_block =
      family == "gpt_neox" || family == "falcon" || family == "phi" || family == "gptj" || family == "cohere";
  m.tied_embeddings = family == "gpt2" || family.starts_with("gemma") || family == "bloom";
  f.flag("tie_word_embeddings", &m.tied_embeddings);
  std::string stored = "float16";
  f.text("torch_dtype", &stored);
  f.text("dtype", &stored);
  TESSERA_RETURN_IF_ERROR(f.status());
  TESSERA_RETURN_IF_ERROR(check_shape(m).with_context(where));
  m.stored_type = stored == "float32" ? "f32" : stored == "bfloat16" ? "bf16" : "f16";
  const double bytes = m.stored_type == "f32" ? 4 : 2;
  const double table = static_cast<double>(m.vocab) * static_cast<double>(m.model_dim);
  m.stored_stack_bytes = stack_params(m) * bytes;
  m.stored_embedding_bytes = table * bytes;
  m.stored_output_bytes = m.tied_embeddings ? 0 : table * bytes;
  return m;
}

}  // namespace tessera
