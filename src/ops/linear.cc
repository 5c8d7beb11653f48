#include "ops/linear.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/math.h"
#include "kernels/kernels.h"
#include "ops/activation_set.h"
#include "ops/packed_matrix.h"

namespace tessera {
namespace {

// Up to this many tiles of tokens the packed weights are unpacked in registers, tile by tile; from here on it pays to
// unpack a panel into L1 once and to read it for all tiles.
constexpr int64_t kFewTiles = 6;
// Tokens whose sums of one panel stay in L2 while the columns are walked range by range.
constexpr int64_t kChunkTokens = 516;
// Float weights that are read for all tiles before the next ones.
constexpr int64_t kFloatRangeBytes = 32 << 10;
// Weights that a thread takes at a time, few tokens: long enough to stream, short enough to share at the end.
constexpr int64_t kStreamBytes = 64 << 10;
// Factors of a gated product that a thread holds while they meet: `kChunkTokens` tokens of two panels.
constexpr int64_t kMeetFloats = 2 * kPanelRows * kChunkTokens;
constexpr int64_t kMaxW8Cols = 131072;  // 127 * 127 * cols fits an int32

// One matrix of a section.
struct Job {
  const PackedMatrix* w;
  const ActivationSet* x;
  Rows<float> y;
  std::span<const float> bias;  // padded to whole panels, or empty
  bool accumulate;
};

// Memory of one thread: sums of a panel for a chunk of tokens, an unpacked range, and both factors of a gated product.
struct Scratch {
  float* sums;  // [kChunkTokens][32]
  float* gate;  // [kMeetFloats]
  float* up;    // [kMeetFloats]
  UnpackedPanel unpacked;
  BlockTask* tiles;  // [kChunkTokens]: of one range
};

Scratch make_scratch(std::byte* memory) {
  Scratch s{};
  const auto take = [&memory](int64_t bytes) {
    std::byte* result = memory;
    memory += round_up<int64_t>(bytes, 64);
    return result;
  };
  constexpr int64_t rows = kPanelRows, blocks = kUnpackBlocks;
  s.unpacked.code_memory = reinterpret_cast<uint8_t*>(take(blocks * kUnpackedBlockBytes));
  s.unpacked.scale = reinterpret_cast<float*>(take(blocks * rows * 4));
  s.unpacked.int_scale = reinterpret_cast<int32_t*>(take(blocks * 2 * rows * 4));
  s.unpacked.bias = reinterpret_cast<float*>(take(blocks * rows * 4));
  s.unpacked.mins = reinterpret_cast<int16_t*>(take(blocks * 2 * rows * 2));
  s.unpacked.neg_d_min = reinterpret_cast<float*>(take(blocks / kMostGroupBlocks * rows * 4));
  s.sums = reinterpret_cast<float*>(take(kChunkTokens * rows * 4));
  s.gate = reinterpret_cast<float*>(take(kMeetFloats * 4));
  s.up = reinterpret_cast<float*>(take(kMeetFloats * 4));
  s.tiles = reinterpret_cast<BlockTask*>(take(kChunkTokens * static_cast<int64_t>(sizeof(BlockTask))));
  return s;
}
constexpr int64_t kScratchBytes = 552 << 10;
static_assert(kUnpackBlocks * (kUnpackedBlockBytes + kPanelRows * (4 + 8 + 4 + 4 + 1)) +
                  kChunkTokens * (kPanelRows * 4 + static_cast<int64_t>(sizeof(BlockTask))) + 2 * kMeetFloats * 4 + 1024 <=
              kScratchBytes);

// Tiles [first, last) of tokens times one panel.
class PanelRun {
 public:
  PanelRun(const Job& job, int64_t panel, int64_t first, int64_t last, Scratch& scratch)
      : PanelRun(job, panel, first, last, scratch, job.y.row(job.x->first_token(first)) + panel * kPanelRows,
                 job.y.stride, std::min<int64_t>(kPanelRows, job.w->rows - panel * kPanelRows)) {}
  // The same into scratch, whole panels, tokens y_stride apart.
  PanelRun(const Job& job, int64_t panel, int64_t first, int64_t last, Scratch& scratch, float* y,
           int64_t y_stride = kPanelRows)
      : PanelRun(job, panel, first, last, scratch, y, y_stride, kPanelRows) {}

