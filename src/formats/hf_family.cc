#include "formats/hf_family.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "formats/text.h"

namespace tessera {

std::span<const HfFamily* const> hf_families() {
  static constexpr std::array kFamilies = {&kHfLlama, &kHfMistral, &kHfQwen2, &kHfQwen3, &kHfGpt2};
  return kFamilies;
}

Result<const HfFamily*> find_hf_family(const JsonFields& config) {
  const nlohmann::json* names = config.find("architectures");
  if (names == nullptr || !names->is_array() || names->empty() || !names->front().is_string()) {
    return invalid_argument("{}: architectures: expected an array with the name of the model class", config.what());
  }
  const auto& name = names->front().get_ref<const std::string&>();
  std::string known;
  for (const HfFamily* family : hf_families()) {
    if (std::ranges::find(family->classes, name) != family->classes.end()) return family;
    for (const std::string_view known_name : family->classes) known += fmt::format(" {}", known_name);
  }
  return unsupported("{}: architectures: {} is not supported; these are:{}", config.what(), in_quotes(name), known);
}

}  // namespace tessera
