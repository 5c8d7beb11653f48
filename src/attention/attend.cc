// The driver of exact attention: cuts queries into tiles and keys into segments, hands units to threads and merges.
//
// A tile is up to kTileRows query rows (tokens x query heads of one kv head). A unit is a tile of some kv heads with some of
// its segments. When there are enough tiles for all threads a unit takes all segments and merges as it goes; otherwise
// (decode of few sequences) a unit takes one segment and the thread that finishes a tile's last segment merges, in order.
// Either way the arithmetic is the same. One page of one kv head is read from memory once per tile.
#include <atomic>
#include <cmath>
#include <new>

#include "attention/part.h"
#include "base/check.h"
#include "base/math.h"

namespace tessera {
namespace {

constexpr int64_t kTileRows = 64;
constexpr int64_t kUnitsPerThread = 4;
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;

// Accumulated result of some rows: max in powers of two, out not yet divided by sum.
struct Partial {
  float* max;  // [rows]
  float* sum;  // [rows]
  float* out;  // [rows, lanes]

  static int64_t floats(int64_t rows, int64_t lanes) { return round_up<int64_t>(rows * (lanes + 2), 16); }
  static Partial at(float* data, int64_t rows, int64_t lanes) {
    return {data + rows * lanes, data + rows * (lanes + 1), data};
  }
  Partial rows_from(int64_t row, int64_t lanes) const { return {max + row, sum + row, out + row * lanes}; }
};

// The queries [token, token + tokens) of one AttentionQueries, all heads.
struct Tile {
  const AttentionQueries* queries;
  int64_t token;
  int64_t tokens;
  int64_t segments;      // of all parts
  int64_t first_slot;    // split mode: partial results of (segment, head group) begin here
  int64_t first_counter;

  int64_t position(int64_t t) const { return queries->position + token + t; }
  // Keys that any of the tile's queries sees.
  KeyRange visible(const KeyPlan& plan) const {
    return {plan.visible(position(0)).begin, plan.visible(position(tokens - 1)).end};
  }
};

// Segments of absolute positions that a range touches.
KeyRange segments_of(KeyRange range) {
  constexpr int64_t kSegmentTokens = kSegmentPages * kPageTokens;
  if (range.empty()) return {0, 0};
  return {range.begin / kSegmentTokens, ceil_div(range.end, kSegmentTokens)};
}

class Attend {
 public:
  Attend(OpContext& ctx, const AttentionKernels& kernels, std::span<const AttentionQueries> queries, Rows<const float> q,
         Rows<float> out, Rows<float> lse)
      : ctx_(ctx), kernels_(kernels), queries_(queries), q_(q), out_(out), lse_(lse) {
    for (const AttentionQueries& s : queries) {
      TESSERA_CHECK(!s.parts.empty());
      for (const AttentionPart& part : s.parts) layout_ = part.source.layout;
    }
    if (layout_ == nullptr) return;
    heads_ = q.cols / layout_->head_dim;
    TESSERA_CHECK(q.cols == heads_ * layout_->head_dim && heads_ % layout_->kv_heads == 0 && out.cols == q.cols);
    group_ = heads_ / layout_->kv_heads;
    lanes_ = round_up<int64_t>(layout_->head_dim, 16);
    row_bytes_ = attention_row_bytes(layout_->head_dim);
  }

  void run() {
    if (layout_ == nullptr) return;
    make_tiles();
    choose_units();
    allocate_scratch();
    if (split_) finish_unseeing();
    ctx_.pool.parallel_for(units_, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t u = begin; u < end; ++u) run_unit(u, scratch_ + thread * scratch_floats_);
    });
  }

 private:
  // Scratch of one thread, for the rows of one unit.
  struct Scratch {
    std::byte* queries;   // [rows, row_bytes]
    float* scores;        // [tile rows, kPageTokens]
    std::byte* weights;   // [tile rows, kWeightRowBytes]
    float* lane_sums;     // [rows, kSumLanes]
    float* correction;    // [tile rows]
    int32_t* begin;       // [tile rows]
    int32_t* end;         // [tile rows]
    Partial segment;      // [rows]
    Partial total;        // [rows]
  };

  void make_tiles() {
    const int64_t tile_tokens = std::max<int64_t>(1, kTileRows / group_);
    int64_t count = 0;
    for (const AttentionQueries& s : queries_) count += ceil_div(s.tokens, tile_tokens);
    tiles_ = ctx_.arena.allocate<Tile>(count);
    int64_t i = 0;
    for (const AttentionQueries& s : queries_) {
      for (int64_t token = 0; token < s.tokens; token += tile_tokens, ++i) {
        Tile tile{&s, token, std::min(tile_tokens, s.tokens - token), 0, 0, 0};
        for (const AttentionPart& part : s.parts) {
          const KeyRange segments = segments_of(tile.visible(part.plan));
          tile.segments += segments.end - segments.begin;
        }
        max_tile_tokens_ = std::max(max_tile_tokens_, tile.tokens);
        all_segments_ += tile.segments;
        tiles_[i] = tile;
      }
    }
  }

