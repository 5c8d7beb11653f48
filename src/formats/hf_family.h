// What differs between the families of Hugging Face checkpoints: how config.json reads in GGUF's vocabulary, and
// what each weight is called and how its rows lie there. One small file per family (hf_llama.cc, ...); the list of them
// is in hf_family.cc.
#ifndef TESSERA_FORMATS_HF_FAMILY_H_
#define TESSERA_FORMATS_HF_FAMILY_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/json_read.h"
#include "formats/metadata.h"
#include "formats/weight_source.h"

namespace tessera {

// How the rows of the GGUF weight come from those of the Hugging Face weight.
enum class RowOrder : uint8_t {
  kSame,
  // Rotary pairs: a head of n rows holds the first elements of all pairs, then the second ones; GGUF's llama layout has
  // them alternate. With the number of query heads, or of key heads.
  kPairQueryHeads,
  kPairKeyHeads,
  kTransposed,  // stored [inputs, outputs] (GPT-2's Conv1D)
};

// "{}" stands for the layer number, on both sides or on none. An empty GGUF name: the weight is known and not needed.
struct WeightRule {
  std::string_view huggingface;
  std::string_view gguf;
  RowOrder order = RowOrder::kSame;
};

struct HfFamily {
  std::span<const std::string_view> classes;  // values of config.json "architectures"
  std::string_view architecture;              // GGUF's general.architecture
  std::string_view prefix;                    // optional beginning of weight names
  bool tied_by_default;                       // where config.json has no tie_word_embeddings
  std::span<const WeightRule> rules;
  Status (*translate)(const JsonFields& config, Metadata* metadata);
};

std::span<const HfFamily* const> hf_families();
// By config.json's "architectures"; the error lists what is supported.
Result<const HfFamily*> find_hf_family(const JsonFields& config);

extern const HfFamily kHfLlama, kHfMistral, kHfQwen2, kHfQwen3, kHfGpt2;

}  // namespace tessera

#endif  // TESSERA_FORMATS_HF_FAMILY_H_
