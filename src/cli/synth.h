// `tessera synth`: writes a GGUF file of a known shape with random weights and a made-up vocabulary. Other engines load
// it too. Memory stays at one buffer, whatever the size of the model; the same seed gives the same file.
#ifndef TESSERA_CLI_SYNTH_H_
#define TESSERA_CLI_SYNTH_H_

#include <cstdint>
#include <string>

#include "base/function_ref.h"
#include "base/status.h"
#include "cli/synth_shape.h"
#include "compress/weight_recipe.h"

namespace tessera {

struct SynthOptions {
  SynthShape shape;
  WeightRecipe recipe;
  std::string output;
  uint64_t seed = 1;
  int threads = 0;
};

struct SynthResult {
  uint64_t tensor_bytes = 0;
  int64_t parameters = 0;
};

// progress(done, total) in bytes; false cancels and leaves no file.
Result<SynthResult> synthesize(const SynthOptions& options, FunctionRef<bool(uint64_t, uint64_t)> progress);

}  // namespace tessera

#endif  // TESSERA_CLI_SYNTH_H_
