// Memory of one chip: weights, KV cache, scratch and transport buffers, and the longest context that fits.
#ifndef TESSERA_PLANNER_MEMORY_H_
#define TESSERA_PLANNER_MEMORY_H_

#include "planner/cost.h"

namespace tessera {

struct MemoryUse {
  double weights = 0;
  double kv = 0;         // for all sequences at full context
  double scratch = 0;    // activations of one chunk, logits; more where loading needs it before there is any cache
  double transport = 0;  // send and receive buffers of collectives, gathered weights
  double program = 0;    // with its tokenizer, threads and the rest of huge pages
  double total() const { return weights + kv + scratch + transport + program; }
};

inline constexpr int64_t kEngineChunkTokens = 512;  // this engine's default batch

struct MemoryRequest {
  int64_t sequences = 1;
  int64_t context = 2048;
  int64_t chunk_tokens = 2048;  // prefill is cut into pieces of at most this many tokens per chip group
  int64_t reserved_context = 0; // this engine: what the cache has room for; 0: context
  int64_t tokens_read = 0;      // rows looked up in the token table, which stays in the file; 0: sequences * context
};

MemoryUse memory_per_chip(const ModelShape& model, const HardwareSpec& hardware, const Partition& partition,
                          const NumberTypes& types, const MemoryRequest& request);

// KV bytes that one chip holds per token of context of `sequences` sequences.
double kv_bytes_per_context_token(const ModelShape& model, const Partition& partition, int64_t sequences,
                                  double element_bytes);

// Table 1: the context that `bytes` of KV per chip hold.
double context_in_kv_bytes(const ModelShape& model, const Partition& partition, int64_t sequences, double element_bytes,
                           double bytes);

// The longest context for which memory_per_chip stays within the usable memory; 0 when the weights alone do not fit.
double max_context(const ModelShape& model, const HardwareSpec& hardware, const Partition& partition,
                   const NumberTypes& types, int64_t sequences);

}  // namespace tessera

#endif  // TESSERA_PLANNER_MEMORY_H_
