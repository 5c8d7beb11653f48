#include "formats/weight_source.h"

#include "base/check.h"

namespace tessera {

const WeightInfo* WeightSource::find(std::string_view name) const {
  for (const WeightInfo& weight : weights()) {
    if (weight.name == name) return &weight;
  }
  return nullptr;
}

size_t WeightSource::index_of(const WeightInfo& weight) const {
  const auto all = weights();
  const WeightInfo* own = &weight;
  if (own < all.data() || own >= all.data() + all.size()) own = find(weight.name);  // a copy
  TESSERA_CHECK(own != nullptr, "{} is not a weight of this checkpoint", weight.name);
  return static_cast<size_t>(own - all.data());
}

}  // namespace tessera
