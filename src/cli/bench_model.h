// What `tessera bench` records about a model, read from its checkpoint: so that two results can be told to be of the
// same weights.
#ifndef TESSERA_CLI_BENCH_MODEL_H_
#define TESSERA_CLI_BENCH_MODEL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/bench_result.h"
#include "formats/checkpoint.h"

namespace tessera {

// What the file holds: everything but weight_type, load_seconds and packed_bytes, which loading decides.
BenchModelInfo describe_model(const Checkpoint& checkpoint);

std::string upper(std::string_view text);

// Of most of the weight bytes.
DType dominant_dtype(const WeightSource& weights);

// FNV-1a over names, types and shapes of all tensors and over parts of their first, middle and last rows: a few megabytes of
// any file. It tells checkpoints apart that differ by accident; it is no protection against an attacker.
uint64_t model_fingerprint(const WeightSource& weights);

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_MODEL_H_
