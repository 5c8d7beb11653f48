// Bytes of GGUF and safetensors files, put together by hand so that any field of them can lie. For tests.
#ifndef TESSERA_FORMATS_HOSTILE_FILES_H_
#define TESSERA_FORMATS_HOSTILE_FILES_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
inline std::string u32(uint64_t value) { return little_endian(static_cast<uint32_t>(value)); }
inline std::string u64(uint64_t value) { return little_endian(value); }

// GGUF: a length and the text itself.
inline std::string gguf_text(std::string_view text) { return u64(text.size()) + std::string(text); }

// GGUF: `value` is what follows the number of the value's type.
inline std::string gguf_pair(std::string_view key, uint32_t type, const std::string& value) {
  return gguf_text(key) + u32(type) + value;
}

inline std::string gguf_array(uint32_t item_type, uint64_t count, const std::string& items) {
  return u32(item_type) + u64(count) + items;
}

// GGUF: dimensions innermost first, as in the file.
inline std::string gguf_tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                               uint64_t offset) {
  std::string bytes = gguf_text(name) + u32(dims.size());
  for (const uint64_t dim : dims) bytes += u64(dim);
  return bytes + u32(type) + u64(offset);
}

inline std::string gguf_preamble(uint64_t tensors, uint64_t pairs, uint32_t version = 3) {
  return "GGUF" + u32(version) + u64(tensors) + u64(pairs);
}

// A whole file of alignment 32; the data section has `data_bytes` zeros.
inline std::string gguf_file(const std::vector<std::string>& pairs, const std::vector<std::string>& tensors,
                             size_t data_bytes) {
  std::string bytes = gguf_preamble(tensors.size(), pairs.size());
  for (const std::string& pair : pairs) bytes += pair;
  for (const std::string& tensor : tensors) bytes += tensor;
  bytes.resize((bytes.size() + 31) / 32 * 32 + data_bytes);
  return bytes;
}

inline std::string safetensors_file(std::string_view header, size_t data_bytes) {
  return u64(header.size()) + std::string(header) + std::string(data_bytes, '\0');
}

}  // namespace tessera

#endif  // TESSERA_FORMATS_HOSTILE_FILES_H_