  void run() {
    if (job_.w->codec < kBlockCodecs) {
      last_ - first_ <= kFewTiles ? few_blocks() : many_blocks();
    } else if (job_.w->codec == kPackedW8) {
      whole_rows();
    } else {
      floats();
    }
    finish();
  }

 private:
  PanelRun(const Job& job, int64_t panel, int64_t first, int64_t last, Scratch& scratch, float* y, int64_t y_stride,
           int64_t rows)
      : job_(job),
        x_(*job.x),
        scratch_(scratch),
        row_(panel * kPanelRows),
        rows_(rows),
        first_(first),
        last_(last),
        panel_(job.w->panel(panel)),
        y_(y),
        y_stride_(y_stride) {}

  // Partial sums live in scratch, final ones go to y unless the panel hangs over its last row.
  TileOutput output(int64_t tile, bool begins, bool ends) const {
    const int64_t token = x_.first_token(tile) - x_.first_token(first_);
    float* sums = scratch_.sums + token * kPanelRows;
    TileOutput out{begins ? nullptr : sums, kPanelRows, sums, kPanelRows, nullptr, 0};
    if (ends && rows_ == kPanelRows) {
      out.c_out = y_ + token * y_stride_;
      out.c_out_stride = y_stride_;
      if (job_.accumulate) {
        out.add = out.c_out;
        out.add_stride = out.c_out_stride;
      } else if (!job_.bias.empty()) {
        out.add = job_.bias.data() + row_;
      }
    }
    return out;
  }

  void few_blocks() {
    const auto kernel = kernels().matmul.few[job_.w->codec];
    const int64_t blocks = ceil_div<int64_t>(x_.cols, kBlockCols);
    // Several tiles: each fetches its share of the panel that comes next.
    const int64_t tiles = last_ - first_, bytes = static_cast<int64_t>(job_.w->panel_bytes);
    const int64_t share = tiles > 1 ? ceil_div(ceil_div(bytes, blocks), tiles) : 0;
    const uint8_t* ahead = panel_ + bytes;
    for (int64_t t = first_; t < last_; ++t, ahead += share * blocks) {
      kernel(BlockTask{panel_, nullptr, x_.block_tile(t), blocks, output(t, true, true),
                       share > 0 ? ahead : nullptr, share});
    }
  }

  void many_blocks() {
    const MatmulKernels& k = kernels().matmul;
    const PackedCodecInfo& info = packed_codec_info(job_.w->codec);
    const auto kernel = k.many[info.kind];
    const int64_t block_bytes = info.group_bytes * kBlockCols / info.group_cols;
    const int64_t blocks = ceil_div<int64_t>(x_.cols, kBlockCols);
    for (int64_t begin = 0; begin < blocks; begin += kUnpackBlocks) {
      const int64_t count = std::min<int64_t>(kUnpackBlocks, blocks - begin);
      k.unpack[job_.w->codec](panel_, begin, count, scratch_.unpacked);
      // The next range comes from memory while this one is multiplied: some lines before each tile.
      const uint8_t* ahead = panel_ + (begin + count) * block_bytes;
      const int64_t share = round_up<int64_t>(ceil_div(kUnpackBlocks * block_bytes, last_ - first_), 64);
      for (int64_t t = first_; t < last_; ++t, ahead += share) {
        scratch_.tiles[t - first_] = {nullptr, &scratch_.unpacked, advance(x_.block_tile(t), begin), count,
                                      output(t, begin == 0, begin + count == blocks), ahead, share};
      }
      kernel(scratch_.tiles, last_ - first_);
    }
  }

