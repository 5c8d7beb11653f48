#include "cli/chat.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/console.h"
#include "formats/text.h"

namespace tessera {
namespace {

// Tokens left free for an answer when messages are forgotten to make room.
constexpr int64_t kAnswerRoom = 256;

Result<ChatTemplate> template_of(const Engine& engine, const ChatOptions& options) {
  const Tokenizer& tokenizer = engine.tokenizer();
  if (!options.template_file.empty() && !options.template_name.empty()) {
    return invalid_argument("--chat-template and --chat-template-file: expected one of them, found both");
  }
  if (!options.template_name.empty()) return named_chat_template(options.template_name, tokenizer);
  if (options.template_file.empty()) {
    auto stored = chat_template_from_metadata(engine.metadata(), tokenizer);
    if (stored.ok() || stored.status().code() != StatusCode::kNotFound) return stored;
    return not_found("{}; --chat-template NAME names a built-in one", stored.status().message());
  }
  TESSERA_ASSIGN_OR_RETURN(std::string source, read_text_file(options.template_file));
  return ChatTemplate::parse(std::move(source), std::string(tokenizer.token_text(tokenizer.bos_id())),
                             std::string(tokenizer.token_text(tokenizer.eos_id())));
}

}  // namespace

Result<Chat> Chat::create(Engine& engine, const ChatOptions& options) {
  TESSERA_ASSIGN_OR_RETURN(ChatTemplate chat_template, template_of(engine, options));
  return Chat(engine, std::move(chat_template), options.system);
}

Chat::Chat(Engine& engine, ChatTemplate chat_template, std::string system)
    : engine_(&engine), template_(std::move(chat_template)), system_(std::move(system)),
      messages_(std::make_unique<nlohmann::ordered_json>()),
      forgotten_(std::make_unique<nlohmann::ordered_json>()), sequence_(engine.states().create_sequence()) {
  reset();
}
Chat::Chat(Chat&&) noexcept = default;
Chat::~Chat() = default;

void Chat::reset() {
  *messages_ = nlohmann::ordered_json::array();
  if (!system_.empty()) add("system", system_);
}

void Chat::add(const char* role, const std::string& content) { messages_->push_back({{"role", role}, {"content", content}}); }

Result<std::vector<int32_t>> Chat::tokens() const {
  ChatInput input;
  input.messages = messages_.get();
  TESSERA_ASSIGN_OR_RETURN(const std::vector<TextSegment> segments, template_.render(input));
  return engine_->tokenizer().encode_chat(segments);
}

// Drops the first exchange: from the first message that is not the system's to the next one of the user.
bool Chat::forget_oldest() {
  const size_t begin = system_.empty() ? 0 : 1;
  size_t end = begin + 1;
  while (end < messages_->size() && (*messages_)[end]["role"] != "user") ++end;
  if (end >= messages_->size()) return false;
  const auto first = messages_->begin() + static_cast<int64_t>(begin), last = messages_->begin() + static_cast<int64_t>(end);
  for (auto message = first; message != last; ++message) forgotten_->push_back(std::move(*message));
  messages_->erase(first, last);
  return true;
}

Result<std::vector<int32_t>> Chat::fitting_tokens() {
  const int64_t context = engine_->options().context_tokens;
  const int64_t most = context - std::min(kAnswerRoom, context / 4);
  for (bool noted = false;; noted = true) {
    TESSERA_ASSIGN_OR_RETURN(std::vector<int32_t> prompt, tokens());
    if (static_cast<int64_t>(prompt.size()) <= most || !forget_oldest()) return prompt;
    if (!noted) {
      std::fprintf(stderr, "note: the context of %lld tokens is full, the oldest messages are forgotten (more: -c)\n",
                   static_cast<long long>(context));
    }
  }
}

Result<Generation> Chat::answer(Request request, const GenerationOptions& options, const ShowText& show) {
  TESSERA_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, fitting_tokens());
  if (prompt.empty()) return invalid_argument("chat template: expected at least one token, found none");
  // At least one token is read anew: its logits start the answer.
  const auto differs = std::ranges::mismatch(held_, prompt).in1 - held_.begin();
  const int64_t known = std::min<int64_t>(differs, static_cast<int64_t>(prompt.size()) - 1);
  StateStore& states = engine_->states();
  states.truncate(sequence_, known);
  request.history.assign(prompt.begin(), prompt.begin() + known);
  request.prompt.assign(prompt.begin() + known, prompt.end());
  request.sequence = sequence_;
  request.keep_sequence = true;
  Result<Generation> g = generate(*engine_, std::move(request), options, show);
  held_ = prompt;
  if (!g.ok()) {
    states.truncate(sequence_, 0);
    held_.clear();
    return g;
  }
  reused_tokens_ += known;
  for (const SampledToken& token : g->tokens) held_.push_back(token.token);
  held_.resize(static_cast<size_t>(states.length(sequence_)));  // the last token is sampled, but not read yet
  return g;
}

