#include "planner/shape_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>

namespace tessera {
namespace {

class Reader {
 public:
  Reader(const Metadata& metadata, std::string architecture)
      : metadata_(metadata), prefix_(std::move(architecture) + ".") {}

  // An absent key leaves `out`; a per-layer array gives its largest entry (hybrid models leave some layers at 0).
  void number(std::string_view key, int64_t* out, int64_t least = 0) {
    const std::string full = prefix_ + std::string(key);
    if (!status_.ok() || !metadata_.contains(full)) return;
    int64_t value = 0;
    if (const Result<uint64_t> scalar = metadata_.u64(full); scalar.ok()) {
      value = static_cast<int64_t>(std::min<uint64_t>(*scalar, uint64_t{1} << 40));
    } else if (const auto list = metadata_.i64_array(full); list.ok() && !list->empty()) {
      value = *std::max_element(list->begin(), list->end());
    } else {
      status_ = scalar.status();
      return;
    }
    constexpr int64_t kMost = 1 << 24;
    if (value < least || value > kMost)
      status_ = invalid_argument("{}: expected {} to {}, found {}", full, least, kMost, value);
    *out = value;
  }
  const Status& status() const { return status_; }

 private:
  const Metadata& metadata_;
  std::string prefix_;
  Status status_;
};

// "blk.17.attn_q.weight" -> 17; -1 for tensors outside the layers.
int64_t block_of(std::string_view name) {
  if (!name.starts_with("blk.")) return -1;
  int64_t block = -1;
  std::from_chars(name.data() + 4, name.data() + name.size(), block);
  return block;
}

void read_sizes(const WeightSource& weights, ModelShape* m) {
  std::set<int64_t> blocks;
  std::map<DType, StoredPart> by_type;
  for (const WeightInfo& w : weights.weights()) {
    const double bytes = static_cast<double>(w.bytes);
    const int64_t block = block_of(w.name);
    if (block >= 0) blocks.insert(block);
    if (block >= 0 && w.shape.rank() > 1) {
      m->stored_stack_bytes += bytes;
      StoredPart& part = by_type[w.dtype];
      part.type = std::string(to_string(w.dtype));
      part.bytes += bytes;
      part.params += static_cast<double>(w.shape.elements());
    } else if (w.name == "output.weight") {
      m->stored_output_bytes = bytes;
      m->stored_output_type = std::string(to_string(w.dtype));
    } else if (w.name == "token_embd.weight") {
      if (m->tied_embeddings) m->stored_output_type = std::string(to_string(w.dtype));
      m->stored_embedding_bytes = bytes;
    } else {
      m->stored_vector_bytes += bytes;
    }
  }
  // The first file of a split set, alone, holds some of the layers: the others are taken to be like them.
  const double growth = blocks.empty() ? 1 : static_cast<double>(m->layers) / static_cast<double>(blocks.size());
  m->stored_stack_bytes *= growth;
  m->stored_vector_bytes *= growth;
  double most = 0;
  for (auto& [type, part] : by_type) {
    if (part.bytes > most) m->stored_type = part.type;
    most = std::max(most, part.bytes);
    part.bytes *= growth;
    part.params *= growth;
    m->stored_parts.push_back(part);
  }
}

bool runs_blocks_in_parallel(const Metadata& metadata, const std::string& architecture) {
  const auto flag = metadata.boolean(architecture + ".use_parallel_residual");
  if (flag.ok()) return *flag;
  return architecture == "falcon" || architecture == "phi2" || architecture == "command-r" || architecture == "cohere2";
}

}  // namespace

Result<ModelShape> shape_from_checkpoint(const Checkpoint& checkpoint) {
  const Metadata& metadata = checkpoint.metadata;
  const WeightSource& weights = *checkpoint.weights;
  TESSERA_ASSIGN_OR_RETURN(const std::string architecture, metadata.text("general.architecture"));
  ModelShape m;
  m.name = std::filesystem::path(checkpoint.path).filename().string();
  m.source = checkpoint.path;
  Reader read(metadata, architecture);
  read.number("block_count", &m.layers, 1);
  read.number("embedding_length", &m.model_dim, 1);
  read.number("attention.head_count", &m.heads, 1);
  m.kv_heads = m.heads;
  read.number("attention.head_count_kv", &m.kv_heads, 1);
  m.head_dim = m.heads > 0 ? m.model_dim / m.heads : 0;
  read.number("attention.key_length", &m.head_dim, 1);
  read.number("feed_forward_length", &m.ff_dim);
  read.number("context_length", &m.max_context);
  read.number("expert_count", &m.experts);
  read.number("expert_used_count", &m.experts_per_token);
  read.number("expert_shared_count", &m.shared_experts);
  if (m.experts > 0) {
    m.dense_ff_dim = m.ff_dim;
    read.number("expert_feed_forward_length", &m.ff_dim);
    read.number("leading_dense_block_count", &m.dense_layers);
  }
  int64_t kv_rank = 0, rope_dim = 0;
  read.number("attention.kv_lora_rank", &kv_rank);
  read.number("rope.dimension_count", &rope_dim);
  if (kv_rank > 0) m.kv_elements = kv_rank + rope_dim;
  read.number("attention.sliding_window", &m.window_tokens);
  read.number("attention.sliding_window_pattern", &m.full_attention_every);
  TESSERA_RETURN_IF_ERROR(read.status());

  const WeightInfo* table = weights.find("token_embd.weight");
  if (table == nullptr) return not_found("{}: tensor token_embd.weight is missing", checkpoint.path);
  m.vocab = table->shape.rows();
  m.tied_embeddings = weights.find("output.weight") == nullptr;
  m.parallel_block = runs_blocks_in_parallel(metadata, architecture);
  m.ff_matrices = 2;
  for (const WeightInfo& w : weights.weights()) {
    if (w.name.find(".ffn_gate") != std::string::npos && w.name.find("gate_inp") == std::string::npos)
      m.ff_matrices = 3;
  }
  if (architecture == "phi3") m.ff_matrices = 3;  // gate and up in one tensor
  read_sizes(weights, &m);
  TESSERA_RETURN_IF_ERROR(check_shape(m).with_context(checkpoint.path));
  return m;
}

}  // namespace tessera