  void whole_rows() {
    const auto* row_scale = reinterpret_cast<const float*>(panel_);
    const int64_t cols = round_up<int64_t>(x_.cols, kBlockCols), tiles = last_ - first_;
    // Many tiles: each fetches some lines of the panel that comes next.
    const auto bytes = static_cast<int64_t>(job_.w->panel_bytes);
    const int64_t share = tiles > kFewTiles ? round_up<int64_t>(ceil_div(bytes, tiles), 64) : 0;
    const uint8_t* ahead = panel_ + bytes;
    for (int64_t t = first_; t < last_; ++t, ahead += share) {
      for (int64_t i = 0; i < share; i += 64) __builtin_prefetch(ahead + i, 0, 2);
      kernels().matmul.row_w8(RowTask{panel_ + packed_codec_info(kPackedW8).head_bytes, row_scale, x_.row_tile(t), cols,
                                      output(t, true, true)});
    }
  }

  void floats() {
    const MatmulKernels& k = kernels().matmul;
    const bool pairs = x_.form == ActivationForm::kBf16;
    const auto kernel = job_.w->codec == kPackedF32   ? k.float_f32
                        : job_.w->codec == kPackedF16 ? k.float_f16
                        : pairs                       ? k.pairs_bf16
                                                      : k.float_bf16;
    const int64_t bytes = job_.w->codec == kPackedF32 ? 4 : 2;
    const int64_t cols = pairs ? round_up<int64_t>(x_.cols, 2) : x_.cols;
    // Many tokens: ranges of weights that stay in L1.
    const int64_t range = last_ - first_ <= 1 ? cols : kFloatRangeBytes / (bytes * kPanelRows);
    for (int64_t begin = 0; begin < cols; begin += range) {
      const int64_t count = std::min(range, cols - begin);
      for (int64_t t = first_; t < last_; ++t) {
        const int64_t width = x_.tile_width(t);
        kernel(FloatTask{panel_ + begin * bytes * kPanelRows, x_.tile(t) + begin * width * (pairs ? 2 : 4), width,
                         count, output(t, begin == 0, begin + count == cols)});
      }
    }
  }

  // What the kernel's last store could not do: a panel that hangs over, a bias besides a residual.
  void finish() {
    const int64_t tokens = x_.tokens_of(first_, last_);
    for (int64_t t = 0; t < tokens && rows_ < kPanelRows; ++t) {
      float* y = y_ + t * y_stride_;
      const float* sums = scratch_.sums + t * kPanelRows;
      for (int64_t r = 0; r < rows_; ++r) {
        y[r] = job_.accumulate ? sums[r] + y[r] : job_.bias.empty() ? sums[r] : sums[r] + job_.bias[row_ + r];
      }
    }
    if (!job_.accumulate || job_.bias.empty()) return;
    for (int64_t t = 0; t < tokens; ++t) {
      float* y = y_ + t * y_stride_;
      for (int64_t r = 0; r < rows_; ++r) y[r] += job_.bias[row_ + r];
    }
  }

  const Job& job_;
  const ActivationSet& x_;
  Scratch& scratch_;
  int64_t row_;
  int64_t rows_;
  int64_t first_;
  int64_t last_;
  const uint8_t* panel_;
  float* y_;  // of the first token and row
  int64_t y_stride_;
};

// How a section is cut: chunks of tokens (tiles of `tile_tokens`), and panels that a thread takes at a time.
struct Cut {
  int64_t chunk_tiles;
  int64_t chunks;
  int64_t grain;

