// FlatMap: 64-bit key -> value, open addressing, filled once and then only read. Merge tables and tries have hundreds
// of thousands of entries and are asked once or twice per byte of text; std::unordered_map spends a cache miss more per
// question.
#ifndef TESSERA_TOKENIZER_FLAT_MAP_H_
#define TESSERA_TOKENIZER_FLAT_MAP_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

template <class Value>
class FlatMap {
 public:
  explicit FlatMap(size_t expected = 16) { rehash(std::bit_ceil(expected * 2 + 16)); }

  const Value* find(uint64_t key) const {
    for (size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return &slots_[slot].value;
      if (slots_[slot].key == kEmpty) return nullptr;
    }
  }

  // The value of `key`: the one that was there, else `value`. The key ~0 is reserved.
  Value& insert(uint64_t key, Value value) {
    if ((size_ + 1) * 2 > slots_.size()) rehash(slots_.size() * 2);
    size_t slot = slot_of(key);
    while (slots_[slot].key != kEmpty && slots_[slot].key != key) slot = (slot + 1) & mask_;
    if (slots_[slot].key == kEmpty) {
      slots_[slot] = {key, value};
      ++size_;
    }
    return slots_[slot].value;
  }

  size_t size() const { return size_; }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };

  // Multiplication by the golden ratio; the high bits of the product depend on every bit of the key.
  size_t slot_of(uint64_t key) const { return static_cast<size_t>((key * 0x9e3779b97f4a7c15u) >> shift_); }

  void rehash(size_t capacity) {
    std::vector<Slot> old(capacity);
    old.swap(slots_);
    mask_ = capacity - 1;
    shift_ = 64 - std::countr_zero(capacity);
    size_ = 0;
    for (const Slot& slot : old) {
      if (slot.key != kEmpty) insert(slot.key, slot.value);
    }
  }

  std::vector<Slot> slots_;
  size_t mask_ = 0;
  int shift_ = 0;
  size_t size_ = 0;
};

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_FLAT_MAP_H_
