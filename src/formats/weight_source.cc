#include "formats/weight_source.h"

#include "base/check.h"

namespace tessera {

const WeightInfo* WeightSource::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &weights()[found->second];
}

void WeightSource::index_names() {
  index_.clear();
  const auto all = weights();
  for (size_t i = 0; i < all.size(); ++i) index_.emplace(all[i].name, i);
}

size_t WeightSource::index_of(const WeightInfo& weight) const {
  const auto all = weights();
  const WeightInfo* own = &weight;
  if (own < all.data() || own >= all.data() + all.size()) own = find(weight.name);  // a copy
  TESSERA_CHECK(own != nullptr, "{} is not a weight of this checkpoint", weight.name);
  return static_cast<size_t>(own - all.data());
}

}  // namespace tessera
