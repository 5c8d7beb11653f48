#include "runtime/state_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/math.h"

namespace tessera {

Result<StateStore> StateStore::create(std::span<const StateDeclaration> declarations, int64_t max_pages) {
  TESSERA_CHECK(max_pages > 0 && max_pages <= INT32_MAX, "{} pages", max_pages);
  StateStore store;
  store.max_pages_ = max_pages;
  uint64_t total = 0;
  for (const StateDeclaration& declaration : declarations) {
    uint64_t layer_bytes = 0;
    if (!checked_mul(declaration.page_bytes, static_cast<uint64_t>(max_pages), &layer_bytes) ||
        !checked_add(total, round_up(layer_bytes, kCacheLineBytes), &total)) {
      return resource_exhausted("state of {} pages: the size overflows", max_pages);
    }
    store.page_bytes_ += declaration.page_bytes;
  }
  Result<AlignedBytes> memory = AlignedBytes::try_allocate(total);
  if (!memory.ok()) return memory.status().with_context(fmt::format("state of {} tokens", max_pages * kPageTokens));
  store.memory_ = *std::move(memory);

  std::byte* next = store.memory_.data();
  for (const StateDeclaration& declaration : declarations) {
    store.layers_.push_back({next, declaration.page_bytes});
    next += round_up(declaration.page_bytes * static_cast<uint64_t>(max_pages), kCacheLineBytes);
  }
  store.references_.assign(static_cast<size_t>(max_pages), 0);
  for (int64_t p = max_pages; p-- > 0;) store.free_.push_back(static_cast<int32_t>(p));
  return store;
}

StateStore::Sequence& StateStore::at(SequenceId id) {
  const auto it = sequences_.find(id);
  TESSERA_CHECK(it != sequences_.end(), "sequence {}", id);
  return it->second;
}

SequenceId StateStore::create_sequence() {
  sequences_.emplace(next_id_, Sequence{});
  return next_id_++;
}

SequenceId StateStore::fork(SequenceId id) {
  Sequence copy = at(id);
  copy.pages.resize(static_cast<size_t>(ceil_div(copy.length, kPageTokens)));  // reserved room is not shared
  for (int32_t page : copy.pages) ++references_[page];
  sequences_.emplace(next_id_, std::move(copy));
  return next_id_++;
}

void StateStore::free_sequence(SequenceId id) {
  for (int32_t page : at(id).pages) release_page(page);
  sequences_.erase(id);
}

int64_t StateStore::length(SequenceId id) const { return at(id).length; }
std::span<const int32_t> StateStore::pages(SequenceId id) const { return at(id).pages; }

int32_t StateStore::take_page() {
  const int32_t page = free_.back();
  free_.pop_back();
  references_[page] = 1;
  return page;
}

void StateStore::release_page(int32_t page) {
  if (--references_[page] == 0) free_.push_back(page);
}

Status StateStore::reserve(SequenceId id, int64_t tokens) {
  Sequence& sequence = at(id);
  const int64_t wanted = ceil_div(sequence.length + tokens, kPageTokens);
  const auto have = static_cast<int64_t>(sequence.pages.size());
  // A partly filled last page that somebody else reads is copied before it is written.
  const int64_t partial = sequence.length % kPageTokens != 0 ? sequence.length / kPageTokens : -1;
  const bool copy = tokens > 0 && partial >= 0 && references_[sequence.pages[partial]] > 1;
  const int64_t needed = std::max<int64_t>(wanted - have, 0) + (copy ? 1 : 0);
  if (needed > free_pages()) {
    return resource_exhausted("state: {} more pages of {} tokens are needed, {} of {} are free", needed, kPageTokens,
                              free_pages(), max_pages_);
  }
  if (copy) {
    const int32_t fresh = take_page();
    for (const LayerPages& layer : layers_) {
      std::memcpy(layer.page(fresh), layer.page(sequence.pages[partial]), layer.page_bytes);
    }
    release_page(sequence.pages[partial]);
    sequence.pages[partial] = fresh;
  }
  while (static_cast<int64_t>(sequence.pages.size()) < wanted) sequence.pages.push_back(take_page());
  return {};
}

void StateStore::commit(SequenceId id, int64_t tokens) {
  Sequence& sequence = at(id);
  sequence.length += tokens;
  TESSERA_CHECK(sequence.length <= static_cast<int64_t>(sequence.pages.size()) * kPageTokens, "commit without reserve");
}

void StateStore::truncate(SequenceId id, int64_t length) {
  Sequence& sequence = at(id);
  TESSERA_CHECK(length >= 0 && length <= sequence.length, "truncate {} to {}", sequence.length, length);
  const auto keep = static_cast<size_t>(ceil_div(length, kPageTokens));
  while (sequence.pages.size() > keep) {
    release_page(sequence.pages.back());
    sequence.pages.pop_back();
  }
  sequence.length = length;
}

}  // namespace tessera
