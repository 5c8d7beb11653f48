#include "kernels/packed_codec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/math.h"
#include "kernels/matmul_common.h"

namespace tessera {
namespace {

constexpr int kR = kPanelRows;

constexpr std::array kInfos = {
    PackedCodecInfo{kPackedQ8_0, DType::kQ8_0, 64, 2 * kR * 34, kR * 4, kScale32RowRounded},
    PackedCodecInfo{kPackedQ4_0, DType::kQ4_0, 64, 2 * kR * 18, kR * 4, kScale32Row},
    PackedCodecInfo{kPackedQ4_1, DType::kQ4_1, 32, kR * 20, 0, kScale32Bias},
    PackedCodecInfo{kPackedQ5_0, DType::kQ5_0, 64, 2 * kR * 22, kR * 4, kScale32RowRounded},
    PackedCodecInfo{kPackedQ5_1, DType::kQ5_1, 32, kR * 24, 0, kScale32Bias},
    PackedCodecInfo{kPackedQ2_K, DType::kQ2_K, 256, kR * 84, 0, kScale16Min},
    PackedCodecInfo{kPackedQ3_K, DType::kQ3_K, 256, kR * 114, 0, kScale16},
    PackedCodecInfo{kPackedQ4_K, DType::kQ4_K, 256, kR * 148, 0, kScale32Min},
    PackedCodecInfo{kPackedQ5_K, DType::kQ5_K, 256, kR * 180, 0, kScale32Min},
    PackedCodecInfo{kPackedQ6_K, DType::kQ6_K, 256, kR * 210, 0, kScale16},
    PackedCodecInfo{kPackedIQ4_NL, DType::kIQ4_NL, 32, kR * 18, 0, kScale32},
    PackedCodecInfo{kPackedIQ4_XS, DType::kIQ4_XS, 256, kR * 138, 0, kScale32},
    PackedCodecInfo{kPackedMXFP4, DType::kMXFP4, 32, kR * 17, 0, kScale32},
    PackedCodecInfo{kPackedF32, DType::kF32, 1, kR * 4, 0, kScale32},
    PackedCodecInfo{kPackedF16, DType::kF16, 1, kR * 2, 0, kScale32},
    PackedCodecInfo{kPackedBF16, DType::kBF16, 2, kR * 4, 0, kScale32},
    PackedCodecInfo{kPackedW8, DType::kW8, 32, kR * 32, kR * 4, kScale32},
};

constexpr bool consistent() {
  for (size_t i = 0; i < kInfos.size(); ++i) {
    if (kInfos[i].codec != static_cast<PackedCodec>(i)) return false;
    if (i >= kBlockCodecs) continue;
    const BlockLayout layout = block_layout(static_cast<int>(i));
    const int groups = kInfos[i].group_cols / (kBlockCols * layout.group_blocks);
    if (kInfos[i].kind != layout.kind || kInfos[i].head_bytes != layout.head_bytes()) return false;
    if (kInfos[i].group_bytes != groups * layout.group_bytes) return false;
    const BlockKindInfo info = block_kind_info(layout.kind);
    // Activations come in two groupings.
    if (info.group_blocks != kMostGroupBlocks && info.group_blocks != block_kind_info(kScale32).group_blocks) return false;
    if (!info.row_scale) continue;
    const bool pairs = groups == 2 && info.group_blocks == 2 && info.halves == 1 && info.int_scales && layout.group_blocks == 1;
    const int shift = sum_shift(layout.offset_shift);
    if (!pairs || shift < 0 || shift > sum_shift(7) || info.rounds != (shift > 0)) return false;
  }
  return kInfos.size() == kPackedCodecs;
}
static_assert(consistent());

template <class T>
T read(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}
template <class T>
void write(uint8_t* p, int64_t index, T value) {
  std::memcpy(p + index * sizeof(T), &value, sizeof(T));
}

// The codes of one row's block of 32 columns: word s holds step s, one byte per column.
struct Words {
  uint32_t w[8];
};

// Writers of one row's share of the planes that packed_codec.h describes.
void write_nibbles(const Words& c, int row, uint8_t* plane) {
  for (int i = 0; i < 4; ++i)
    write<uint32_t>(plane, i * kR + row, (c.w[i] & 0x0f0f0f0f) | ((c.w[i + 4] & 0x0f0f0f0f) << 4));
}
void write_pairs(const Words& c, int shift, int row, uint8_t* plane) {
  for (int i = 0; i < 2; ++i) {
    uint32_t word = 0;
    for (int s = 0; s < 4; ++s) word |= ((c.w[4 * i + s] >> shift) & 0x03030303) << (2 * s);
    write<uint32_t>(plane, i * kR + row, word);
  }
}
void write_bits(const Words& c, int shift, int row, uint8_t* plane) {
  uint32_t word = 0;
  for (int s = 0; s < 8; ++s) word |= ((c.w[s] >> shift) & 0x01010101) << s;
  write<uint32_t>(plane, row, word);
}

// 16 bytes: columns 0..15 in the low nibbles, 16..31 in the high ones (q4_0 and its kin).
Words split_nibbles16(const uint8_t* qs) {
  Words c;
  for (int i = 0; i < 4; ++i) {
    const uint32_t q = read<uint32_t>(qs + 4 * i);
    c.w[i] = q & 0x0f0f0f0f;
    c.w[i + 4] = (q >> 4) & 0x0f0f0f0f;
  }
  return c;
}
// 32 bytes, one per column; the code is `bits` bits at `shift`.
Words split32(const uint8_t* q, int shift, uint32_t mask) {
  Words c;
  for (int s = 0; s < 8; ++s) c.w[s] = (read<uint32_t>(q + 4 * s) >> shift) & mask;
  return c;
}
// Adds bit j of `bits` as bit `position` of column j.
void add_bits32(Words& c, uint32_t bits, int position) {
  for (int s = 0; s < 8; ++s) {
    const uint32_t four = (bits >> (4 * s)) & 0xf;
    // Spreads 4 bits over 4 bytes: copies at distances 0, 7, 14, 21 never overlap.
    c.w[s] |= ((four * 0x00204081u) & 0x01010101u) << position;
  }
}

// One row of one group -> its share of the panel's group. `row` 0..31. With row_scale the codes alone.
void pack_q8_0(const uint8_t* in, int row, uint8_t* out) {
  for (int s = 0; s < 8; ++s) write<uint32_t>(out + 2 * kR, s * kR + row, read<uint32_t>(in + 2 + 4 * s) ^ 0x80808080);
}
void pack_q4_0(const uint8_t* in, int row, uint8_t* out) { write_nibbles(split_nibbles16(in + 2), row, out + 2 * kR); }
void pack_iq4_nl(const uint8_t* in, int row, uint8_t* out) {
  write<uint16_t>(out, row, read<uint16_t>(in));
  pack_q4_0(in, row, out);
}
void pack_mxfp4(const uint8_t* in, int row, uint8_t* out) {
  out[row] = in[0];
  write_nibbles(split_nibbles16(in + 1), row, out + kR);
}
void pack_q4_1(const uint8_t* in, int row, uint8_t* out) {
  write<uint16_t>(out, row, read<uint16_t>(in));
  write<uint16_t>(out, kR + row, read<uint16_t>(in + 2));
  write_nibbles(split_nibbles16(in + 4), row, out + 4 * kR);
}
void pack_q5_0(const uint8_t* in, int row, uint8_t* out) {
  Words c = split_nibbles16(in + 6);
  write_nibbles(c, row, out + (2 + 4) * kR);
  add_bits32(c, read<uint32_t>(in + 2), 4);
  write_bits(c, 4, row, out + 2 * kR);
}
void pack_q5_1(const uint8_t* in, int row, uint8_t* out) {
  write<uint16_t>(out, row, read<uint16_t>(in));
  write<uint16_t>(out, kR + row, read<uint16_t>(in + 2));
  Words c = split_nibbles16(in + 8);
  write_nibbles(c, row, out + (4 + 4) * kR);
  add_bits32(c, read<uint32_t>(in + 4), 4);
  write_bits(c, 4, row, out + 4 * kR);
}
void pack_iq4_xs(const uint8_t* in, int row, uint8_t* out) {
  write<uint16_t>(out, row, read<uint16_t>(in));
  const uint16_t high = read<uint16_t>(in + 2);
  for (int b = 0; b < 8; ++b) {
    const int low = (in[4 + b / 2] >> (4 * (b % 2))) & 0xf;
    write<int8_t>(out + 2 * kR, b * kR + row, static_cast<int8_t>((low | (((high >> (2 * b)) & 3) << 4)) - 32));
    write_nibbles(split_nibbles16(in + 8 + 16 * b), row, out + (2 + 8) * kR + b * 16 * kR);
  }
}

// q4_k, q5_k: 6-bit scales and minima of 8 blocks in 12 bytes.
void pack_scales_k4(const uint8_t* q, int row, uint8_t* scales, uint8_t* mins) {
  for (int j = 0; j < 8; ++j) {
    const int s = j < 4 ? q[j] & 63 : (q[j + 4] & 0xf) | ((q[j - 4] >> 6) << 4);
    const int m = j < 4 ? q[j + 4] & 63 : (q[j + 4] >> 4) | ((q[j] >> 6) << 4);
    scales[j * kR + row] = static_cast<uint8_t>(s);
    mins[j * kR + row] = static_cast<uint8_t>(m);
  }
}
void pack_head_k4(const uint8_t* in, int row, uint8_t* out) {
  write<uint16_t>(out, row, read<uint16_t>(in));
  write<uint16_t>(out, kR + row, read<uint16_t>(in + 2));
  pack_scales_k4(in + 4, row, out + 4 * kR, out + 12 * kR);
}
void pack_q4_k(const uint8_t* in, int row, uint8_t* out) {
  pack_head_k4(in, row, out);
  for (int b = 0; b < 8; ++b) {
    write_nibbles(split32(in + 16 + 32 * (b / 2), 4 * (b % 2), 0x0f0f0f0f), row, out + 20 * kR + b * 16 * kR);
  }
}
void pack_q5_k(const uint8_t* in, int row, uint8_t* out) {
  pack_head_k4(in, row, out);
  for (int b = 0; b < 8; ++b) {
    uint8_t* block = out + 20 * kR + b * 20 * kR;
    write_nibbles(split32(in + 48 + 32 * (b / 2), 4 * (b % 2), 0x0f0f0f0f), row, block + 4 * kR);
    write_bits(split32(in + 16, b, 0x01010101), 0, row, block);
  }
}
void pack_q6_k(const uint8_t* in, int row, uint8_t* out) {
  write<uint16_t>(out, row, read<uint16_t>(in + 208));
  for (int h = 0; h < 16; ++h) out[2 * kR + h * kR + row] = in[192 + h];
  for (int b = 0; b < 8; ++b) {
    const int half = b / 4, j = b % 4;
    uint8_t* block = out + 18 * kR + b * 24 * kR;
    write_nibbles(split32(in + 64 * half + 32 * (j % 2), 4 * (j / 2), 0x0f0f0f0f), row, block + 8 * kR);
    write_pairs(split32(in + 128 + 32 * half, 2 * j, 0x03030303), 0, row, block);
  }
}
void pack_q3_k(const uint8_t* in, int row, uint8_t* out) {
  write<uint16_t>(out, row, read<uint16_t>(in + 108));
  const uint8_t* q = in + 96;
  for (int h = 0; h < 16; ++h) {
    const int low = h < 8 ? q[h] & 0xf : q[h - 8] >> 4;
    const int high = (q[8 + h % 4] >> (2 * (h / 4))) & 3;
    write<int8_t>(out + 2 * kR, h * kR + row, static_cast<int8_t>((low | (high << 4)) - 32));
  }
  for (int b = 0; b < 8; ++b) {
    uint8_t* block = out + 18 * kR + b * 12 * kR;
    write_pairs(split32(in + 32 + 32 * (b / 4), 2 * (b % 4), 0x03030303), 0, row, block + 4 * kR);
    write_bits(split32(in, b, 0x01010101), 0, row, block);
  }
}
void pack_q2_k(const uint8_t* in, int row, uint8_t* out) {
  write<uint16_t>(out, row, read<uint16_t>(in + 80));
  write<uint16_t>(out, kR + row, read<uint16_t>(in + 82));
  for (int h = 0; h < 16; ++h) out[4 * kR + h * kR + row] = in[h];
  for (int b = 0; b < 8; ++b) {
    write_pairs(split32(in + 16 + 32 * (b / 4), 2 * (b % 4), 0x03030303), 0, row, out + 20 * kR + b * 8 * kR);
  }
}
void pack_w8(const uint8_t* in, int row, uint8_t* out) {  // 32 columns, without the row's scale
  for (int s = 0; s < 8; ++s) write<uint32_t>(out, s * kR + row, read<uint32_t>(in + 4 * s) ^ 0x80808080);
}

using PackRow = void (*)(const uint8_t* in, int row, uint8_t* out);
constexpr PackRow kPackRow[kBlockCodecs] = {pack_q8_0, pack_q4_0,   pack_q4_1, pack_q5_0, pack_q5_1,
                                            pack_q2_k, pack_q3_k,   pack_q4_k, pack_q5_k, pack_q6_k,
                                            pack_iq4_nl, pack_iq4_xs, pack_mxfp4};

// Groups outside, rows inside: 32 short reads from a panel-sized region, one dense write.
template <class Pack>
void pack_groups(Pack pack, const uint8_t* in, int64_t rows, uint64_t row_bytes, int64_t groups, int in_bytes,
                 int out_bytes, uint8_t* out) {
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < rows; ++r)
      pack(in + r * row_bytes + g * in_bytes, static_cast<int>(r), out + g * out_bytes);
  }
}