  // More kv heads per unit read longer runs of memory; more units keep all threads busy, if there are several.
  void choose_units() {
    const bool shared = ctx_.pool.threads() > 1;
    const int64_t wanted = shared ? kUnitsPerThread * ctx_.pool.threads() : 1;
    const int64_t tiles = static_cast<int64_t>(tiles_.size());
    split_ = shared && tiles * layout_->kv_heads < wanted;
    const int64_t coarse = split_ ? all_segments_ : tiles;
    const int64_t head_limit = std::max<int64_t>(1, kTileRows / (max_tile_tokens_ * group_));
    unit_heads_ = std::min({layout_->kv_heads, head_limit, std::max<int64_t>(1, layout_->kv_heads * coarse / wanted)});
    head_groups_ = ceil_div(layout_->kv_heads, unit_heads_);
    units_ = coarse * head_groups_;
    unit_rows_ = max_tile_tokens_ * group_ * unit_heads_;
    if (split_) allocate_slots();
  }

  void allocate_slots() {
    const int64_t tiles = static_cast<int64_t>(tiles_.size());
    slot_floats_ = Partial::floats(unit_rows_, lanes_);
    slots_ = ctx_.arena.allocate<float>(slot_floats_ * units_).data();
    counters_ = ctx_.arena.allocate<std::atomic<int64_t>>(tiles * head_groups_).data();
    unit_tiles_ = ctx_.arena.allocate<int32_t>(units_);
    int64_t slot = 0;
    for (int64_t t = 0; t < tiles; ++t) {
      Tile& tile = tiles_[t];
      tile.first_slot = slot;
      tile.first_counter = t * head_groups_;
      for (int64_t g = 0; g < head_groups_; ++g) {
        new (&counters_[tile.first_counter + g]) std::atomic<int64_t>(tile.segments);
      }
      for (int64_t i = 0; i < tile.segments * head_groups_; ++i) unit_tiles_[slot++] = static_cast<int32_t>(t);
    }
  }

  void allocate_scratch() {
    const int64_t tile_rows = max_tile_tokens_ * group_;
    scratch_floats_ = round_up<int64_t>(unit_rows_ * (row_bytes_ / 4 + kSumLanes) +
                                            tile_rows * (kPageTokens + kWeightRowBytes / 4 + 3), 16) +
                      2 * Partial::floats(unit_rows_, lanes_);
    scratch_ = ctx_.arena.allocate<float>(scratch_floats_ * ctx_.pool.threads()).data();
  }

  Scratch make_scratch(float* data) const {
    const int64_t tile_rows = max_tile_tokens_ * group_;
    Scratch s;
    s.queries = reinterpret_cast<std::byte*>(data);
    s.scores = data + unit_rows_ * row_bytes_ / 4;
    s.weights = reinterpret_cast<std::byte*>(s.scores + tile_rows * kPageTokens);
    s.lane_sums = s.scores + tile_rows * (kPageTokens + kWeightRowBytes / 4);
    s.correction = s.lane_sums + unit_rows_ * kSumLanes;
    s.begin = reinterpret_cast<int32_t*>(s.correction + tile_rows);
    s.end = s.begin + tile_rows;
    float* partials = data + scratch_floats_ - 2 * Partial::floats(unit_rows_, lanes_);
    s.segment = Partial::at(partials, unit_rows_, lanes_);
    s.total = Partial::at(partials + Partial::floats(unit_rows_, lanes_), unit_rows_, lanes_);
    return s;
  }

