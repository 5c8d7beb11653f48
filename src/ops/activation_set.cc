#include "ops/activation_set.h"

#include <algorithm>

#include "base/math.h"
#include "kernels/kernels.h"
#include "kernels/packed_codec.h"

namespace tessera {
namespace {

// Hands out consecutive pieces, each on a cache line of its own. From null on: only how long they are together.
class Cutter {
 public:
  explicit Cutter(std::byte* begin) : at_(reinterpret_cast<uintptr_t>(begin)) {}
  template <class T>
  T* take(int64_t count) {
    T* result = reinterpret_cast<T*>(at_);
    at_ += round_up<uint64_t>(static_cast<uint64_t>(count) * sizeof(T), 64);
    return result;
  }
  std::byte* at() const { return reinterpret_cast<std::byte*>(at_); }

 private:
  uintptr_t at_;  // pointers may not be moved away from null
};

BlockTile cut_blocks(std::byte* data, ActivationForm form, int64_t cols, int64_t width, std::byte** end) {
  const int64_t group_blocks = tessera::group_blocks(form);
  const int64_t blocks = ceil_div<int64_t>(cols, kBlockCols);
  Cutter cutter(data);
  BlockTile tile{};
  tile.codes = cutter.take<int8_t>(blocks * kBlockCols * width);
  if (group_blocks != kMostGroupBlocks) {
    tile.start32 = cutter.take<int32_t>(blocks * width);
  } else {
    tile.start16 = cutter.take<int32_t>(blocks * 2 * width);
    tile.pair32 = cutter.take<int16_t>((blocks + 1) / 2 * 2 * width);
    tile.pair16 = cutter.take<int16_t>(blocks * 2 * width);
  }
  tile.scale = cutter.take<float>(ceil_div(blocks, group_blocks) * width);
  tile.width = width;
  tile.group_blocks = group_blocks;
  if (form == ActivationForm::kRoundedBlocks) std::ranges::copy(kRounding, tile.rounding);
  *end = cutter.at();
  return tile;
}

RowTile cut_row(std::byte* data, int64_t cols, int64_t width, std::byte** end) {
  Cutter cutter(data);
  RowTile tile{};
  tile.codes = cutter.take<int8_t>(round_up<int64_t>(cols, kBlockCols) * width);
  tile.sum = cutter.take<int32_t>(width);
  tile.scale = cutter.take<float>(width);
  tile.width = width;
  *end = cutter.at();
  return tile;
}

uint64_t bytes_of_tile(ActivationForm form, int64_t cols, int64_t width) {
  std::byte* end = nullptr;
  switch (form) {
    case ActivationForm::kF32: return round_up<uint64_t>(cols * width * 4, 64);
    case ActivationForm::kBf16: return round_up<uint64_t>((cols + 1) / 2 * 2 * width * 2, 64);
    case ActivationForm::kBlocks:
    case ActivationForm::kRoundedBlocks:
    case ActivationForm::kSuperBlocks: cut_blocks(nullptr, form, cols, width, &end); break;
    case ActivationForm::kRow: cut_row(nullptr, cols, width, &end); break;
  }
  return reinterpret_cast<uint64_t>(end);
}

// x: the tile's rows.
void fill_tile(const ActivationSet& set, Rows<const float> x, int64_t tile) {
  const MatmulKernels& k = kernels().matmul;
  const float* rows = x.data;
  const int64_t width = x.rows;
  switch (set.form) {
    case ActivationForm::kF32:
      return k.tile_f32(rows, x.stride, x.cols, width, reinterpret_cast<float*>(set.tile(tile)));
    case ActivationForm::kBf16:
      return k.tile_bf16(rows, x.stride, x.cols, width, reinterpret_cast<uint16_t*>(set.tile(tile)));
    case ActivationForm::kBlocks:
    case ActivationForm::kRoundedBlocks:
    case ActivationForm::kSuperBlocks: return k.quantize_blocks(rows, x.stride, x.cols, set.block_tile(tile));
    case ActivationForm::kRow: return k.quantize_rows(rows, x.stride, x.cols, set.row_tile(tile));
  }
}

}  // namespace

int64_t group_blocks(ActivationForm form) {
  switch (form) {
    case ActivationForm::kBlocks: return block_kind_info(kScale32).group_blocks;
    case ActivationForm::kRoundedBlocks: return block_kind_info(kScale32RowRounded).group_blocks;
    case ActivationForm::kSuperBlocks: return kMostGroupBlocks;
    default: return 0;
  }
}

ActivationForm activation_form(PackedCodec codec) {
  if (codec < kBlockCodecs) {
    const BlockKindInfo info = block_kind_info(packed_codec_info(codec).kind);
    return info.group_blocks == kMostGroupBlocks ? ActivationForm::kSuperBlocks
           : info.rounds                         ? ActivationForm::kRoundedBlocks
                                                 : ActivationForm::kBlocks;
  }
  if (codec == kPackedW8) return ActivationForm::kRow;
  if (codec == kPackedBF16 && kernels().matmul.pairs_bf16 != nullptr) return ActivationForm::kBf16;
  return ActivationForm::kF32;
}

RowTile ActivationSet::row_tile(int64_t t) const {
  std::byte* end = nullptr;
  return cut_row(tile(t), cols, tile_width(t), &end);
}

ActivationSet allocate_activation_set(OpContext& ctx, ActivationForm form, int64_t tokens, int64_t cols) {
  const bool blocks = group_blocks(form) != 0;
  const bool integers = blocks || form == ActivationForm::kRow;
  // Tiles of equal width: 8 tokens become 4 + 4, not 6 + 2. Wider ones spill sums.
  const int64_t widest = integers ? kManyBlockTokens : kFloatTokens;
  const int64_t tiles = ceil_div(tokens, widest);
  ActivationSet set{form, tokens, cols, ceil_div(tokens, tiles), 0, 0, nullptr, nullptr};
  set.tiles = ceil_div(tokens, set.width);
  set.tile_bytes = bytes_of_tile(form, cols, set.width);
  set.data = ctx.arena.allocate<std::byte>(static_cast<int64_t>(set.tile_bytes) * set.tiles).data();
  if (blocks) {
    set.blocks = ctx.arena.allocate<BlockTile>(set.tiles).data();
    std::byte* end = nullptr;
    for (int64_t t = 0; t < set.tiles; ++t) {
      set.blocks[t] = cut_blocks(set.tile(t), form, cols, set.tile_width(t), &end);
    }
  }
  return set;
}

ActivationSet make_activation_set(OpContext& ctx, ActivationForm form, Rows<const float> x, const RowNorm& norm) {
  const ActivationSet set = allocate_activation_set(ctx, form, x.rows, x.cols);
  // One section costs about as much as rearranging 16 K numbers.
  const int64_t grain = std::max<int64_t>(1, 16384 / (x.cols * set.width));
  const bool normed = norm.kind != RowNorm::Kind::kNone;
  Rows<float> scratch;  // [threads * width, cols]
  if (normed) scratch = ctx.scratch(ctx.pool.threads() * set.width, x.cols);
  ctx.pool.parallel_for(set.tiles, grain, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = set.first_token(t), tokens = set.tile_width(t);
      if (!normed) {
        fill_tile(set, {x.row(first), tokens, x.cols, x.stride}, t);
        continue;
      }
      const Rows<float> rows(scratch.row(thread * set.width), tokens, x.cols);
      for (int64_t i = 0; i < tokens; ++i) norm(x.row(first + i), rows.row(i));
      fill_tile(set, rows, t);
    }
  });
  return set;
}

}  // namespace tessera