// The f16 scales of one row, block_bytes apart, as integers times a power of two, which includes what kernels divide sums by.
void pack_row_scales(const uint8_t* in, int64_t blocks, int block_bytes, const BlockLayout& layout, int row, uint8_t* panel) {
  int largest = 0;
  for (int64_t b = 0; b < blocks; ++b) largest = std::max<int>(largest, read<uint16_t>(in + b * block_bytes) & 0x7fff);
  const int top = std::max(1, largest >> 10);  // exponent; 31: infinite or NaN
  constexpr int spare = 4;                     // 15 bits hold an f16's 11
  const float scale = std::ldexp(1.0f, top - 15 - 10 - spare + sum_shift(layout.offset_shift));
  write<float>(panel, row, top == 31 ? std::numeric_limits<float>::quiet_NaN() : scale);
  for (int64_t b = 0; b < blocks; ++b) {
    const int bits = read<uint16_t>(in + b * block_bytes), exponent = (bits >> 10) & 31;
    const int digits = ((bits & 0x3ff) | (exponent > 0 ? 0x400 : 0)) << spare, shift = top - std::max(1, exponent);
    const int magnitude = (digits + ((1 << shift) >> 1)) >> shift;
    uint8_t* group = panel + layout.head_bytes() + (b / 2 * 2 + row / 16) * layout.group_bytes;
    write<int16_t>(group, row % 16 * 2 + b % 2, static_cast<int16_t>((bits & 0x8000) != 0 ? -magnitude : magnitude));
  }
}

