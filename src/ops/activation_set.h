// ActivationSet: the input rows of a matmul in the form that a weight kernel reads: cut into tiles of a few tokens and
// quantized, rounded or only rearranged. Made once per input and shared by all matrices that read it.
#ifndef TESSERA_OPS_ACTIVATION_SET_H_
#define TESSERA_OPS_ACTIVATION_SET_H_

#include <cstdint>

#include "kernels/matmul_kernels.h"
#include "ops/activation_form.h"
#include "ops/context.h"
#include "ops/norm.h"

namespace tessera {

struct ActivationSet {
  ActivationForm form;
  int64_t tokens;
  int64_t cols;
  int64_t width;  // tokens of a tile; the last may have fewer
  int64_t tiles;
  uint64_t tile_bytes;
  std::byte* data;
  BlockTile* blocks;  // [tiles], if cut into blocks

  int64_t first_token(int64_t tile) const { return tile * width; }
  int64_t tokens_of(int64_t first, int64_t last) const {  // tiles [first, last)
    return (last < tiles ? first_token(last) : tokens) - first_token(first);
  }
  int64_t tile_width(int64_t tile) const { return tile + 1 < tiles ? width : tokens - tile * width; }
  std::byte* tile(int64_t t) const { return data + static_cast<uint64_t>(t) * tile_bytes; }
  const BlockTile& block_tile(int64_t t) const { return blocks[t]; }
  RowTile row_tile(int64_t tile) const;
};

// Without contents. Scratch comes from ctx.arena.
ActivationSet allocate_activation_set(OpContext& ctx, ActivationForm form, int64_t tokens, int64_t cols);
// Of x, or of norm(x).
ActivationSet make_activation_set(OpContext& ctx, ActivationForm form, Rows<const float> x, const RowNorm& norm = {});

}  // namespace tessera

#endif  // TESSERA_OPS_ACTIVATION_SET_H_
