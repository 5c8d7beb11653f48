// The JSON files of a Hugging Face folder. Byte 0 picks: a config.json (what is accepted holds finite numbers), or a
// tokenizer.json beside a small config.json.
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "formats/hf_checkpoint.h"
#include "formats/hf_tokenizer.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    const auto metadata = translate_hf_config(text);
    if (!metadata.ok()) {
      TESSERA_CHECK(metadata.status().message().find('\n') == std::string::npos, "{}", metadata.status().message());
      return 0;
    }
    for (const auto& [key, value] : *metadata) {
      if (const auto number = metadata->number(key); number.ok()) TESSERA_CHECK(std::isfinite(*number), "{}", key);
    }
    return 0;
  }
  const auto config = nlohmann::json::object();
  Metadata metadata;
  const Status status = translate_hf_tokenizer({.tokenizer_json = text,
                                                .tokenizer_model = {},
                                                .tokenizer_config = {},
                                                .generation_config = {},
                                                .chat_template = {}},
                                               JsonFields(config, "config.json"), &metadata);
  TESSERA_CHECK(status.message().find('\n') == std::string::npos, "{}", status.message());
  return 0;
}