void pack_w8_panel(const uint8_t* in, int64_t rows, uint64_t row_bytes, int64_t cols, uint8_t* out) {
  for (int64_t r = 0; r < rows; ++r) write<float>(out, r, read<float>(in + r * row_bytes));
  out += 4 * kR;
  pack_groups(pack_w8, in + 4, rows, row_bytes, cols / 32, 32, 32 * kR, out);
  if (cols % 32 == 0) return;
  uint8_t last[32] = {};
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(last, in + r * row_bytes + 4 + cols / 32 * 32, cols % 32);
    pack_w8(last, static_cast<int>(r), out + cols / 32 * 32 * kR);
  }
}

// E4M3 has fewer bits than bf16 everywhere: exact.
uint16_t f8_to_bf16(uint8_t f8) {
  const int sign = (f8 & 0x80) << 8, exponent = (f8 >> 3) & 15, mantissa = f8 & 7;
  if (exponent == 15 && mantissa == 7) return static_cast<uint16_t>(sign | 0x7fc0);
  if (exponent == 0) return static_cast<uint16_t>(sign | scalar_to_bf16(static_cast<float>(mantissa) / 512));
  return static_cast<uint16_t>(sign | (exponent - 7 + 127) << 7 | mantissa << 4);
}

template <class T>
void pack_plain(const uint8_t* in, int64_t rows, uint64_t row_bytes, int64_t cols, uint8_t* out) {
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t r = 0; r < rows; ++r) write<T>(out, c * kR + r, read<T>(in + r * row_bytes + c * sizeof(T)));
  }
}

