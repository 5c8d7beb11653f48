// TokenMixer: the interface of everything that moves information between tokens (mechanisms M3-M10). A mixer is
// immutable once built; what it remembers per token lives in state that it declares here and that the runtime stores.
#ifndef TESSERA_ATTENTION_MIXER_H_
#define TESSERA_ATTENTION_MIXER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ops/context.h"
#include "ops/cost.h"
#include "ops/linear.h"
#include "ops/rope.h"

namespace tessera {

// State of token positions is stored in pages of this many tokens. Attention splits at page borders.
inline constexpr int64_t kPageTokens = 64;

// What a mixer remembers and what may be done with it.
struct StateDeclaration {
  enum class Causal { kStable, kSegment, kApproximate, kNone };
  enum class Rollback { kTruncate, kSnapshot, kNone };
  enum class ChunkedPrefill { kExact, kSegmentEnds, kNone };

  uint64_t page_bytes = 0;  // bytes per page of kPageTokens tokens, in this layer
  Causal causal = Causal::kStable;
  Rollback rollback = Rollback::kTruncate;
  ChunkedPrefill chunked_prefill = ChunkedPrefill::kExact;
  bool batch_coupled = false;
};

// The new tokens of one sequence inside a ragged batch. They stand in consecutive batch rows.
struct BatchSequence {
  int64_t first_row = 0;
  int64_t tokens = 0;
  int64_t position = 0;              // of its first new token: tokens already in the state
  std::span<const int32_t> pages;    // page numbers that hold positions [0, position + tokens)
};

// One forward pass: tokens of many sequences at different positions.
struct Batch {
  std::span<const int32_t> tokens;       // [rows] token ids
  std::span<const int32_t> positions;    // [rows]
  std::span<const BatchSequence> sequences;
  std::span<const int32_t> logit_rows;   // rows whose logits are wanted
};

// The pages of one layer: page p begins at data + p * page_bytes.
struct LayerPages {
  std::byte* data = nullptr;
  uint64_t page_bytes = 0;
  std::byte* page(int32_t p) const { return data + static_cast<uint64_t>(p) * page_bytes; }
};

class TokenMixer {
 public:
  virtual ~TokenMixer() = default;
  virtual StateDeclaration state() const = 0;
  virtual StepCost cost(const StepShape& shape) const = 0;
  virtual uint64_t weight_bytes() const = 0;
  // out = mixer(x): x, out: [rows, model_dim]; out may be the rows that x norms. `rope` holds the angles of this batch
  // for this layer's settings. Appends the new tokens to `pages` and reads what is there. `accumulate`: out += instead of
  // out =. x is used up: what it holds quantized may lie in scratch that is given back here.
  virtual void forward(OpContext& ctx, const Batch& batch, const RopeRows& rope, LayerPages pages, LinearInput& x,
                       bool accumulate, Rows<float> out) const = 0;
};

}  // namespace tessera

#endif  // TESSERA_ATTENTION_MIXER_H_
