// Rotary position embedding (Su et al. 2021) with the published context extensions. Angles are computed once per forward
// pass (RopeTable::rows) and used by every layer.
#ifndef TESSERA_OPS_ROPE_H_
#define TESSERA_OPS_ROPE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "ops/context.h"

namespace tessera {

enum class RopeScaling { kNone, kLinear, kNtk, kYarn, kFactors };
enum class RopePairs {
  kInterleaved,  // (0,1), (2,3), ...   llama in GGUF
  kHalves,       // (0, d/2), (1, d/2+1), ...   qwen2, qwen3, neox
};

struct RopeSettings {
  int64_t dims = 0;  // rotated dimensions of a head, even; 0: no rope
  RopePairs pairs = RopePairs::kInterleaved;
  double freq_base = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;              // context is this many times longer than trained
  int64_t original_context = 0;     // trained context (yarn, ntk)
  double attn_factor = 1.0;         // yarn: extra factor on the attention temperature
  double yarn_beta_fast = 32.0;
  double yarn_beta_slow = 1.0;
  double yarn_ext_factor = 1.0;
  std::vector<float> freq_factors;  // kFactors (llama3, longrope): frequency i is divided by freq_factors[i]; dims/2 entries
  bool operator==(const RopeSettings&) const = default;
};

// cos and sin of a batch: [tokens, dims/2], multiplied by the yarn magnitude factor.
struct RopeRows {
  Rows<const float> cos, sin;
};

class RopeTable {
 public:
  RopeTable() = default;
  explicit RopeTable(const RopeSettings& settings);
  const RopeSettings& settings() const { return settings_; }
  // Angles of positions [tokens]; scratch from ctx.arena.
  RopeRows rows(OpContext& ctx, std::span<const int32_t> positions) const;

 private:
  RopeSettings settings_;
  std::vector<double> inv_freq_;  // dims/2
  float magnitude_ = 1.0f;
};

// Rotates the first settings.dims of each head in place. x: [tokens, heads * head_dim].
void apply_rope(OpContext& ctx, const RopeRows& rope, RopePairs pairs, int64_t heads, int64_t head_dim, Rows<float> x);

}  // namespace tessera

#endif  // TESSERA_OPS_ROPE_H_
