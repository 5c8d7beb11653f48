// Chat templates: messages -> the prompt that a model was trained on. A template is a Jinja program that travels with
// the model (tokenizer.chat_template), that is, code from a stranger: it runs in an interpreter with limits on steps,
// bytes, depth and output (jinja/), and can do nothing but make text.
//
// The result is a list of segments, each either written by the template or taken from the input. Tokenizer::encode_chat
// lets only the former form control tokens. A role that every template knows ("user", ...) counts as the template's, as
// some templates build their control tokens from it; any other role is input.
#ifndef TESSERA_TOKENIZER_CHAT_TEMPLATE_H_
#define TESSERA_TOKENIZER_CHAT_TEMPLATE_H_

#include <ctime>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"
#include "tokenizer/tokenizer.h"

namespace tessera {

struct ChatInput {
  const nlohmann::ordered_json* messages = nullptr;   // a list of {"role", "content", ...}
  const nlohmann::ordered_json* tools = nullptr;      // null: none
  const nlohmann::ordered_json* documents = nullptr;  // null: none
  const nlohmann::ordered_json* extra = nullptr;      // chat_template_kwargs: an object of further variables
  bool add_generation_prompt = true;
  std::time_t now = 0;  // for strftime_now; 0: the clock
};

class ChatTemplate {
 public:
  // The texts of the tokens are what the template sees as bos_token and eos_token.
  static Result<ChatTemplate> parse(std::string source, std::string bos_token, std::string eos_token);

  // Errors: what the template itself refuses (raise_exception), faults of the template, limits.
  Result<std::vector<TextSegment>> render(const ChatInput& input) const;

  const std::string& source() const { return source_; }

 private:
  struct Program;
  std::string source_;
  std::string bos_token_, eos_token_;
  std::shared_ptr<const Program> program_;
};

// The template of a model: tokenizer.chat_template, or tokenizer.chat_template.NAME when a name is given. A model
// without one gets ChatML if its vocabulary has <|im_start|>, else kNotFound.
Result<ChatTemplate> chat_template_from_metadata(const Metadata& metadata, const Tokenizer& tokenizer,
                                                 std::string_view name = "");

// The common prompt formats, for files that carry no template or a wrong one. An unknown name: kNotFound with the list.
Result<ChatTemplate> named_chat_template(std::string_view name, const Tokenizer& tokenizer);
std::span<const std::string_view> chat_template_names();

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_CHAT_TEMPLATE_H_
