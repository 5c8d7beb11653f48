#include "planner/cost.h"

#include <algorithm>
#include <cmath>

#include "planner/comm.h"

namespace tessera {
namespace {

// Joins times of things that run together: p = 1 adds them, larger p approaches the maximum.
double joined(double overlap, double a, double b, double c = 0) {
  const double most = std::max({a, b, c});
  if (most <= 0) return 0;
  if (overlap <= 0) return most;
  const auto term = [&](double t) { return std::pow(t / most, overlap); };
  return most * std::pow(term(a) + term(b) + term(c), 1 / overlap);
}

struct Rates {
  double flops = 0;
  double weight_bandwidth = 0;
};

// The measured rate of a type, or of the type whose kernel does most like it.
const KernelRate* kernel_rate(const HardwareSpec& hardware, const std::string& type) {
  constexpr std::pair<std::string_view, std::string_view> kLike[] = {
      {"q4_1", "q4_0"}, {"q5_0", "q4_0"}, {"q5_1", "q4_0"},  {"iq4_nl", "q4_0"}, {"mxfp4", "q4_0"},
      {"w8", "q8_0"},   {"int8", "q8_0"}, {"i8", "q8_0"},    {"int4", "q4_0"},   {"q5_k", "q4_k"},
      {"q3_k", "q4_k"}, {"q2_k", "q4_k"}, {"iq4_xs", "q4_k"}};
  if (const auto it = hardware.kernels.find(type); it != hardware.kernels.end()) return &it->second;
  for (const auto& [name, like] : kLike) {
    if (name != type) continue;
    const auto it = hardware.kernels.find(std::string(like));
    return it == hardware.kernels.end() ? nullptr : &it->second;
  }
  return nullptr;
}

Rates matmul_rates(const HardwareSpec& hardware, const std::string& type, double rows) {
  Rates rates;
  if (const KernelRate* kernel = kernel_rate(hardware, type)) {
    rates.flops =
        kernel->matmul_flops * hardware.constants.kernel_compute_fraction * rows / (rows + kernel->batch_half_rows);
    rates.weight_bandwidth = kernel->weight_bandwidth * hardware.constants.kernel_bandwidth_fraction;
    return rates;
  }
  rates.flops = peak_for_weights(hardware, type) * hardware.constants.compute_fraction;
  rates.weight_bandwidth = hardware.memory_bandwidth * hardware.constants.bandwidth_fraction;
  return rates;
}

// A file may mix types: rates that give the sum of the parts' times.
Rates stack_rates(const ModelShape& m, const HardwareSpec& hardware, const std::string& weight_type, double rows) {
  if (!weight_type.empty() || m.stored_parts.empty())
    return matmul_rates(hardware, weight_type.empty() ? m.stored_type : weight_type, rows);
  double bytes = 0, params = 0, byte_seconds = 0, flop_seconds = 0;
  for (const StoredPart& part : m.stored_parts) {
    const Rates rates = matmul_rates(hardware, part.type, rows);
    bytes += part.bytes;
    params += part.params;
    byte_seconds += part.bytes / rates.weight_bandwidth;
    flop_seconds += part.params / rates.flops;
  }
  return {params / flop_seconds, bytes / byte_seconds};
}

bool is_gathered(FfnLayout layout) { return layout != FfnLayout::kWs1d && layout != FfnLayout::kWs2d; }

// N of the weight-gathered layouts.
int64_t gathered_chips(const Partition& p) {
  return p.ffn == FfnLayout::kWgXyz ? p.mesh.size() : p.ffn == FfnLayout::kWgXy ? p.mesh.x * p.mesh.y : p.mesh.x;
}

// Everything of a pass that does not depend on rates.
struct Work {
  double heads = 0;
  double stage_layers = 0;
  double matmul_flops = 0;     // per chip
  double attention_flops = 0;  // per chip
  double weight_bytes = 0;     // per chip, read from memory
  double kv_bytes = 0;         // per chip
  double elements = 0;         // of activations that vector loops touch, per chip
  double output_flops = 0, output_bytes = 0;
  LayerWire wire;  // per layer
};

// Keys that a query sees, averaged over the queries of the pass. With causal_skip query i of a prompt sees context + i.
double attended_tokens(const ModelShape& m, const Pass& pass, bool causal_skip) {
  const double fresh = static_cast<double>(pass.tokens), context = static_cast<double>(pass.context);
  if (!causal_skip) return kept_tokens(m, context + fresh);
  const double all = context + (fresh + 1) / 2;
  if (m.window_tokens == 0) return all;
  const double window = static_cast<double>(m.window_tokens);
  const double growing = std::clamp(window - context, 0.0, fresh);  // queries that the window does not cut
  const double cut = (growing * (context + (growing + 1) / 2) + window * (fresh - growing)) / fresh;
  const double full = m.full_attention_every > 0 ? 1 / static_cast<double>(m.full_attention_every) : 0.0;
  return full * all + (1 - full) * cut;
}

// Per sequence: what any query of the pass sees is read once, what is new is written.
double cached_tokens_touched(const ModelShape& m, const Pass& pass) {
  const double fresh = static_cast<double>(pass.tokens), seen = static_cast<double>(pass.context) + fresh;
  if (m.window_tokens == 0) return seen + fresh;
  const double full = m.full_attention_every > 0 ? 1 / static_cast<double>(m.full_attention_every) : 0.0;
  return full * seen + (1 - full) * std::min(seen, static_cast<double>(m.window_tokens) - 1 + fresh) + fresh;
}

// Share of the KV cache of `sequences` sequences that one chip reads, in units of one sequence.
double kv_sequences_per_chip(const ModelShape& m, const Partition& p, const Pass& pass) {
  const double b = static_cast<double>(pass.sequences);
  if (is_gathered(p.ffn) || p.attention == AttentionLayout::kHeads) {
    // Heads over the axes that batch does not use.
    const int64_t by_batch = is_gathered(p.ffn) ? gathered_chips(p) : 1;
    const double rest = static_cast<double>(p.mesh.size() / by_batch), kv_heads = static_cast<double>(m.kv_heads);
    return std::ceil(b / static_cast<double>(by_batch)) * std::ceil(kv_heads / rest) / kv_heads;
  }
  return std::ceil(b / static_cast<double>(batch_split(p.mesh, pass.sequences)));
}

Work count_work(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const Pass& pass,
                const NumberTypes& types, double heads) {
  Work w;
  w.heads = heads;
  const Result<WeightSizes> checked = weight_sizes(m, types, heads);
  const WeightSizes sizes = checked.ok() ? *checked : WeightSizes{};
  const double n = static_cast<double>(p.mesh.size()), stages = static_cast<double>(p.pipeline_stages);
  const double layers = static_cast<double>(m.layers), tokens = pass.total_tokens();
  w.stage_layers = layers / stages;

  ModelShape padded = m;
  padded.heads = static_cast<int64_t>(heads);
  const double params = attention_params_per_layer(padded) + active_ff_params_per_layer(m);
  w.matmul_flops = 2 * params * tokens * w.stage_layers / n;
  const double attended = attended_tokens(m, pass, hw.causal_skip);
  const double hq = heads * static_cast<double>(m.head_dim);
  w.attention_flops = 4 * attended * hq * tokens * w.stage_layers / n;

  // Two norms, two additions and their copies of the residual; gate, up and product; queries, keys and the mixed heads.
  const double used = m.experts > 0 ? static_cast<double>(m.experts_per_token + m.shared_experts) : 1;
  const double width = 8 * static_cast<double>(m.model_dim) + 3 * used * static_cast<double>(m.ff_dim) + 3 * hq;
  w.elements = tokens * width * w.stage_layers / n;

  const double ff_share = ff_params_per_layer(m) / (ff_params_per_layer(m) + attention_params_per_layer(padded));
  const double touched = 1 - ff_share * (1 - touched_ff_fraction(m, tokens));
  w.weight_bytes = sizes.stack / stages / n * touched;
  w.kv_bytes = kv_sequences_per_chip(m, p, pass) * cached_tokens_touched(m, pass) *
               kv_bytes_per_token(m, types.kv_element_bytes) / stages;

  w.output_flops =
      2 * static_cast<double>(m.vocab) * static_cast<double>(m.model_dim) * static_cast<double>(pass.sequences) / n;
  w.output_bytes = (sizes.output > 0 ? sizes.output : sizes.embedding) / n;
  const WireInput input{&m, heads, tokens, types.activation_bytes, sizes.stack / layers};
  w.wire = layer_wire(hw, p, input);
  return w;
}

PassCost stage_cost(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const Pass& pass,
                    const NumberTypes& types) {
  const Work w = count_work(m, hw, p, pass, types, padded_heads(m, p));
  const Constants& c = hw.constants;
  const Rates rates = stack_rates(m, hw, types.weight_type, pass.total_tokens());
  const std::string& type = types.weight_type.empty() ? m.stored_type : types.weight_type;
  const std::string& output_type =
      types.weight_type.empty() && !m.stored_output_type.empty() ? m.stored_output_type : type;
  const Rates output = matmul_rates(hw, output_type, static_cast<double>(pass.sequences));
  PassCost cost;
  cost.compute = w.matmul_flops / rates.flops;
  cost.weights = w.weight_bytes / rates.weight_bandwidth;
  cost.attention = w.attention_flops / (peak_for_weights(hw, "bf16") * c.attention_fraction);
  cost.kv = w.kv_bytes / (hw.memory_bandwidth * c.kv_bandwidth_fraction);
  cost.wire = w.stage_layers * wire_seconds(hw, p, w.wire);
  cost.gather = w.stage_layers * gather_seconds(hw, p, w.wire);
  cost.hops = w.stage_layers * hop_seconds(hw, w.wire);
  cost.fixed = w.stage_layers * c.layer_seconds + c.step_seconds + w.elements * c.element_seconds;
  cost.unembed = joined(c.overlap, w.output_flops / output.flops, w.output_bytes / output.weight_bandwidth);
  // On processors that compute attention in vector units the cache is read while scores are computed.
  const double attend = hw.compute_in_int8 ? std::max(cost.attention, cost.kv) : 0;
  const double matmul = cost.compute + (hw.compute_in_int8 ? 0 : cost.attention);
  const double memory = hw.compute_in_int8 ? attend : cost.kv;
  cost.total =
      joined(c.overlap, matmul, cost.weights, cost.gather) + memory + cost.wire + cost.hops + cost.fixed + cost.unembed;
  cost.flops = w.matmul_flops + w.attention_flops + w.output_flops;
  cost.weight_bytes = w.weight_bytes + w.output_bytes;
  cost.kv_bytes = w.kv_bytes;
  cost.wire_bytes = w.stage_layers * w.wire.total();
  return cost;
}

// Stages work on different micro-batches. A prefill of M micro-batches passes through P stages in M + P - 1 steps;
// a decode step ends when the token has passed all P stages, and needs P micro-batches to keep them busy.
PassCost pipelined(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const Pass& pass,
                   const NumberTypes& types) {
  const double stages = static_cast<double>(p.pipeline_stages);
  PassCost best;
  for (const int64_t factor : {0, 1, 2, 4}) {
    const int64_t wanted = factor == 0 ? 1 : factor * p.pipeline_stages;
    const int64_t micro = std::min(wanted, pass.sequences);
    if (pass.tokens == 1 && micro > p.pipeline_stages) continue;
    Pass part = pass;
    part.sequences = (pass.sequences + micro - 1) / micro;
    PassCost cost = stage_cost(m, hw, p, part, types);
    const bool outside = hw.network.node_chips > 0 && p.chips() > hw.network.node_chips;
    const double link = outside ? hw.network.node_bandwidth : hw.network.link_bandwidth;
    const double send = part.total_tokens() * static_cast<double>(m.model_dim) * types.activation_bytes /
                        static_cast<double>(p.mesh.size()) / std::max(link, 1.0) / hw.constants.network_fraction;
    const double handover = send + hw.constants.hop_seconds + hw.network.node_hop_seconds;
    const double step = cost.total + handover;
    const double rounds = pass.tokens == 1 ? std::max(stages, static_cast<double>(micro)) : static_cast<double>(micro);
    cost.wire += handover;
    for (double PassCost::*term :
         {&PassCost::compute, &PassCost::weights, &PassCost::attention, &PassCost::kv, &PassCost::wire,
          &PassCost::gather, &PassCost::hops, &PassCost::fixed, &PassCost::unembed})
      cost.*term *= rounds;
    cost.bubble = pass.tokens == 1 ? 0 : (stages - 1) * step;
    cost.total = rounds * step + cost.bubble;
    if (best.total == 0 || cost.total < best.total) best = cost;
  }
  return best;
}

}  // namespace

Result<WeightSizes> weight_sizes(const ModelShape& m, const NumberTypes& types, double heads) {
  WeightSizes sizes;
  ModelShape padded = m;
  padded.heads = std::max<int64_t>(1, static_cast<int64_t>(heads));
  const double table = static_cast<double>(m.vocab) * static_cast<double>(m.model_dim);
  if (types.weight_type.empty() && m.stored_stack_bytes > 0) {
    sizes.stack = m.stored_stack_bytes * stack_params(padded) / stack_params(m);
    sizes.embedding = m.stored_embedding_bytes;
    sizes.output = m.stored_output_bytes;
    sizes.vectors = m.stored_vector_bytes;
    return sizes;
  }
  TESSERA_ASSIGN_OR_RETURN(const double bytes,
                           bytes_per_weight(types.weight_type.empty() ? "bf16" : types.weight_type));
  sizes.stack = stack_params(padded) * bytes;
  // The released code keeps the token table in bf16 under int8 weights; so do the usual block-quantized files.
  sizes.embedding = table * std::max(bytes, 2.0);
  if (!m.tied_embeddings) sizes.output = table * std::max(bytes, 2.0);
  return sizes;
}

double packed_growth(std::string_view type) {
  constexpr std::pair<std::string_view, double> kGrowth[] = {
      {"q4_k", 148.0 / 144}, {"q5_k", 180.0 / 176}, {"q3_k", 114.0 / 110}, {"iq4_xs", 138.0 / 136}, {"f8_e4m3", 2}};
  for (const auto& [name, growth] : kGrowth) {
    if (name == type) return growth;
  }
  return 1;
}

double packed_growth(const ModelShape& m, const NumberTypes& types) {
  if (!types.weight_type.empty()) return packed_growth(types.weight_type);
  double stored = 0, packed = 0;
  for (const StoredPart& part : m.stored_parts) {
    stored += part.bytes;
    packed += part.bytes * packed_growth(part.type);
  }
  return stored > 0 ? packed / stored : packed_growth(m.stored_type);
}

double padded_heads(const ModelShape& m, const Partition& p) {
  const double n = static_cast<double>(p.mesh.size()), h = static_cast<double>(m.heads);
  return std::ceil(h / n) * n;
}

int64_t batch_split(const Mesh& mesh, int64_t sequences) {
  for (const int64_t split : {mesh.size(), mesh.y * mesh.z, mesh.z}) {
    if (split <= sequences) return split;
  }
  return 1;
}

Status check_partition(const ModelShape& m, const Partition& p, const Pass& pass) {
  if (p.pipeline_stages > m.layers)
    return invalid_argument("{} pipeline stages: the model has {} layers", p.pipeline_stages, m.layers);
  if (p.expert_parallel && (m.experts == 0 || p.mesh.size() > m.experts))
    return invalid_argument("experts cannot be split over {} chips: the model has {}", p.mesh.size(), m.experts);
  const int64_t n = p.mesh.size();
  if (n == 1) return Status();
  if (p.attention == AttentionLayout::kBatch && !is_gathered(p.ffn) &&
      (pass.sequences < 4 || batch_split(p.mesh, pass.sequences) == 1))
    return invalid_argument("attention over batch: {} sequences are too few for {}", pass.sequences, to_string(p.mesh));
  if (is_gathered(p.ffn) && pass.sequences < gathered_chips(p))
    return invalid_argument("{} on {}: needs {} sequences, found {}", to_string(p.ffn), to_string(p.mesh),
                            gathered_chips(p), pass.sequences);
  const bool same_as_xyz = p.ffn != FfnLayout::kWgXyz && gathered_chips(p) == n;
  if (is_gathered(p.ffn) && (gathered_chips(p) == 1 || same_as_xyz))
    return invalid_argument("{} on {} is another layout", to_string(p.ffn), to_string(p.mesh));
  if (p.ffn == FfnLayout::kWgXy && p.mesh.y == 1) return invalid_argument("WG XY on {} is WG X", to_string(p.mesh));
  if (p.ffn == FfnLayout::kWs2d && p.mesh.x == 1)
    return invalid_argument("WS 2D needs X > 1, found {}", to_string(p.mesh));
  if (is_gathered(p.ffn) && p.expert_parallel)
    return invalid_argument("experts are split only with stationary weights");
  return Status();
}

PassCost predict_pass(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const Pass& pass,
                      const NumberTypes& types) {
  PassCost cost = p.pipeline_stages > 1 ? pipelined(m, hw, p, pass, types) : stage_cost(m, hw, p, pass, types);
  const double chips = static_cast<double>(p.chips());
  cost.tokens = pass.total_tokens();
  const double peak = std::max(peak_for_weights(hw, "bf16"), hw.compute_in_int8 ? peak_for_weights(hw, "int8") : 0);
  cost.mfu = model_flops(m, pass) / (chips * peak * cost.total);
  cost.chip_seconds_per_token = chips * cost.total / cost.tokens;
  cost.relative_error = prediction_error(m, hw);
  return cost;
}

double model_flops(const ModelShape& m, const Pass& pass) {
  if (m.nominal_params > 0) return 2 * m.nominal_params * pass.total_tokens();
  const double output = static_cast<double>(m.vocab) * static_cast<double>(m.model_dim);
  return 2 * (active_stack_params(m) * pass.total_tokens() + output * static_cast<double>(pass.sequences));
}

bool below_calibrated_size(const ModelShape& m, const HardwareSpec& hw) {
  return total_params(m) < 0.5 * least_calibrated_params(hw);
}

double prediction_error(const ModelShape& m, const HardwareSpec& hw) {
  const double measured = hw.calibration.leave_one_out_p90;
  return below_calibrated_size(m, hw) ? std::max(measured, kUncalibratedError) : measured;
}

double roofline_seconds(const ModelShape& m, const HardwareSpec& hw, const Partition& p, const Pass& pass,
                        const NumberTypes& types) {
  const Work w = count_work(m, hw, p, pass, types, static_cast<double>(m.heads));
  // Micro-batches may keep all stages busy at once; one sequence passes them one by one.
  const double stages = pass.sequences > 1 ? 1 : static_cast<double>(p.pipeline_stages);
  const double peak = std::max(peak_for_weights(hw, "bf16"), peak_for_weights(hw, types.weight_type));
  const double compute = w.matmul_flops * stages / peak;
  const double memory = (w.weight_bytes + w.kv_bytes) * stages / hw.memory_bandwidth;
  const double wire = w.stage_layers * stages * w.wire.total() / std::max(1.0, total_bandwidth(hw, p.mesh));
  return std::max({compute, memory, w.wire.total() > 0 ? wire : 0});
}

}  // namespace tessera
