// The flags that choose how tokens are drawn, and what a model recommends for them (general.sampling.*).
#ifndef TESSERA_CLI_SAMPLING_FLAGS_H_
#define TESSERA_CLI_SAMPLING_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"
#include "runtime/sampler.h"

namespace CLI {
class App;
class Option;
}

namespace tessera {

struct SamplingFlags {
  SamplerSettings settings;
  std::vector<std::string> logit_bias;  // TOKEN_ID+BIAS
  int64_t seed = -1;                    // -1: random
  std::vector<std::pair<const CLI::Option*, std::string>> recommendable;  // a flag and its key below general.sampling
};

void add_sampling_flags(CLI::App& app, SamplingFlags* flags);

// What the parser does not see: TOKEN_ID+BIAS. For before a model is loaded.
Status check_logit_bias(const SamplingFlags& flags);

// The settings: what the user said, else what the model recommends, else our defaults.
Result<SamplerSettings> sampler_settings(const SamplingFlags& flags, const Metadata& metadata);

}  // namespace tessera

#endif  // TESSERA_CLI_SAMPLING_FLAGS_H_