  // Unit `i` of a section: a panel (or a group of them) times tiles [first, last) of `tiles`.
  struct Unit {
    int64_t panel, first, last;
  };
  Unit unit(int64_t i, int64_t tiles) const {
    const int64_t first = i % chunks * chunk_tiles;
    return {i / chunks, first, std::min(first + chunk_tiles, tiles)};
  }
};

Cut cut_section(int threads, int64_t panels, int64_t tiles, int64_t tile_tokens, uint64_t panel_bytes,
                int64_t most_tokens = kChunkTokens) {
  // As many tokens as the memory of sums or products asks for, fewer when there are too few panels to share.
  Cut cut{std::min(tiles, most_tokens / tile_tokens), 1, 1};
  while (cut.chunk_tiles > 8 && panels * ceil_div(tiles, cut.chunk_tiles) < 4 * threads)
    cut.chunk_tiles = ceil_div<int64_t>(cut.chunk_tiles, 2);
  cut.chunks = ceil_div(tiles, cut.chunk_tiles);
  if (tiles <= kFewTiles) cut.grain = std::max<int64_t>(1, kStreamBytes / static_cast<int64_t>(panel_bytes));
  return cut;
}

// Units of a section: panels of all jobs, times chunks of tiles.
void run_jobs(OpContext& ctx, std::span<const Job> jobs) {
  int64_t panels = 0, most_tiles = 0, most_width = 0;
  uint64_t most_bytes = 0;
  for (const Job& job : jobs) {
    panels += job.w->panels();
    most_tiles = std::max(most_tiles, job.x->tiles);
    most_width = std::max(most_width, job.x->width);
    most_bytes = std::max(most_bytes, job.w->panel_bytes);
  }
  const Cut cut = cut_section(ctx.pool.threads(), panels, most_tiles, most_width, most_bytes);
  std::byte* scratch = ctx.arena.allocate<std::byte>(kScratchBytes * ctx.pool.threads()).data();
  ctx.pool.parallel_for(panels * cut.chunks, cut.grain, [&](int64_t begin, int64_t end, int thread) {
    Scratch own = make_scratch(scratch + kScratchBytes * thread);
    for (int64_t i = begin; i < end; ++i) {
      int64_t panel = i / cut.chunks;
      const Job* job = jobs.data();
      while (panel >= job->w->panels()) panel -= (job++)->w->panels();
      const Cut::Unit unit = cut.unit(i, job->x->tiles);
      if (unit.first < unit.last) PanelRun(*job, panel, unit.first, unit.last, own).run();
    }
  });
}

// y = act(gate) * up: the panels of both matrices alternate, here and (pack_pair) in memory, and their products meet in the
// first- or second-level cache.
void run_gated(OpContext& ctx, GatedKernel act, const Job& gate, const Job& up, Rows<float> y) {
  const ActivationSet& x = *gate.x;
  const Cut cut = cut_section(ctx.pool.threads(), up.w->panels(), x.tiles, x.width, 2 * up.w->panel_bytes);
  std::byte* scratch = ctx.arena.allocate<std::byte>(kScratchBytes * ctx.pool.threads()).data();
  ctx.pool.parallel_for(up.w->panels() * cut.chunks, cut.grain, [&](int64_t begin, int64_t end, int thread) {
    Scratch own = make_scratch(scratch + kScratchBytes * thread);
    for (int64_t i = begin; i < end; ++i) {
      const auto [panel, first, last] = cut.unit(i, x.tiles);
      const int64_t row = panel * kPanelRows, token = x.first_token(first), tokens = x.tokens_of(first, last);
      PanelRun(gate, panel, first, last, own, own.gate).run();
      PanelRun(up, panel, first, last, own, own.up).run();
      act(own.gate, own.up, own.gate, tokens * kPanelRows);
      for (int64_t t = 0; t < tokens; ++t) {
        std::copy_n(own.gate + t * kPanelRows, std::min<int64_t>(kPanelRows, y.cols - row), y.row(token + t) + row);
      }
    }
  });
}

// The same into int8 groups of the next matrix's columns, as many panels at a time as such a group has blocks. Many tokens.
void run_gated_quantized(OpContext& ctx, GatedKernel act, const Job& gate, const Job& up, const ActivationSet& y) {
  static_assert(kPanelRows == kBlockCols);
  const ActivationSet& x = *gate.x;
  const int64_t panels = group_blocks(y.form), rows = panels * kPanelRows, groups = ceil_div(y.cols, rows);
  const Cut cut = cut_section(ctx.pool.threads(), groups, x.tiles, x.width, panels * up.w->panel_bytes,
                              kMeetFloats / rows);
  std::byte* scratch = ctx.arena.allocate<std::byte>(kScratchBytes * ctx.pool.threads()).data();
  ctx.pool.parallel_for(groups * cut.chunks, 1, [&](int64_t begin, int64_t end, int thread) {
    Scratch own = make_scratch(scratch + kScratchBytes * thread);
    for (int64_t i = begin; i < end; ++i) {
      const auto [group, first, last] = cut.unit(i, x.tiles);
      const int64_t token = x.first_token(first);
      const int64_t begin_panel = group * panels, end_panel = std::min(begin_panel + panels, up.w->panels());
      for (int64_t p = begin_panel; p < end_panel; ++p) {
        const int64_t row = (p - begin_panel) * kPanelRows;
        PanelRun(gate, p, first, last, own, own.gate + row, rows).run();
        PanelRun(up, p, first, last, own, own.up + row, rows).run();
      }
      act(own.gate, own.up, own.gate, x.tokens_of(first, last) * rows);
      for (int64_t t = first; t < last; ++t) {
        kernels().matmul.quantize_blocks(own.gate + (x.first_token(t) - token) * rows, rows,
                                         std::min(rows, y.cols - group * rows),
                                         advance(y.block_tile(t), group * panels));
      }
    }
  });
}

Job make_job(const Linear& w, std::span<const float> padded_bias, LinearInput& x, Rows<float> y, bool accumulate) {
  TESSERA_CHECK(!w.empty(), "a Linear without weights");
  TESSERA_CHECK(x.cols() == w.cols() && y.cols == w.rows() && y.rows == x.rows(),
                "x [{}, {}], W [{}, {}], y [{}, {}]", x.rows(), x.cols(), w.rows(), w.cols(), y.rows, y.cols);
  const auto form = activation_form(w.packed().codec);
  return {&w.packed(), x.prepared(form), y, padded_bias, accumulate};
}

// Everything about the matrix but its memory.
Result<std::unique_ptr<PackedMatrix>> describe(const Linear::Source& source) {
  const auto codec = packed_codec_of(source.dtype);
  if (!codec) return unsupported("a weight of type {}: expected a float or block type", to_string(source.dtype));
  if (source.rows <= 0 || source.cols <= 0) {
    return invalid_argument("weight [{}, {}]: expected positive sizes", source.rows, source.cols);
  }
  const int block = std::max(1, dtype_info(source.dtype).block_elements);
  if (source.cols % block != 0) {
    return unsupported("weight [{}, {}] of type {}: expected columns in multiples of {}", source.rows, source.cols,
                       to_string(source.dtype), block);
  }
  if (*codec == kPackedW8 && source.cols > kMaxW8Cols) {
    return unsupported("weight of type w8 with {} columns: expected at most {}", source.cols, kMaxW8Cols);
  }
  uint64_t bytes = 0;
  auto matrix = std::make_unique<PackedMatrix>();
  matrix->codec = *codec;
  matrix->dtype = source.dtype;
  matrix->rows = source.rows;
  matrix->cols = source.cols;
  if (!row_bytes(source.dtype, static_cast<uint64_t>(source.cols)) ||
      source.cols > std::numeric_limits<int64_t>::max() / 1024 ||
      !checked_mul(matrix->panel_bytes = packed_panel_bytes(*codec, source.cols),
                   static_cast<uint64_t>(matrix->panels()), &bytes) ||
      bytes > std::numeric_limits<uint64_t>::max() / 2) {
    return invalid_argument("weight [{}, {}]: too large", source.rows, source.cols);
  }
  return matrix;
}

void fill(PackedMatrix& matrix, const Linear::Source& source, ThreadPool& pool) {
  const uint64_t stored_row = *row_bytes(source.dtype, static_cast<uint64_t>(source.cols));
  const int64_t grain = std::max<int64_t>(1, (1 << 18) / static_cast<int64_t>(matrix.panel_bytes));
  pool.parallel_for(matrix.panels(), grain, [&](int64_t begin, int64_t end, int) {
    const int64_t last_row = std::min(end * kPanelRows, source.rows);
    source.read_rows(begin * kPanelRows, last_row, [&](const std::byte* stored) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t rows = std::min<int64_t>(kPanelRows, source.rows - p * kPanelRows);
        pack_panel(source.dtype, stored + static_cast<uint64_t>((p - begin) * kPanelRows) * stored_row, rows,
                   stored_row, source.cols, matrix.panel(p));
      }
    });
  });
}

}  // namespace

