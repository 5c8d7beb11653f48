// The header of a GGUF file (versions 2 and 3, little-endian): magic, version, counts, key-value pairs, tensor
// descriptions; the data section follows at the next multiple of general.alignment. Specification: docs/gguf.md of the
// ggml project. parse_gguf_header is the only place where this project interprets these bytes, and it validates all of
// it: whoever holds a GgufHeader may read every tensor without further checks.
#ifndef TESSERA_FORMATS_GGUF_HEADER_H_
#define TESSERA_FORMATS_GGUF_HEADER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"

namespace tessera {

// Numbers that mark the type of a value in the file, in the order of MetadataScalar's alternatives except for kArray.
enum class GgufType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

inline constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF"
inline constexpr uint64_t kGgufDefaultAlignment = 32;

// Limits, all far above what real files have.
inline constexpr uint64_t kGgufMaxKeyBytes = 65535;  // the specification's own
inline constexpr uint64_t kGgufMaxNameBytes = 255;   // of a tensor; the specification says 64
inline constexpr uint64_t kGgufMaxAlignment = 1u << 20;
inline constexpr uint64_t kGgufMaxHeaderBytes = 256ull << 20;

struct GgufHeader {
  uint32_t version = 0;
  uint64_t alignment = kGgufDefaultAlignment;
  uint64_t data_begin = 0;  // of the data section in the file
  Metadata metadata;
  std::vector<WeightInfo> weights;  // in the file's order
  std::vector<uint64_t> offsets;    // of each weight, from the beginning of the file
};

// `bytes` is the whole file, or its beginning with options.header_only.
Result<GgufHeader> parse_gguf_header(std::span<const std::byte> bytes, const OpenOptions& options = {});

}  // namespace tessera

#endif  // TESSERA_FORMATS_GGUF_HEADER_H_
