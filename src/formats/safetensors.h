// The header of a safetensors file: u64 length, that many bytes of JSON {name: {dtype, shape, data_offsets}}, then the
// data section that the offsets count from. Format: README of the safetensors project. The JSON is read by events into
// a fixed structure, without a tree, so memory stays near the size of the header.
#ifndef TESSERA_FORMATS_SAFETENSORS_H_
#define TESSERA_FORMATS_SAFETENSORS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"

namespace tessera {

inline constexpr uint64_t kSafetensorsMaxHeaderBytes = 100'000'000;  // the format's own limit

struct SafetensorsEntry {
  std::string name;
  std::string dtype_name;      // "F32", as in the file
  std::optional<DType> dtype;  // absent where this project has no such type
  std::vector<uint64_t> dims;  // outermost first; may be empty (a scalar) or hold zeros
  uint64_t begin = 0;          // from the beginning of the file
  uint64_t bytes = 0;
};

// Every entry lies in the file, has the size that its type and shape say, overlaps no other, and no name is given
// twice.
Result<std::vector<SafetensorsEntry>> parse_safetensors_header(std::span<const std::byte> file,
                                                               const OpenOptions& options = {});

}  // namespace tessera

#endif  // TESSERA_FORMATS_SAFETENSORS_H_