Linear::Linear() = default;
Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;

int64_t Linear::rows() const { return packed_->rows; }
int64_t Linear::cols() const { return packed_->cols; }
DType Linear::dtype() const { return packed_->dtype; }
uint64_t Linear::packed_bytes() const { return packed_->bytes(); }

Result<Linear> Linear::pack(const Source& source, ThreadPool& pool) {
  Linear result;
  TESSERA_ASSIGN_OR_RETURN(result.packed_, describe(source));
  PackedMatrix& matrix = *result.packed_;
  TESSERA_ASSIGN_OR_RETURN(matrix.memory, PackedBytes::allocate(matrix.bytes()));
  matrix.first = matrix.memory.data();
  matrix.panel_stride = matrix.panel_bytes;
  fill(matrix, source, pool);
  return result;
}

Result<std::array<Linear, 2>> Linear::pack_pair(const Source& first, const Source& second, ThreadPool& pool) {
  TESSERA_CHECK(first.dtype == second.dtype && first.rows == second.rows && first.cols == second.cols,
                "[{}, {}] of {} and [{}, {}] of {}", first.rows, first.cols, to_string(first.dtype), second.rows,
                second.cols, to_string(second.dtype));
  std::array<Linear, 2> pair;
  const Source* sources[] = {&first, &second};
  PackedBytes memory;
  for (size_t i = 0; i < pair.size(); ++i) {
    TESSERA_ASSIGN_OR_RETURN(pair[i].packed_, describe(*sources[i]));
    PackedMatrix& matrix = *pair[i].packed_;
    if (i == 0) {
      TESSERA_ASSIGN_OR_RETURN(memory, PackedBytes::allocate(2 * matrix.bytes()));
    }
    matrix.memory = memory;
    matrix.first = memory.data() + i * matrix.panel_bytes;
    matrix.panel_stride = 2 * matrix.panel_bytes;
    fill(matrix, *sources[i], pool);
  }
  return pair;
}

