#include "attention/kv_layout.h"

#include "base/aligned.h"
#include "base/check.h"
#include "base/math.h"

namespace tessera {
namespace {

static_assert(kPageTokens == kKvPageTokens);

uint64_t block_bytes(KvType type, uint64_t elements) {
  uint64_t bytes = 0;
  switch (type) {
    case kKvF32: bytes = elements * 4; break;
    case kKvF16: bytes = elements * 2 + kKvPageTokens * sizeof(float); break;
    case kKvBf16: bytes = elements * 2; break;
    case kKvQ8: bytes = elements + kKvPageTokens * sizeof(float); break;
  }
  return round_up(bytes, kCacheLineBytes);
}

}  // namespace

std::optional<KvType> kv_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return kKvF32;
    case DType::kF16: return kKvF16;
    case DType::kBF16: return kKvBf16;
    case DType::kQ8_0: return kKvQ8;
    default: return std::nullopt;
  }
}

KvLayout make_kv_layout(DType k_dtype, DType v_dtype, int64_t kv_heads, int64_t head_dim) {
  const auto k_type = kv_type(k_dtype), v_type = kv_type(v_dtype);
  TESSERA_CHECK(k_type && v_type, "cache types {} and {}", to_string(k_dtype), to_string(v_dtype));
  const int64_t group = *k_type == kKvQ8 ? 4 : *k_type == kKvF32 ? 1 : 2;
  KvLayout layout{*k_type, *v_type, kv_heads, head_dim};
  layout.k_block_bytes = block_bytes(*k_type, round_up(head_dim, group) * kPageTokens);
  layout.v_block_bytes = block_bytes(*v_type, round_up<int64_t>(head_dim, 16) * kPageTokens);
  return layout;
}

}  // namespace tessera
