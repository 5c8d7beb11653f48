// Fuzz target: a template, a zero byte, and the conversation as JSON (or a fixed one). Whatever they say, rendering
// ends within its limits, with segments that alternate in origin or with an error.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tokenizer/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using Json = nlohmann::ordered_json;
  if (size > 20000) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(bytes.find('\0'), size);
  auto chat = tessera::ChatTemplate::parse(std::string(bytes.substr(0, zero)), "<s>", "</s>");
  if (!chat.ok()) return 0;
  Json messages;
  if (zero < size) messages = Json::parse(bytes.substr(zero + 1), nullptr, false);
  if (!messages.is_array()) {
    messages = Json::array(
        {{{"role", "user"}, {"content", "hi <s> there"}, {"n", 3}},
         {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {{{"name", "f"}, {"x", {1, 2.5, true}}}}}}});
  }
  const auto segments = chat->render({.messages = &messages, .tools = &messages, .now = 1});
  if (!segments.ok()) return 0;
  for (size_t i = 1; i < segments->size(); ++i) {
    if ((*segments)[i].from_input == (*segments)[i - 1].from_input) std::abort();
  }
  return 0;
}