void Linear::set_bias(std::vector<float> bias) {
  TESSERA_CHECK(packed_ != nullptr && static_cast<int64_t>(bias.size()) == packed_->rows, "bias of {}", bias.size());
  bias_ = std::move(bias);
  bias_.resize(packed_->panels() * kPanelRows);
}

LinearInput::LinearInput(OpContext& ctx, Rows<const float> x, const RowNorm& norm) : ctx_(ctx), x_(x), norm_(norm) {
  TESSERA_CHECK(norm.kind == RowNorm::Kind::kNone || static_cast<int64_t>(norm.weight.size()) == x.cols,
                "x [{}, {}], norm of {}", x.rows, x.cols, norm.weight.size());
}

LinearInput::LinearInput(OpContext& ctx, const ActivationSet* only)
    : ctx_(ctx), x_(nullptr, only->tokens, only->cols) {
  forms_[static_cast<size_t>(only->form)] = only;
}

const ActivationSet* LinearInput::prepared(ActivationForm form) {
  const ActivationSet*& prepared = forms_[static_cast<size_t>(form)];
  if (prepared == nullptr) {
    TESSERA_CHECK(x_.data != nullptr, "an input that was quantized for another matrix");
    auto* set = ctx_.arena.allocate<ActivationSet>(1).data();
    prepared = new (set) ActivationSet(make_activation_set(ctx_, form, x_, norm_));
  }
  return prepared;
}

