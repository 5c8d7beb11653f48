// A safetensors file: every entry must lie in it, and what a family of Hugging Face models accepts of it must be
// readable in that family's row order. The first byte picks the family.
#include <cstdint>
#include <span>

#include "formats/hf_weights.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  const auto entries = parse_safetensors_header(bytes);
  if (!entries.ok()) {
    TESSERA_CHECK(entries.status().message().find('\n') == std::string::npos, "{}", entries.status().message());
    return 0;
  }
  for (const SafetensorsEntry& entry : *entries) {
    TESSERA_CHECK(entry.begin <= bytes.size() && entry.bytes <= bytes.size() - entry.begin, "{}", entry.name);
  }
  const auto families = hf_families();
  const HfWeightSettings settings = {families[data[0] % families.size()], 2, 4, 2, data[0] >= 128, {}};
  HfWeights weights(settings);
  if (!weights.add_file(*entries, bytes, nullptr).ok()) return 0;
  for (const WeightInfo& weight : weights.weights()) {
    const auto stored = weights.read(weight);
    TESSERA_CHECK(stored.bytes.size() == weight.bytes, "{} bytes of {}", stored.bytes.size(), weight.bytes);
  }
  return 0;
}
