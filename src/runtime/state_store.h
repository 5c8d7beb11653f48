// StateStore: the memory of all sequences (mechanism M9): pages of kPageTokens token positions. A page number is good for
// every layer: layer l keeps its part of page p at layer(l).page(p). Pages are shared by forked sequences and copied when one
// of them writes (copy on write of the last, partly filled page).
//
// The address range for `max_pages` is reserved at once, memory is used as pages are touched; used_bytes() is what
// counts against the budget.
#ifndef TESSERA_RUNTIME_STATE_STORE_H_
#define TESSERA_RUNTIME_STATE_STORE_H_

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "attention/mixer.h"
#include "base/aligned.h"
#include "base/status.h"

namespace tessera {

using SequenceId = int64_t;

class StateStore {
 public:
  // declarations: one per layer.
  static Result<StateStore> create(std::span<const StateDeclaration> declarations, int64_t max_pages);

  SequenceId create_sequence();
  // A second sequence with the same tokens; shares all pages. Unknown ids are bugs (CHECK) throughout.
  SequenceId fork(SequenceId id);
  void free_sequence(SequenceId id);

  int64_t length(SequenceId id) const;                    // committed tokens
  std::span<const int32_t> pages(SequenceId id) const;    // covers length + reserved tokens
  // Makes room for `tokens` more. kResourceExhausted, with the numbers, when pages run out; nothing changes then.
  Status reserve(SequenceId id, int64_t tokens);
  // The next `tokens` reserved positions are filled.
  void commit(SequenceId id, int64_t tokens);
  // Rollback: forgets all positions >= length.
  void truncate(SequenceId id, int64_t length);

  LayerPages layer(int64_t l) const { return layers_[l]; }
  std::span<const LayerPages> layers() const { return layers_; }

  int64_t max_pages() const { return max_pages_; }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  uint64_t page_bytes() const { return page_bytes_; }  // over all layers
  uint64_t used_bytes() const { return static_cast<uint64_t>(max_pages_ - free_pages()) * page_bytes_; }

 private:
  struct Sequence {
    std::vector<int32_t> pages;
    int64_t length = 0;
  };
  void release_page(int32_t page);
  int32_t take_page();
  Sequence& at(SequenceId id);
  const Sequence& at(SequenceId id) const { return const_cast<StateStore*>(this)->at(id); }

  AlignedBytes memory_;
  std::vector<LayerPages> layers_;
  uint64_t page_bytes_ = 0;
  int64_t max_pages_ = 0;
  std::vector<int32_t> free_;       // stack of free page numbers, lowest on top
  std::vector<int32_t> references_;  // per page
  std::unordered_map<SequenceId, Sequence> sequences_;
  SequenceId next_id_ = 0;
};

}  // namespace tessera

#endif  // TESSERA_RUNTIME_STATE_STORE_H_