Result<Generation> Chat::say(const std::string& text, const Request& settings, const GenerationOptions& options,
                             const ShowText& show) {
  *forgotten_ = nlohmann::ordered_json::array();
  add("user", text);
  Result<Generation> g = answer(settings, options, show);
  if (g.ok()) {
    add("assistant", g->text);
  } else {
    messages_->erase(messages_->size() - 1);
    for (size_t i = 0; i < forgotten_->size(); ++i) {
      const auto at = messages_->begin() + static_cast<int64_t>(i + (system_.empty() ? 0 : 1));
      messages_->insert(at, std::move((*forgotten_)[i]));
    }
  }
  return g;
}

namespace {

constexpr const char* kHelp =
    "/reset begins anew, /exit or Ctrl-D leaves, /help shows this; a \\ at the end of a line goes on in the next;\n"
    "everything else is said to the model\n";

// A line, and those that it goes on in. False: the end of input, or Ctrl-C.
bool read_message(bool terminal, std::string* message) {
  if (terminal) std::fputs("\n> ", stderr);
  std::string line;
  message->clear();
  while (std::getline(std::cin, line) && !interrupted()) {
    const bool goes_on = !line.empty() && line.back() == '\\';
    if (goes_on) line.back() = '\n';
    *message += line;
    if (!goes_on) return true;
  }
  return false;
}

}  // namespace

Status converse(Chat& chat, const Request& settings, const GenerationOptions& options, bool quiet) {
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal) std::fputs(kHelp, stderr);
  int64_t turns = 0, read = 0, generated = 0;
  std::string message;
  while (read_message(terminal, &message) && message != "/exit") {
    if (message.empty()) continue;
    if (message == "/help" || message == "/reset") {
      if (message == "/reset") chat.reset();
      if (message == "/help") std::fputs(kHelp, stderr);
      continue;
    }
    const Result<Generation> g = chat.say(message, settings, options, write_out);
    write_out("\n");
    if (!g.ok()) {
      std::fprintf(stderr, "error: %s; /reset begins anew\n", printable(g.status().message()).c_str());
      continue;
    }
    ++turns;
    read += g->timings.prompt_tokens;
    generated += g->timings.generated_tokens;
    if (g->finish == "closed") break;
    if (interrupted() && !terminal) return {StatusCode::kCancelled, "interrupted"};
    clear_interrupt();
  }
  const bool left = interrupted();
  if (!quiet) {
    std::fprintf(stderr, "\n[%lld answer%s | prompt %lld tokens read, %lld known | generated %lld tokens | peak memory %s]\n",
                 static_cast<long long>(turns), turns == 1 ? "" : "s", static_cast<long long>(read), static_cast<long long>(chat.reused_tokens()),
                 static_cast<long long>(generated), human_bytes(static_cast<double>(peak_memory_bytes())).c_str());
  }
  if (left) return {StatusCode::kCancelled, "interrupted"};
  return {};
}

}  // namespace tessera
