#include "planner/memory.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "planner/comm.h"

namespace tessera {
namespace {

constexpr double kInputBytes = 2;           // per element of a matrix input: bf16, or int8 codes with their scales
constexpr double kVocabularyBytes = 250;    // per token: its text, score, places in the tokenizer's tables; 180 to 350 were seen
constexpr double kThreadBytes = 616 << 10;  // scratch of a worker in ops/linear.cc, touched stack

constexpr double kHugePage = 2 << 20;
constexpr double kMostLayersLaidOut = 256;  // of deeper models the first so many stand for all

bool is_gathered(FfnLayout layout) { return layout != FfnLayout::kWs1d && layout != FfnLayout::kWs2d; }

// Matrices whose inputs have one scale per 64 columns: a gated product goes into their codes and is not stored
// (linear_gated in ops/linear.cc). In a file that mixes types the last matrix is one of super-blocks.
bool gates_into_codes(const ModelShape& m) {
  constexpr std::string_view kTypes[] = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4"};
  const auto in_blocks = [&](std::string_view type) { return std::ranges::find(kTypes, type) != std::end(kTypes); };
  if (m.ff_matrices < 3 || !in_blocks(m.stored_type)) return false;
  return std::ranges::all_of(m.stored_parts, in_blocks, &StoredPart::type);
}

// This engine's arena, every buffer counted once (an estimate from above: scopes share some): residual stream and normed copy,
// rotation tables, queries, keys, values and mixed heads, the hidden row of the feed-forward, all f32; the input of each
// matrix once more, as the matrix wants it.
double engine_scratch_bytes(const ModelShape& m, const Partition& p, const MemoryRequest& request, double heads) {
  const double n = static_cast<double>(p.mesh.size()), e = static_cast<double>(m.model_dim);
  const double rows =
      static_cast<double>(std::min({request.chunk_tokens, request.context * request.sequences, kEngineChunkTokens}));
  const double used = m.experts > 0 ? static_cast<double>(m.experts_per_token + m.shared_experts) : 1;
  const double hq = heads * static_cast<double>(m.head_dim) / n, f = static_cast<double>(m.ff_dim) * used / n;
  const double attention = 2 * hq + kv_elements_per_token_layer(m) / n;
  const double as_input = kInputBytes * (e + hq + f);
  const double product = gates_into_codes(m) ? 0 : f;
  return rows * (4 * (2 * e + static_cast<double>(m.head_dim) + attention + product) + as_input) +
         4 * static_cast<double>(m.vocab) * static_cast<double>(request.sequences);
}

// Of the token table, which the engine reads through the mapped file: what `tokens` random rows touch. Text, which repeats its
// words, touches less. A fault maps 64 KiB around a row, since Linux 6.18 the whole folio that the row lies in. Of model files on
// ext4 a quarter to nine tenths lay in folios of 1 to 2 MiB, most right after they were written: mappings grew 1.5 MiB a row there.
double resident_table_bytes(double table_bytes, const ModelShape& m, double tokens) {
  constexpr double kFaultBytes = 65536, kFolioBytes = 1.5 * (1 << 20), kInFolios = 0.6;
  if (table_bytes <= 0) return 0;
  const double row = table_bytes / static_cast<double>(m.vocab);
  const auto touched = [&](double fault) { return 1 - std::exp(-tokens * (row + fault) / table_bytes); };
  return table_bytes * (kInFolios * touched(kFolioBytes) + (1 - kInFolios) * touched(kFaultBytes));
}

// Accelerators: residual stream, normed copy, fused projections and feed-forward halves of one chunk; logits in f32.
double scratch_bytes(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const NumberTypes& types,
                     const MemoryRequest& request, double heads) {
  if (hw.compute_in_int8) return engine_scratch_bytes(m, p, request, heads);
  const double n = static_cast<double>(p.mesh.size());
  const double x = p.ffn == FfnLayout::kWs1d ? 1 : static_cast<double>(p.mesh.x), yz = n / x;
  const double element = types.activation_bytes;
  const double per_chip = is_gathered(p.ffn) ? n : 1;  // weight-gathered: each chip has its own sequences
  const double tokens = std::min(static_cast<double>(request.chunk_tokens), static_cast<double>(request.context)) *
                        (is_gathered(p.ffn) ? std::ceil(static_cast<double>(request.sequences) / per_chip) : 1);
  const double chunk = std::min(tokens, 8192.0);
  const double used = m.experts > 0 ? static_cast<double>(m.experts_per_token + m.shared_experts) : 1;
  const double wide = (static_cast<double>(m.ff_matrices - 1) * static_cast<double>(m.ff_dim) * used +
                       2 * heads * static_cast<double>(m.head_dim) + kv_elements_per_token_layer(m)) /
                      (is_gathered(p.ffn) ? 1 : yz);
  const double narrow = 3 * static_cast<double>(m.model_dim) / (is_gathered(p.ffn) ? 1 : x);
  const double logits = 4 * static_cast<double>(m.vocab) * static_cast<double>(request.sequences) / n;
  return chunk * element * (wide + narrow) + logits;
}

double transport_bytes(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const NumberTypes& types,
                       const MemoryRequest& request, double heads, double stack) {
  if (p.mesh.size() <= 1) return 0;
  const double tokens =
      std::min({static_cast<double>(request.chunk_tokens), static_cast<double>(request.context), 8192.0});
  const double layer = stack / static_cast<double>(m.layers);
  const LayerWire wire = layer_wire(hw, p, {&m, heads, tokens, types.activation_bytes, layer});
  // Two collectives in flight; gathered weights arrive in rings of n slices, four of which are held at a time.
  const double slices = 4 * wire.gather_bytes / static_cast<double>(p.mesh.size());
  return 2 * std::max({wire.yz_bytes, wire.x_bytes, wire.all_to_all_bytes, wire.rest_bytes}) + slices;
}

// One allocation holds the pages of all layers, layer after layer, in huge pages: what is used at the start of each layer's
// part becomes resident 2 MiB at a time. Parts begin anywhere in a huge page.
double engine_kv_bytes(const ModelShape& m, const Partition& p, const MemoryRequest& request, double kv_token) {
  constexpr double kPageTokens = 64;
  const double layers = static_cast<double>(m.layers) / static_cast<double>(p.pipeline_stages);
  const auto layer_bytes = [&](int64_t context) {
    return std::ceil(kept_tokens(m, static_cast<double>(context)) / kPageTokens) * kPageTokens * kv_token / layers;
  };
  const double used = layer_bytes(request.context);
  const double reserved = layer_bytes(std::max(request.context, request.reserved_context));
  const double looked_at = std::min(std::ceil(layers), kMostLayersLaidOut);
  double pages = 0, end = 0;
  for (double l = 0; l < looked_at; ++l) {
    const double first = std::max(end, std::floor(l * reserved / kHugePage));
    end = std::ceil((l * reserved + used) / kHugePage);
    pages += std::max(0.0, end - first);
  }
  return layers * std::min(pages * kHugePage / looked_at, reserved);
}

// What huge pages add to packed matrices (ops/packed_bytes.cc): they fill slabs of 32 MiB in the order of the file, a matrix that
// does not fit opens the next slab, and of what is left of a slab the rest of the last huge page is resident.
double slab_rest_bytes(const ModelShape& m, double stack_bytes, double output_bytes) {
  constexpr double kSlab = 32 << 20;
  const double e = static_cast<double>(m.model_dim), q = static_cast<double>(m.heads * m.head_dim) * e;
  const double kv = kv_elements_per_token_layer(m) / 2 * e, f = static_cast<double>(m.ff_dim) * e;
  const double per_weight = stack_bytes / stack_params(m);
  const double layers = static_cast<double>(m.layers), looked_at = std::min(layers, kMostLayersLaidOut);
  double rest = 0, used = 0, size = 0;
  const auto add = [&](double bytes) {
    if (used + bytes > size) {
      rest += std::ceil(used / kHugePage) * kHugePage - used;
      used = 0;
      size = std::max(bytes, kSlab);
    }
    used += bytes;
  };
  for (double l = 0; l < looked_at; ++l) {
    for (const double weights : {q, kv, kv, q}) add(weights * per_weight);
    if (m.ff_matrices == 3) add(2 * f * per_weight);  // gate and up alternate in one allocation (Linear::pack_pair)
    for (int64_t i = m.ff_matrices == 3 ? 2 : 0; i < m.ff_matrices; ++i) add(f * per_weight);
  }
  rest *= layers / looked_at;
  add(output_bytes);
  return rest + std::ceil(used / kHugePage) * kHugePage - used;
}

// This engine packs every matrix, the output matrix also where it is the token table; the table stays in the file. While the
// output matrix is packed, last of all, its stored bytes are in memory too; the cache and the activations come later.
void add_engine_weights(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const NumberTypes& types,
                        const MemoryRequest& request, const WeightSizes& sizes, MemoryUse* use) {
  const double chips = static_cast<double>(p.chips());
  const double output = sizes.output > 0 ? sizes.output : sizes.embedding;
  const double reads = static_cast<double>(request.tokens_read > 0 ? request.tokens_read : request.sequences * request.context);
  const double table = resident_table_bytes(sizes.embedding, m, reads);
  const std::string& type = types.weight_type.empty() ? m.stored_output_type : types.weight_type;
  const double stack = sizes.stack * packed_growth(m, types), head = output * packed_growth(type);
  use->weights = (stack + head + sizes.vectors + table) / chips;
  use->scratch = std::max(use->scratch, (output - table) / chips - use->kv);
  use->program += kVocabularyBytes * static_cast<double>(m.vocab) + kThreadBytes * static_cast<double>(hw.cores);
  if (m.experts == 0) use->program += slab_rest_bytes(m, stack / chips, head / chips);
}

}  // namespace

double kv_bytes_per_context_token(const ModelShape& m, const Partition& p, int64_t sequences, double element_bytes) {
  const double all = kv_bytes_per_token(m, element_bytes) / static_cast<double>(p.pipeline_stages);
  const double n = static_cast<double>(p.mesh.size());
  const double kv_heads = static_cast<double>(m.kv_heads);
  if (p.attention == AttentionLayout::kBatch) {
    const double split = static_cast<double>(batch_split(p.mesh, sequences));
    return all * std::ceil(static_cast<double>(sequences) / split);
  }
  return all * static_cast<double>(sequences) * std::ceil(kv_heads / n) / kv_heads;
}

double context_in_kv_bytes(const ModelShape& m, const Partition& p, int64_t sequences, double element_bytes,
                           double bytes) {
  return bytes / kv_bytes_per_context_token(m, p, sequences, element_bytes);
}

MemoryUse memory_per_chip(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const NumberTypes& types,
                          const MemoryRequest& request) {
  MemoryUse use;
  const double heads = padded_heads(m, p);
  const Result<WeightSizes> checked = weight_sizes(m, types, heads);
  const WeightSizes sizes = checked.ok() ? *checked : WeightSizes{};
  use.weights = sizes.total() / static_cast<double>(p.chips());
  const double kv_token = kv_bytes_per_context_token(m, p, request.sequences, types.kv_element_bytes);
  use.kv = hw.compute_in_int8 ? engine_kv_bytes(m, p, request, kv_token)
                              : kept_tokens(m, static_cast<double>(request.context)) * kv_token;
  use.scratch = scratch_bytes(m, hw, p, types, request, heads);
  use.transport = transport_bytes(m, hw, p, types, request, heads, sizes.stack);
  use.program = hw.loaded_program_bytes;
  if (hw.compute_in_int8) add_engine_weights(m, hw, p, types, request, sizes, &use);
  return use;
}

double max_context(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const NumberTypes& types,
                   int64_t sequences) {
  const double limit = hw.memory_bytes * hw.usable_memory_fraction;
  const auto fits = [&](int64_t context) {
    return memory_per_chip(m, hw, p, types, {sequences, context, 2048}).total() <= limit;
  };
  if (!fits(1)) return 0;
  int64_t low = 1, high = int64_t{1} << 40;
  while (high - low > std::max<int64_t>(1, low / 1000)) {
    const int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return static_cast<double>(low);
}

}  // namespace tessera
