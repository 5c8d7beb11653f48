// The matmul kernels of every layer on arrays that end at a page which may not be touched: panels, activations and
// results of odd sizes. Sanitizers do not see the vector layers (CMakeLists.txt). Only what is touched matters, not the
// numbers.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/kernels.h"
#include "kernels/packed_codec.h"

namespace tessera {
namespace {

// n elements, the byte behind them in a page without access; filled with small numbers.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t n) : n_(static_cast<size_t>(n)) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = (n_ * sizeof(T) + page - 1) / page * page;
    mapped_ = bytes + page;
    base_ = static_cast<uint8_t*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + bytes, page, PROT_NONE);
    data_ = reinterpret_cast<T*>(base_ + bytes - n_ * sizeof(T));
    for (size_t i = 0; i < n_; ++i) data_[i] = static_cast<T>(i % 7);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, mapped_); }
  T* data() const { return data_; }

 private:
  size_t n_, mapped_;
  uint8_t* base_;
  T* data_;
};

struct Layer {
  std::string name;
  MatmulKernels kernels;
};

std::vector<Layer> layers() {
  std::vector<Layer> result;
  for (const KernelLayer& layer : kernel_layers()) {
    if (const auto table = build_kernel_table(layer.name, cpu_features()); table.ok()) {
      result.push_back({layer.name, table->matmul});
    }
  }
  return result;
}

struct Blocks {
  Guarded<int8_t> codes;
  Guarded<int32_t> start32, start16;
  Guarded<int16_t> pair32, pair16;
  Guarded<float> scale;
  BlockTile view;

  Blocks(int64_t blocks, int64_t width, int64_t group)
      : codes(blocks * kBlockCols * width), start32(blocks * width), start16(blocks * 2 * width),
        pair32((blocks + 1) / 2 * 2 * width), pair16(blocks * 2 * width), scale((blocks + group - 1) / group * width),
        view{codes.data(), start32.data(), start16.data(), pair32.data(), pair16.data(), scale.data(), width, group} {
    if (group != kMostGroupBlocks) view.start16 = nullptr, view.pair32 = view.pair16 = nullptr;
    if (group == kMostGroupBlocks) view.start32 = nullptr;
  }
};

TEST(MatmulBounds, QuantizedActivations) {
  for (const auto& [name, k] : layers()) {
    SCOPED_TRACE(name);
    for (int64_t width = 1; width <= kBlockTokens; ++width) {
      for (int64_t cols : {1, 15, 31, 32, 33, 64, 95, 256, 257, 300}) {
        const Guarded<float> x(width * cols);
        const int64_t blocks = (cols + kBlockCols - 1) / kBlockCols;
        for (int64_t group : {2, 4, kMostGroupBlocks}) {
          k.quantize_blocks(x.data(), cols, cols, Blocks(blocks, width, group).view);
        }
        const Guarded<int8_t> codes(blocks * kBlockCols * width);
        const Guarded<int32_t> sum(width);
        const Guarded<float> scale(width);
        k.quantize_rows(x.data(), cols, cols, RowTile{codes.data(), sum.data(), scale.data(), width});
      }
    }
  }
}

TEST(MatmulBounds, FloatActivationsAndWeights) {
  for (const auto& [name, k] : layers()) {
    SCOPED_TRACE(name);
    for (int64_t width = 1; width <= kFloatTokens; ++width) {
      for (int64_t cols : {1, 2, 3, 17, 64}) {
        const int64_t even = (cols + 1) / 2 * 2;
        const Guarded<float> x(width * cols), tile(cols * width), f32(cols * kPanelRows), y(width * kPanelRows);
        const Guarded<uint16_t> pairs(even * width), f16(cols * kPanelRows), bf16(even * kPanelRows);
        const TileOutput out{nullptr, 0, y.data(), kPanelRows, y.data(), kPanelRows};
        k.tile_f32(x.data(), cols, cols, width, tile.data());
        k.tile_bf16(x.data(), cols, cols, width, pairs.data());
        k.float_f32({f32.data(), tile.data(), width, cols, out});
        k.float_f16({f16.data(), tile.data(), width, cols, out});
        k.float_bf16({bf16.data(), tile.data(), width, cols, out});
        if (k.pairs_bf16 != nullptr) k.pairs_bf16({bf16.data(), pairs.data(), width, even, out});
      }
    }
  }
}

TEST(MatmulBounds, RowScaledWeights) {
  for (const auto& [name, k] : layers()) {
    SCOPED_TRACE(name);
    for (int64_t width = 1; width <= kBlockTokens; ++width) {
      for (int64_t cols : {32, 96}) {
        const Guarded<uint8_t> panel(cols * kPanelRows);
        const Guarded<int8_t> codes(cols * width);
        const Guarded<int32_t> sum(width);
        const Guarded<float> scale(width), row_scale(kPanelRows), y(width * kPanelRows);
        k.row_w8({panel.data(), row_scale.data(), {codes.data(), sum.data(), scale.data(), width}, cols,
                  {nullptr, 0, y.data(), kPanelRows, y.data(), kPanelRows}});
      }
    }
  }
}

// One tile (streamed) and several (each asks for a share of a panel that is not there), and the unpacked path.
void run_block_codec(const MatmulKernels& k, PackedCodec codec, int64_t blocks, int64_t width) {
  const PackedCodecInfo& info = packed_codec_info(codec);
  const auto bytes = static_cast<int64_t>(packed_panel_bytes(codec, blocks * kBlockCols));
  const Guarded<uint8_t> panel(bytes);
  const Guarded<float> y(width * kPanelRows);
  const Blocks x(blocks, width, block_kind_info(info.kind).group_blocks);
  const TileOutput out{nullptr, 0, y.data(), kPanelRows, y.data(), kPanelRows};
  k.few[codec](BlockTask{panel.data(), nullptr, x.view, blocks, out});
  k.few[codec](BlockTask{panel.data(), nullptr, x.view, blocks, out, panel.data() + bytes, 300});
  constexpr int64_t most = kUnpackBlocks;
  const Guarded<uint8_t> codes(most * kUnpackedBlockBytes);
  const Guarded<float> scale(most * kPanelRows), bias(most * kPanelRows);
  const Guarded<int32_t> int_scale(most * 2 * kPanelRows);
  const Guarded<float> neg_d_min(most / kMostGroupBlocks * kPanelRows);
  const Guarded<int16_t> mins(most * 2 * kPanelRows);
  UnpackedPanel w{nullptr,     0,           0,                scale.data(), int_scale.data(),
                  bias.data(), mins.data(), neg_d_min.data(), codes.data()};
  k.unpack[codec](panel.data(), 0, blocks, w);
  const BlockTask task{nullptr, &w, x.view, blocks, out, panel.data() + bytes, 300};
  k.many[info.kind](&task, 1);
}

TEST(MatmulBounds, BlockWeights) {
  for (const auto& [name, k] : layers()) {
    for (int c = 0; c < kBlockCodecs; ++c) {
      const auto codec = static_cast<PackedCodec>(c);
      SCOPED_TRACE(name + " codec " + std::to_string(c));
      const int64_t group = dtype_info(packed_codec_info(codec).dtype).block_elements / kBlockCols;
      for (int64_t width = 1; width <= kBlockTokens; ++width) {
        for (int64_t groups : {1, 2, 3, 4, 5}) run_block_codec(k, codec, groups * group, width);
        run_block_codec(k, codec, kUnpackBlocks, width);
      }
    }
  }
}

}  // namespace
}  // namespace tessera