  void run_unit(int64_t unit, float* memory) {
    Scratch s = make_scratch(memory);
    if (!split_) {
      const Tile& tile = tiles_[unit / head_groups_];
      const HeadRange heads = head_group(unit % head_groups_);
      clear(s.total, rows_of(tile, heads));
      run_segments(tile, heads, 0, tile.segments, s, [&] { merge(tile, heads, s.segment, s.total); });
      finish(tile, heads, s.total);
      return;
    }
    const Tile& tile = tiles_[unit_tiles_[unit]];
    const int64_t local = unit - tile.first_slot;
    const int64_t group = local % head_groups_, segment = local / head_groups_;
    const HeadRange heads = head_group(group);
    s.segment = slot(unit);
    run_segments(tile, heads, segment, segment + 1, s, [] {});
    if (counters_[tile.first_counter + group].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    clear(s.total, rows_of(tile, heads));
    for (int64_t i = 0; i < tile.segments; ++i) {
      merge(tile, heads, slot(tile.first_slot + i * head_groups_ + group), s.total);
    }
    finish(tile, heads, s.total);
  }

  // Split mode has no units for tiles that see nothing.
  void finish_unseeing() {
    const Scratch s = make_scratch(scratch_);
    for (const Tile& tile : tiles_) {
      for (int64_t g = 0; tile.segments == 0 && g < head_groups_; ++g) {
        clear(s.total, rows_of(tile, head_group(g)));
        finish(tile, head_group(g), s.total);
      }
    }
  }

  struct HeadRange {
    int64_t begin, end;  // kv heads
  };
  HeadRange head_group(int64_t g) const {
    return {g * unit_heads_, std::min((g + 1) * unit_heads_, layout_->kv_heads)};
  }
  int64_t rows_of(const Tile& tile, HeadRange heads) const { return tile.tokens * group_ * (heads.end - heads.begin); }
  Partial slot(int64_t i) const { return Partial::at(slots_ + i * slot_floats_, unit_rows_, lanes_); }

  void clear(const Partial& p, int64_t rows) const {
    std::fill_n(p.max, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(p.sum, rows, 0.0f);
    std::fill_n(p.out, rows * lanes_, 0.0f);
  }

  void merge(const Tile& tile, HeadRange heads, const Partial& part, const Partial& total) const {
    kernels_.merge({.max = total.max, .sum = total.sum, .out = total.out, .part_max = part.max, .part_sum = part.sum,
                    .part_out = part.out, .rows = rows_of(tile, heads), .head_dim = layout_->head_dim,
                    .out_stride = lanes_, .part_stride = lanes_});
  }

  // Runs segments [first, last) of the tile, counted over all its parts; each leaves its result in s.segment, then done().
  template <class Done>
  void run_segments(const Tile& tile, HeadRange heads, int64_t first, int64_t last, Scratch& s, Done done) {
    int64_t index = 0;  // of the part's first segment
    for (const AttentionPart& part : tile.queries->parts) {
      const KeyRange keys = tile.visible(part.plan);
      const KeyRange segments = segments_of(keys);
      const int64_t count = segments.end - segments.begin;
      const int64_t from = std::max(first - index, int64_t{0}), to = std::min(last - index, count);
      if (from < to) prepare_queries(tile, heads, part, s);
      for (int64_t i = from; i < to; ++i) {
        run_segment(tile, heads, part, keys, segments.begin + i, s);
        done();
      }
      index += count;
    }
  }

  // Rows are ordered [kv head, token, query head of the group].
  void prepare_queries(const Tile& tile, HeadRange heads, const AttentionPart& part, Scratch& s) const {
    const ScoreProgram& program = part.program;
    const float factor = program.softcap != 0 ? program.scale / program.softcap : program.scale * kLog2E;
    const int64_t dim = layout_->head_dim;
    std::byte* row = s.queries;
    for (int64_t h = heads.begin; h < heads.end; ++h) {
      for (int64_t t = 0; t < tile.tokens; ++t) {
        const float* q = q_.row(tile.queries->first_row + tile.token + t) + h * group_ * dim;
        for (int64_t g = 0; g < group_; ++g, q += dim, row += row_bytes_) {
          kernels_.prepare_query[part.source.layout->k_type](q, factor, dim, row);
        }
      }
    }
  }

  void run_segment(const Tile& tile, HeadRange heads, const AttentionPart& part, KeyRange keys, int64_t segment,
                   Scratch& s) const {
    const int64_t rows = rows_of(tile, heads);
    clear(s.segment, rows);
    std::fill_n(s.lane_sums, rows * kSumLanes, 0.0f);
    const int64_t first = std::max(segment * kSegmentPages, keys.begin / kPageTokens);
    const int64_t last = std::min((segment + 1) * kSegmentPages, ceil_div(keys.end, kPageTokens));
    for (int64_t page = first; page < last; ++page) {
      set_borders(tile, part.plan, page, s);
      const int64_t tokens = std::min(kPageTokens, keys.end - page * kPageTokens);
      for (int64_t h = heads.begin; h < heads.end; ++h) {
        const std::byte* next = h + 1 < heads.end  ? key_block(part, page, h + 1)
                                : page + 1 < last ? key_block(part, page + 1, heads.begin)
                                                  : nullptr;
        run_page(part, page, h, tokens, tile.tokens * group_, (h - heads.begin) * tile.tokens * group_, next, s);
      }
    }
    kernels_.fold_sums(s.lane_sums, rows, s.segment.sum);
  }

  // Which tokens of the page each row of one kv head sees.
  void set_borders(const Tile& tile, const KeyPlan& plan, int64_t page, Scratch& s) const {
    for (int64_t t = 0; t < tile.tokens; ++t) {
      const KeyRange seen = plan.visible(tile.position(t));
      const auto local = [&](int64_t key) {
        return static_cast<int32_t>(std::clamp<int64_t>(key - page * kPageTokens, 0, kPageTokens));
      };
      std::fill_n(s.begin + t * group_, group_, local(seen.begin));
      std::fill_n(s.end + t * group_, group_, local(seen.end));
    }
  }

  const std::byte* key_block(const AttentionPart& part, int64_t page, int64_t kv_head) const {
    return part.source.layout->keys(part.source.memory.page(part.source.pages[static_cast<size_t>(page)]), kv_head);
  }

  void run_page(const AttentionPart& part, int64_t page, int64_t kv_head, int64_t tokens, int64_t rows, int64_t first_row,
                const std::byte* next_keys, Scratch& s) const {
    const KvLayout& layout = *part.source.layout;
    const std::byte* keys = key_block(part, page, kv_head);
    const std::byte* values = keys + layout.k_block_bytes;
    const Partial p = s.segment.rows_from(first_row, lanes_);
    kernels_.scores[layout.k_type]({.keys = keys, .queries = s.queries + first_row * row_bytes_,
                                    .query_stride = row_bytes_, .rows = rows, .head_dim = layout.head_dim,
                                    .tokens = tokens, .scores = s.scores, .next = values,
                                    .next_bytes = static_cast<int64_t>(layout.v_block_bytes)});
    kernels_.softmax[layout.v_type]({.scores = s.scores, .values = values, .weights = s.weights, .rows = rows,
                                     .tokens = tokens, .begin = s.begin, .end = s.end,
                                     .softcap = part.program.softcap * kLog2E, .max = p.max,
                                     .sum = s.lane_sums + first_row * kSumLanes, .correction = s.correction});
    kernels_.weigh[layout.v_type]({.values = values, .weights = s.weights, .correction = s.correction, .rows = rows,
                                   .head_dim = layout.head_dim, .tokens = tokens, .out = p.out, .out_stride = lanes_,
                                   .next = next_keys,
                                   .next_bytes = next_keys ? static_cast<int64_t>(layout.k_block_bytes) : 0});
  }

  void finish(const Tile& tile, HeadRange heads, const Partial& total) const {
    const int64_t dim = layout_->head_dim;
    int64_t row = 0;
    for (int64_t h = heads.begin * group_; h < heads.end * group_; h += group_) {
      for (int64_t t = 0; t < tile.tokens; ++t) {
        const int64_t out_row = tile.queries->first_row + tile.token + t;
        for (int64_t g = 0; g < group_; ++g, ++row) {
          kernels_.normalize(total.out + row * lanes_, total.sum[row], dim, out_.row(out_row) + (h + g) * dim);
          if (lse_.data != nullptr) lse_.row(out_row)[h + g] = (total.max[row] + std::log2(total.sum[row])) * kLn2;
        }
      }
    }
  }

  OpContext& ctx_;
  const AttentionKernels& kernels_;
  std::span<const AttentionQueries> queries_;
  Rows<const float> q_;
  Rows<float> out_;
  Rows<float> lse_;
  const KvLayout* layout_ = nullptr;  // kv_heads and head_dim of all parts; types may differ between parts
  int64_t heads_ = 0;
  int64_t group_ = 0;      // query heads per kv head
  int64_t lanes_ = 0;      // head_dim rounded up to vectors
  int64_t row_bytes_ = 0;  // of a prepared query
  std::span<Tile> tiles_;
  int64_t max_tile_tokens_ = 0;
  int64_t all_segments_ = 0;
  bool split_ = false;
  int64_t unit_heads_ = 0;  // kv heads of a unit
  int64_t head_groups_ = 0;
  int64_t unit_rows_ = 0;
  int64_t units_ = 0;
  float* scratch_ = nullptr;
  int64_t scratch_floats_ = 0;  // of one thread
  float* slots_ = nullptr;
  int64_t slot_floats_ = 0;
  std::atomic<int64_t>* counters_ = nullptr;  // [tiles, head groups] segments not yet done
  std::span<int32_t> unit_tiles_;             // split mode: tile of each unit
};

}  // namespace

void attend(OpContext& ctx, const AttentionKernels& kernels, std::span<const AttentionQueries> queries,
            Rows<const float> q, Rows<float> out, Rows<float> lse) {
  const ArenaScope scope(ctx.arena);
  Attend(ctx, kernels, queries, q, out, lse).run();
}

}  // namespace tessera
