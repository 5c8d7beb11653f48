// A GGUF file from memory: whatever parses must be readable to its last byte, and its metadata printable.
#include <algorithm>
#include <cstdint>
#include <span>

#include "formats/gguf.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  (void)gguf_from_memory(bytes, {.header_only = true});
  const auto opened = gguf_from_memory(bytes);
  if (!opened.ok()) {
    TESSERA_CHECK(opened.status().message().find('\n') == std::string::npos, "{}", opened.status().message());
    return 0;
  }
  for (const auto& [key, value] : opened->metadata) {
    (void)describe_value(value);
    (void)opened->metadata.u64(key);
    (void)opened->metadata.number_array(key);
    (void)opened->metadata.i64_per_layer(key, 4);
  }
  for (const WeightInfo& weight : opened->weights->weights()) {
    const auto stored = opened->weights->read(weight);
    TESSERA_CHECK(stored.bytes.size() == weight.bytes, "{} bytes of {}", stored.bytes.size(), weight.bytes);
    TESSERA_CHECK(std::ranges::count(stored.bytes, std::byte{}) <= std::ssize(stored.bytes), "{}", weight.name);
    opened->weights->release(weight);
  }
  return 0;
}
