// AttentionKernels: the part of the kernel table that attention uses: writing keys and values into pages, and scores,
// softmax and weighted sum of one page of one key/value head.
//
// Layout of a page of one kv head (kKvPageTokens tokens): a key block, then a value block. A block is a matrix cut into
// panels of kKvPanel lanes (the last may hold 16); inside a panel the depth runs slowest, in groups of g elements that
// stand beside each other within a lane:
//     element (lane, depth d) of a panel of width w begins at ((d / g) * w + lane) * g + d % g
// Keys:   lane = token,     depth = head dimension, padded to a multiple of g (garbage: kernels must not use it).
// Values: lane = dimension (lanes padded to a multiple of 16, garbage), depth = token.
// So scores and weighted sum are the same small matrix product: a few rows times a panel that is streamed once, all query
// heads of the kv head in registers.
//     f32: g = 1;  f16, bf16: g = 2 (what vdpbf16ps, vpdpwssd eat);  q8_0: g = 4 (vpdpbusd), keys stored + 128 as unsigned
// bytes, values signed. Blocks of f16 and q8_0 begin with 64 f32 scales, one per token; those of f16 are powers of two
// (EncodeF16). A page may hold garbage where no token was written.
//
// Numbers: lane and row results depend on that lane and row alone, summed over depth in order, so the tile that a query
// stands in changes nothing. Exponents are base 2: scores arrive multiplied by log2(e).
#ifndef TESSERA_KERNELS_ATTENTION_KERNELS_H_
#define TESSERA_KERNELS_ATTENTION_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

namespace tessera {

inline constexpr int kKvPageTokens = 64;
inline constexpr int kKvPanel = 32;  // lanes
inline constexpr int kSumLanes = 16;

// Element types of keys and values in a page.
enum KvType : int { kKvF32, kKvF16, kKvBf16, kKvQ8 };
inline constexpr int kKvTypes = 4;

// Bytes of a prepared row of queries.
inline constexpr int64_t attention_row_bytes(int64_t head_dim) { return (head_dim + 15) / 16 * 64 + 64; }
// Bytes of a prepared row of weights.
inline constexpr int64_t kWeightRowBytes = attention_row_bytes(kKvPageTokens);

// Rows of prepared queries against the first `tokens` tokens of a key block.
struct ScoreArgs {
  const void* keys;
  const void* queries;    // from prepare_query, `query_stride` bytes apart
  int64_t query_stride;
  int64_t rows;
  int64_t head_dim;
  int64_t tokens;         // of the page that any row sees
  float* scores;          // [rows, kKvPageTokens]; columns of whole unused panels are left alone
  const void* next;       // block that is read after this one, fetched meanwhile; next_bytes 0: none
  int64_t next_bytes;
};

// Scores to weights, p = 2^(score - max), 0 outside [begin, end), with running maximum and sum per row. The weights are left in
// the form that `weigh` of the values' type reads: rounded for its products, the values' scales multiplied in. The maximum
// may be of scores plus what a type adds to them per token: only differences of maxima, and max + log2(sum), mean something.
struct SoftmaxArgs {
  float* scores;          // [rows, kKvPageTokens]; unspecified afterwards
  const void* values;     // the block that the weights are for
  void* weights;          // out: [rows], kWeightRowBytes apart
  int64_t rows;
  int64_t tokens;         // of the page that any row sees
  const int32_t* begin;   // [rows] first token of the page that the row sees
  const int32_t* end;     // [rows]
  float softcap;          // 0: none; else score = softcap * tanh(score)
  float* max;             // [rows] running, starts at -infinity
  float* sum;             // [rows, kSumLanes] running, starts at 0
  float* correction;      // [rows] out: what older sums and outputs are multiplied by
};

// out = correction * out + weights x values.
struct WeighArgs {
  const void* values;
  const void* weights;      // from softmax of the same type
  const float* correction;  // [rows]
  int64_t rows;
  int64_t head_dim;
  int64_t tokens;
  float* out;             // [rows, out_stride], head_dim rounded up to 16 columns used
  int64_t out_stride;
  const void* next;       // as in ScoreArgs
  int64_t next_bytes;
};

// Adds a later part to an earlier one, per row: both become relative to the larger maximum.
struct MergeArgs {
  float* max;             // [rows]
  float* sum;             // [rows]
  float* out;             // [rows, out_stride]
  const float* part_max;
  const float* part_sum;
  const float* part_out;  // [rows, part_stride]
  int64_t rows;
  int64_t head_dim;
  int64_t out_stride;
  int64_t part_stride;
};

struct AttentionKernels {
  // Function pointers only (the table's description walks over them). One name per member, in order, below.
  // Arrays are indexed by KvType.
  // Writes one token into a block of the page. x: [head_dim].
  void (*store_key[kKvTypes])(const float* x, int64_t head_dim, int64_t token, void* block);
  void (*store_value[kKvTypes])(const float* x, int64_t head_dim, int64_t token, void* block);
  // factor * q in the form that `scores` of this key type wants; attention_row_bytes(head_dim) bytes at `row`.
  void (*prepare_query[kKvTypes])(const float* q, float factor, int64_t head_dim, void* row);
  void (*scores[kKvTypes])(const ScoreArgs& args);
  void (*softmax[kKvTypes])(const SoftmaxArgs& args);  // by the type of the values
  void (*weigh[kKvTypes])(const WeighArgs& args);
  // sums[i] = the lanes of row i added pairwise.
  void (*fold_sums)(const float* lanes, int64_t rows, float* sums);
  void (*merge)(const MergeArgs& args);
  // y = x / sum, 0 where sum is 0.
  void (*normalize)(const float* x, float sum, int64_t head_dim, float* y);
};

inline constexpr const char* kAttentionKernelNames[] = {
    "store_key.f32",     "store_key.f16",     "store_key.bf16",     "store_key.q8_0",
    "store_value.f32",   "store_value.f16",   "store_value.bf16",   "store_value.q8_0",
    "prepare_query.f32", "prepare_query.f16", "prepare_query.bf16", "prepare_query.q8_0",
    "scores.f32",        "scores.f16",        "scores.bf16",        "scores.q8_0",
    "softmax.f32",       "softmax.f16",       "softmax.bf16",       "softmax.q8_0",
    "weigh.f32",         "weigh.f16",         "weigh.bf16",         "weigh.q8_0",
    "fold_sums",         "merge",             "normalize",
    nullptr};

}  // namespace tessera

#endif  // TESSERA_KERNELS_ATTENTION_KERNELS_H_
