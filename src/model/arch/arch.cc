#include "model/arch/arch.h"

#include <array>
#include <string>

namespace tessera {

std::span<const ArchAdapter> arch_adapters() {
  static constexpr std::array kAdapters = {
      ArchAdapter{"llama", read_llama},
      ArchAdapter{"qwen2", read_qwen2},
      ArchAdapter{"qwen3", read_qwen3},
      ArchAdapter{"gpt2", read_gpt2},
  };
  return kAdapters;
}

Result<ModelSpec> model_spec(const Metadata& metadata, const WeightSource& weights) {
  TESSERA_ASSIGN_OR_RETURN(const std::string name, metadata.text("general.architecture"));
  std::string known;
  for (const ArchAdapter& adapter : arch_adapters()) {
    if (adapter.name == name) return adapter.read({metadata, weights, name});
    known += (known.empty() ? "" : ", ") + std::string(adapter.name);
  }
  return unsupported("general.architecture: expected one of {}, found '{}'", known, name);
}

}  // namespace tessera