void linear(OpContext& ctx, const Linear& w, LinearInput& x, Rows<float> y) {
  if (y.rows == 0) return;
  const Job job = make_job(w, w.padded_bias(), x, y, false);
  run_jobs(ctx, {&job, 1});
}

void linear_add(OpContext& ctx, const Linear& w, LinearInput& x, Rows<float> y) {
  if (y.rows == 0) return;
  const Job job = make_job(w, w.padded_bias(), x, y, true);
  run_jobs(ctx, {&job, 1});
}

LinearInput linear_gated(OpContext& ctx, Activation act, const Linear& gate, const Linear& up, LinearInput& x,
                         const Linear& next) {
  const int64_t tokens = x.rows(), cols = gate.rows();
  if (tokens == 0) return {ctx, Rows<const float>(nullptr, 0, cols)};
  const Rows<float> none(nullptr, tokens, cols);
  Job jobs[] = {make_job(gate, gate.padded_bias(), x, none, false), make_job(up, up.padded_bias(), x, none, false)};
  // Else tiles are cut differently, or few tokens would jump between two streams: products meet in memory.
  const bool alternate = jobs[0].w->memory.data() == jobs[1].w->memory.data();
  const bool meet = jobs[0].x->width == jobs[1].x->width && (alternate || jobs[0].x->tiles > kFewTiles);
  const ActivationForm form = activation_form(next.packed().codec);
  const bool fits = form == ActivationForm::kBlocks || form == ActivationForm::kRoundedBlocks;
  if (meet && fits && jobs[0].x->tiles > kFewTiles && jobs[0].x->width <= kManyBlockTokens) {
    auto* set = ctx.arena.allocate<ActivationSet>(1).data();
    new (set) ActivationSet(allocate_activation_set(ctx, form, tokens, cols));
    if (set->width == jobs[0].x->width) {
      run_gated_quantized(ctx, gated_kernel(act), jobs[0], jobs[1], *set);
      return {ctx, set};
    }
  }
  const Rows<float> y = ctx.scratch(tokens, cols);
  if (meet) {
    run_gated(ctx, gated_kernel(act), jobs[0], jobs[1], y);
    return {ctx, y};
  }
  const Rows<float> gated = ctx.scratch(tokens, cols);
  const Linear* const matrices[] = {&gate, &up};
  const Rows<float> products[] = {gated, y};
  linear_many(ctx, matrices, x, products);
  gated_activate(ctx, act, gated, y, y);
  return {ctx, y};
}

void linear_many(OpContext& ctx, std::span<const Linear* const> ws, LinearInput& x, std::span<const Rows<float>> ys) {
  TESSERA_CHECK(ws.size() == ys.size(), "{} matrices, {} outputs", ws.size(), ys.size());
  if (ws.empty() || x.rows() == 0) return;
  constexpr size_t kMost = 8;
  TESSERA_CHECK(ws.size() <= kMost, "{} matrices: at most {}", ws.size(), kMost);
  std::array<Job, kMost> jobs;
  for (size_t i = 0; i < ws.size(); ++i) jobs[i] = make_job(*ws[i], ws[i]->padded_bias(), x, ys[i], false);
  run_jobs(ctx, std::span<const Job>(jobs.data(), ws.size()));
}

}  // namespace tessera
