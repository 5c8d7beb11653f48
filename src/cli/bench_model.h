// What `tessera bench` records about a model, read from its checkpoint: so that two results can be told to be of the
// same weights.
#ifndef TESSERA_CLI_BENCH_MODEL_H_
#define TESSERA_CLI_BENCH_MODEL_H_

#include <cstdint>

#include "cli/bench_result.h"
#include "formats/checkpoint.h"

namespace tessera {

// Everything but load_seconds and packed_bytes, which only a loaded engine knows.
BenchModelInfo describe_model(const Checkpoint& checkpoint);

// Of most of the weight bytes.
DType dominant_dtype(const WeightSource& weights);

// FNV-1a over names, types and shapes of all tensors and over parts of their first, middle and last rows: a few megabytes of
// any file. It tells checkpoints apart that differ by accident; it is no protection against an attacker.
uint64_t model_fingerprint(const WeightSource& weights);

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_MODEL_H_
