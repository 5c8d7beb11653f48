#include "quant/block_format.h"

#include <array>

#include "base/check.h"
#include "quant/block_codecs.h"

namespace tessera {
namespace {

constexpr std::array kFormats = {
    BlockFormat{DType::kF32, unpack_f32, pack_f32},
    BlockFormat{DType::kF16, unpack_f16, pack_f16},
    BlockFormat{DType::kBF16, unpack_bf16, pack_bf16},
    BlockFormat{DType::kF64, unpack_f64, nullptr},
    BlockFormat{DType::kI8, unpack_i8, nullptr},
    BlockFormat{DType::kF8E4M3, unpack_f8e4m3, nullptr},
    BlockFormat{DType::kQ8_0, unpack_q8_0, pack_q8_0},
    BlockFormat{DType::kQ4_0, unpack_q4_0, pack_q4_0},
    BlockFormat{DType::kQ4_1, unpack_q4_1, pack_q4_1},
    BlockFormat{DType::kQ5_0, unpack_q5_0, pack_q5_0},
    BlockFormat{DType::kQ5_1, unpack_q5_1, pack_q5_1},
    BlockFormat{DType::kQ2_K, unpack_q2_k, pack_q2_k},
    BlockFormat{DType::kQ3_K, unpack_q3_k, pack_q3_k},
    BlockFormat{DType::kQ4_K, unpack_q4_k, pack_q4_k},
    BlockFormat{DType::kQ5_K, unpack_q5_k, pack_q5_k},
    BlockFormat{DType::kQ6_K, unpack_q6_k, pack_q6_k},
    BlockFormat{DType::kIQ4_NL, unpack_iq4_nl, pack_iq4_nl},
    BlockFormat{DType::kIQ4_XS, unpack_iq4_xs, pack_iq4_xs},
    BlockFormat{DType::kMXFP4, unpack_mxfp4, pack_mxfp4},
    BlockFormat{DType::kW8, unpack_w8, pack_w8},
};

}  // namespace

const BlockFormat* block_format(DType dtype) {
  for (const BlockFormat& format : kFormats) {
    if (format.dtype == dtype) return &format;
  }
  return nullptr;
}

void unpack_rows(DType dtype, const std::byte* data, int64_t rows, int64_t cols, float* out) {
  const BlockFormat* format = block_format(dtype);
  TESSERA_CHECK(format != nullptr, "{} holds no weights", to_string(dtype));
  const auto stride = row_bytes(dtype, static_cast<uint64_t>(cols));
  TESSERA_CHECK(stride.has_value(), "{} columns in {}", cols, to_string(dtype));
  for (int64_t r = 0; r < rows; ++r, data += *stride) format->unpack(data, out + r * cols, cols);
}

}  // namespace tessera