template <class Read>
void pack_bf16(Read read_bf16, const uint8_t* in, int64_t rows, uint64_t row_bytes, int64_t cols, uint8_t* out) {
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t r = 0; r < rows; ++r) {
      write<uint16_t>(out, (c / 2 * kR + r) * 2 + c % 2, read_bf16(in + r * row_bytes, c));
    }
  }
}

}  // namespace

const PackedCodecInfo& packed_codec_info(PackedCodec codec) { return kInfos[codec]; }

std::optional<PackedCodec> packed_codec_of(DType dtype) {
  if (dtype == DType::kF8E4M3) return kPackedBF16;
  for (const PackedCodecInfo& info : kInfos) {
    if (info.dtype == dtype) return info.codec;
  }
  return std::nullopt;
}

uint64_t packed_panel_bytes(PackedCodec codec, int64_t cols) {
  const PackedCodecInfo& info = kInfos[codec];
  const auto groups = static_cast<uint64_t>(round_up<int64_t>(cols, info.group_cols) / info.group_cols);
  return round_up<uint64_t>(info.head_bytes + groups * info.group_bytes, 64);
}

void pack_panel(DType dtype, const std::byte* stored, int64_t rows, uint64_t row_bytes, int64_t cols, uint8_t* panel) {
  const auto codec = packed_codec_of(dtype);
  TESSERA_CHECK(codec.has_value() && rows <= kPanelRows, "{} rows of {}", rows, to_string(dtype));
  const PackedCodecInfo& info = kInfos[*codec];
  const auto* in = reinterpret_cast<const uint8_t*>(stored);
  if (rows < kPanelRows || cols % info.group_cols != 0) std::memset(panel, 0, packed_panel_bytes(*codec, cols));
  switch (*codec) {
    case kPackedF32: return pack_plain<uint32_t>(in, rows, row_bytes, cols, panel);
    case kPackedF16: return pack_plain<uint16_t>(in, rows, row_bytes, cols, panel);
    case kPackedW8: return pack_w8_panel(in, rows, row_bytes, cols, panel);
    case kPackedBF16:
      if (dtype == DType::kBF16) {
        return pack_bf16([](const uint8_t* row, int64_t c) { return read<uint16_t>(row + 2 * c); }, in, rows, row_bytes,
                         cols, panel);
      }
      return pack_bf16([](const uint8_t* row, int64_t c) { return f8_to_bf16(row[c]); }, in, rows,
                       row_bytes, cols, panel);
    default: break;
  }
  const BlockLayout layout = block_layout(*codec);
  const int block_bytes = dtype_info(dtype).block_bytes;
  const int64_t groups = cols / (kBlockCols * layout.group_blocks);
  for (int r = 0; r < kPanelRows && block_kind_info(layout.kind).row_scale; ++r) {
    if (r < rows) {
      pack_row_scales(in + r * row_bytes, groups, block_bytes, layout, r, panel);
    } else {
      write<float>(panel, r, 1);  // kernels divide by it
    }
  }
  pack_groups(kPackRow[*codec], in, rows, row_bytes, groups, block_bytes, layout.group_bytes, panel + layout.head_bytes());
}

}  // namespace tessera
