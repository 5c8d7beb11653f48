// KvLayout: how keys and values of one layer stand in a page: for each kv head a key block and a value block, laid out
// for the kernels that stream them (kernels/attention_kernels.h).
#ifndef TESSERA_ATTENTION_KV_LAYOUT_H_
#define TESSERA_ATTENTION_KV_LAYOUT_H_

#include <cstdint>
#include <optional>

#include "attention/mixer.h"
#include "kernels/attention_kernels.h"
#include "tensor/dtype.h"

namespace tessera {

// f32, f16, bf16, q8_0; nullopt for types that no page can hold.
std::optional<KvType> kv_type(DType dtype);

struct KvLayout {
  KvType k_type = kKvBf16;
  KvType v_type = kKvBf16;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  uint64_t k_block_bytes = 0;  // of one head in one page
  uint64_t v_block_bytes = 0;

  uint64_t page_bytes() const { return static_cast<uint64_t>(kv_heads) * (k_block_bytes + v_block_bytes); }
  // Blocks of kv head h in a page.
  template <class Byte>
  Byte* keys(Byte* page, int64_t h) const { return page + static_cast<uint64_t>(h) * (k_block_bytes + v_block_bytes); }
  template <class Byte>
  Byte* values(Byte* page, int64_t h) const { return keys(page, h) + k_block_bytes; }
};

KvLayout make_kv_layout(DType k_dtype, DType v_dtype, int64_t kv_heads, int64_t head_dim);

}  // namespace tessera

#endif  // TESSERA_ATTENTION_KV_LAYOUT_H_
