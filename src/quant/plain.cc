// Types without blocks: an element is a number of its own.
#include "quant/block_codecs.h"

namespace tessera {

void unpack_f32(const std::byte* row, float* out, int64_t elements) {
  std::memcpy(out, row, static_cast<size_t>(elements) * sizeof(float));
}
void unpack_f16(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) out[i] = load_f16(row + 2 * i);
}
void unpack_bf16(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) out[i] = bf16_to_f32(load<uint16_t>(row + 2 * i));
}
void unpack_f64(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) out[i] = static_cast<float>(load<double>(row + 8 * i));
}
void unpack_i8(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) out[i] = static_cast<float>(load<int8_t>(row + i));
}
void unpack_f8e4m3(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) out[i] = f8e4m3_to_f32(load<uint8_t>(row + i));
}

void pack_f32(const float* values, const float*, std::byte* row, int64_t elements) {
  std::memcpy(row, values, static_cast<size_t>(elements) * sizeof(float));
}
void pack_f16(const float* values, const float*, std::byte* row, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) store(row + 2 * i, f32_to_f16(values[i]));
}
void pack_bf16(const float* values, const float*, std::byte* row, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) store(row + 2 * i, f32_to_bf16(values[i]));
}

}  // namespace tessera
