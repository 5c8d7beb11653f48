// Parts of config.json that the decoder-only families share, translated into GGUF keys.
#ifndef TESSERA_FORMATS_HF_CONFIG_H_
#define TESSERA_FORMATS_HF_CONFIG_H_

#include <string>
#include <string_view>
#include <vector>

#include "formats/json_read.h"
#include "formats/metadata.h"

namespace tessera {

// Sizes beyond these are no model: they would only let products overflow.
inline constexpr int64_t kMaxLayers = 1 << 12;
inline constexpr int64_t kMaxHeads = 1 << 16;
inline constexpr int64_t kMaxDim = 1 << 26;
inline constexpr int64_t kMaxTokensCount = 1ll << 31;

// Writes "<architecture>.<name>".
class KeyWriter {
 public:
  KeyWriter(std::string_view architecture, Metadata* metadata) : prefix_(architecture), metadata_(metadata) {}
  void count(std::string_view name, int64_t value) const;  // as u32
  void number(std::string_view name, double value) const;  // as f32
  void text(std::string_view name, std::string value) const;

 private:
  std::string prefix_;
  Metadata* metadata_;
};

// Layers, dimensions, heads, norm, vocabulary and rotary settings of the Llama-like families (Llama, Mistral, Qwen).
Status translate_llama_like(const JsonFields& config, std::string_view architecture, Metadata* metadata);

// Frequency divisors of Llama 3's rope scaling, head_dim / 2 of them; empty when config.json asks for another scaling
// or none. They are a weight in GGUF (rope_freqs.weight).
Result<std::vector<float>> llama3_rope_factors(const JsonFields& config);

}  // namespace tessera

#endif  // TESSERA_FORMATS_HF_CONFIG_H_
