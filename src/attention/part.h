// Exact attention as a list of parts (mechanism M3). A part is a key/value source, a plan that says
// which keys a query sees, and a score program. Every part yields an output together with its log-sum-exp, so parts merge
// exactly: o = sum_i exp(lse_i - lse) o_i (Milakov & Gimelshein 2018; Dao et al. 2022). Window, global prefix, compressed
// memory, pages split over threads: lists of parts.
//
// Numbers (docs/adr/0002): a part is cut into segments of kSegmentPages pages at absolute positions. Inside a segment pages run
// in order with a running maximum; segments and parts merge in order; keys that a query does not see add exact zeros. So
// the result of one query and head has the same bits in any chunk, batch and number of threads.
#ifndef TESSERA_ATTENTION_PART_H_
#define TESSERA_ATTENTION_PART_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "attention/kv_layout.h"
#include "attention/mixer.h"
#include "ops/context.h"

namespace tessera {

inline constexpr int64_t kSegmentPages = 8;

// Keys and values: token t stands in pages[t / kPageTokens].
struct KeySource {
  const KvLayout* layout = nullptr;
  LayerPages memory;
  std::span<const int32_t> pages;
};

// Key positions [begin, end).
struct KeyRange {
  int64_t begin = 0;
  int64_t end = 0;
  bool empty() const { return begin >= end; }
};

// Which keys the query at a position sees: one range, whose borders never move back from one position to the next. Pages
// outside are not touched.
struct KeyPlan {
  int64_t begin = 0;  // of the keys that anybody sees
  int64_t end = std::numeric_limits<int64_t>::max();
  int64_t window = 0;  // causal: keys seen including the query's own position; 0: all
  bool causal = true;

  KeyRange visible(int64_t position) const {
    const int64_t last = causal ? std::min(end, position + 1) : end;
    return {window > 0 ? std::max(begin, position + 1 - window) : begin, last};
  }
};

// score = scale * q . k, then cap * tanh(score / cap) when softcap is not 0.
struct ScoreProgram {
  float scale = 1.0f;
  float softcap = 0.0f;
};

struct AttentionPart {
  KeySource source;
  KeyPlan plan;
  ScoreProgram program;
};

// Consecutive queries of one sequence and the parts they attend to.
struct AttentionQueries {
  int64_t first_row = 0;  // in q and out
  int64_t tokens = 0;
  int64_t position = 0;  // of the first
  std::span<const AttentionPart> parts;
};

// out[row, h] = sum_t softmax_t(score(q[row, h], k[t])) v[t].  q, out: [rows, heads * head_dim]; all parts have the same
// kv_heads and head_dim, and heads % kv_heads == 0. lse, when it has data: [rows, heads], natural logarithm; -infinity and
// output 0 where a query sees nothing.
void attend(OpContext& ctx, const AttentionKernels& kernels, std::span<const AttentionQueries> queries,
            Rows<const float> q, Rows<float> out, Rows<float> lse = {});

}  // namespace tessera

#endif  // TESSERA_ATTENTION_PART_H_
