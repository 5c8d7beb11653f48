// A conversation with a model: messages go through its chat template, the answer comes back, and the state of everything said so
// far stays in the engine, so that a turn reads only what is new.
#ifndef TESSERA_CLI_CHAT_H_
#define TESSERA_CLI_CHAT_H_

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/generation.h"
#include "tokenizer/chat_template.h"

namespace tessera {

struct ChatOptions {
  std::string system;         // message; empty: none
  std::string template_name;  // of chat_template_names(); empty: the model's own
  std::string template_file;  // Jinja; empty: as above
};

class Chat {
 public:
  // kNotFound when there is no template.
  static Result<Chat> create(Engine& engine, const ChatOptions& options);
  Chat(Chat&&) noexcept;
  ~Chat();

  // The model's answer to what the user says; `settings` is a request without prompt. When the context is too small for all
  // messages, the oldest exchanges are forgotten and a note on stderr says so. An error leaves the conversation as it was.
  Result<Generation> say(const std::string& text, const Request& settings, const GenerationOptions& options, const ShowText& show);
  void reset();  // only the system message stays

  // Tokens of all prompts so far that were in the state already.
  int64_t reused_tokens() const { return reused_tokens_; }

 private:
  Chat(Engine& engine, ChatTemplate chat_template, std::string system);
  void add(const char* role, const std::string& content);
  Result<std::vector<int32_t>> tokens() const;
  Result<std::vector<int32_t>> fitting_tokens();
  bool forget_oldest();
  Result<Generation> answer(Request request, const GenerationOptions& options, const ShowText& show);

  Engine* engine_;
  ChatTemplate template_;
  std::string system_;
  std::unique_ptr<nlohmann::ordered_json> messages_;
  std::unique_ptr<nlohmann::ordered_json> forgotten_;  // by the turn that is being answered; back when it fails
  SequenceId sequence_;
  std::vector<int32_t> held_;  // tokens of the sequence, as many as it is long
  int64_t reused_tokens_ = 0;
};

// Lines from standard input, answers to standard output, until the end of input. Ctrl-C ends an answer, and the conversation
// when no answer is running. quiet: no summary at the end.
Status converse(Chat& chat, const Request& settings, const GenerationOptions& options, bool quiet);

}  // namespace tessera

#endif  // TESSERA_CLI_CHAT_H_
