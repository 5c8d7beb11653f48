#include "tokenizer/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/parser.h"

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

// The largest known template has about 20 thousand bytes.
constexpr size_t kMaxTemplateBytes = 1 << 20;
constexpr int kMaxJsonDepth = 100;

bool is_known_role(std::string_view role) {
  static constexpr std::string_view kRoles[] = {"system", "user",     "assistant", "tool",         "developer",
                                                "model",  "function", "ipython",   "tool_response"};
  return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

jinja::Value to_value(const Json& json, jinja::Interpreter* in, int depth = 0) {
  if (depth > kMaxJsonDepth) jinja::fail(0, "input nested deeper than {} levels", kMaxJsonDepth);
  switch (json.type()) {
    case Json::value_t::boolean: return jinja::Value(json.get<bool>());
    case Json::value_t::number_integer: return jinja::Value(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const uint64_t number = json.get<uint64_t>();
      return number <= INT64_MAX ? jinja::Value(static_cast<int64_t>(number))
                                 : jinja::Value(static_cast<double>(number));
    }
    case Json::value_t::number_float: return jinja::Value(json.get<double>());
    case Json::value_t::string: return jinja::text_value(json.get<std::string>(), true);
    case Json::value_t::array: {
      std::vector<jinja::Value> items;
      for (const Json& item : json) items.push_back(to_value(item, in, depth + 1));
      return in->make_list(std::move(items));
    }
    case Json::value_t::object: {
      const auto dict = in->make_dict();
      for (const auto& [key, item] : json.items()) {
        const bool known_role = key == "role" && item.is_string() && is_known_role(item.get_ref<const std::string&>());
        dict->set(jinja::text_value(key, true),
                  known_role ? jinja::text_value(item.get<std::string>()) : to_value(item, in, depth + 1));
      }
      return jinja::Value(dict);
    }
    default: return jinja::Value();
  }
}

jinja::Value value_or_none(const Json* json, jinja::Interpreter* in) {
  return json == nullptr ? jinja::Value() : to_value(*json, in);
}

std::vector<TextSegment> to_segments(const jinja::Text& text) {
  std::vector<TextSegment> segments;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin + 1;
    while (end < text.size() && text.from_input(end) == text.from_input(begin)) ++end;
    segments.push_back({text.bytes().substr(begin, end - begin), text.from_input(begin)});
    begin = end;
  }
  return segments;
}

}  // namespace

struct ChatTemplate::Program {
  jinja::Body body;
};

Result<ChatTemplate> ChatTemplate::parse(std::string source, std::string bos_token, std::string eos_token) {
  if (source.size() > kMaxTemplateBytes) {
    return resource_exhausted("chat template: expected at most {} bytes, found {}", kMaxTemplateBytes, source.size());
  }
  ChatTemplate result;
  try {
    result.program_ = std::make_shared<const Program>(Program{jinja::parse_template(source)});
  } catch (const jinja::TemplateError& error) {
    return error.status();
  }
  result.source_ = std::move(source);
  result.bos_token_ = std::move(bos_token);
  result.eos_token_ = std::move(eos_token);
  return result;
}

Result<std::vector<TextSegment>> ChatTemplate::render(const ChatInput& input) const {
  if (input.messages == nullptr || !input.messages->is_array()) return invalid_argument("messages: expected a list");
  try {
    jinja::Interpreter in(jinja::Limits{}, input.now != 0 ? input.now : std::time(nullptr));
    in.set_global("bos_token", jinja::text_value(bos_token_));
    in.set_global("eos_token", jinja::text_value(eos_token_));
    in.set_global("messages", to_value(*input.messages, &in));
    in.set_global("tools", value_or_none(input.tools, &in));
    in.set_global("documents", value_or_none(input.documents, &in));
    in.set_global("add_generation_prompt", jinja::Value(input.add_generation_prompt));
    if (input.extra != nullptr && input.extra->is_object()) {
      for (const auto& [name, value] : input.extra->items()) in.set_global(name, to_value(value, &in));
    }
    return to_segments(in.render(program_->body));
  } catch (const jinja::TemplateError& error) {
    return error.status();
  }
}

Result<ChatTemplate> chat_template_from_metadata(const Metadata& metadata, const Tokenizer& tokenizer,
                                                 std::string_view name) {
  std::string key = "tokenizer.chat_template";
  if (!name.empty()) key.append(".").append(name);
  if (!metadata.contains(key)) {
    if (name.empty() && tokenizer.find_token("<|im_start|>").has_value()) return named_chat_template("chatml", tokenizer);
    return not_found("{}: the model has no chat template", key);
  }
  TESSERA_ASSIGN_OR_RETURN(std::string source, metadata.text(key));
  return ChatTemplate::parse(std::move(source), std::string(tokenizer.token_text(tokenizer.bos_id())),
                             std::string(tokenizer.token_text(tokenizer.eos_id())));
}

}  // namespace tessera
