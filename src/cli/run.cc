// `tessera run`: a prompt in, text out, token by token.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "cli/common_flags.h"
#include "cli/console.h"
#include "cli/verb.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/stream.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

struct RunArguments {
  ModelFlags model;
  EngineFlags engine;
  SamplerSettings sampling;
  std::vector<std::string> logit_bias, stop;
  std::string prompt, file, system, template_file;
  int64_t predict = -1, seed = -1;
  bool ignore_eos = false, no_display_prompt = false, json = false, quiet = false, special = false, chat = false;
};

Result<std::string> prompt_text(const RunArguments& a) {
  if (!a.prompt.empty() && !a.file.empty()) return invalid_argument("expected either -p or -f, found both");
  if (!a.file.empty()) return read_text_file(a.file);
  if (a.prompt.empty() && isatty(STDIN_FILENO) == 0) return read_text_file("-");
  return a.prompt;
}

Result<std::vector<int32_t>> prompt_tokens(const Engine& engine, const std::string& text, bool special) {
  std::vector<int32_t> tokens = engine.tokenizer().encode(text, {.add_special = true, .parse_special = special});
  // A model that adds nothing to an empty prompt still needs a first token.
  if (tokens.empty() && engine.tokenizer().bos_id() >= 0) tokens.push_back(engine.tokenizer().bos_id());
  if (tokens.empty() && engine.tokenizer().eos_id() >= 0) tokens.push_back(engine.tokenizer().eos_id());
  if (tokens.empty()) return invalid_argument("-p: expected a prompt, found none");
  return tokens;
}

// Everything that happened between the prompt and the end.
struct Generation {
  std::string text;
  std::vector<SampledToken> tokens;
  std::string finish;
  RequestTimings timings;
};

class Generator {
 public:
  Generator(Engine& engine, const RunArguments& arguments)
      : engine_(engine), arguments_(arguments), stream_(engine.tokenizer()), stops_(arguments.stop) {}

  // show: called with text as it becomes showable; false: nobody is listening any more.
  // starts_text: the output continues nothing, so a space that the tokenizer puts before a text is none.
  Result<Generation> run(std::vector<int32_t> prompt, bool starts_text, const std::function<bool(const std::string&)>& show) {
    if (starts_text) stream_.strip_leading_space();
    Request request;
    request.prompt = std::move(prompt);
    request.sampling = arguments_.sampling;
    request.max_tokens = arguments_.predict < 0 ? -1 : arguments_.predict;
    request.ignore_eos = arguments_.ignore_eos;
    TESSERA_ASSIGN_OR_RETURN(const RequestId id, engine_.submit(std::move(request)));
    while (!engine_.idle()) {
      if (interrupted()) stop(id, "interrupted");
      for (const TokenEvent& event : engine_.step()) {
        if (event.finish == FinishReason::kError) return event.error;
        if (event.sampled) take(*event.sampled, event.finish == FinishReason::kStop, id, show);
        if (event.finish && result_.finish.empty()) result_.finish = to_string(*event.finish);
      }
    }
    emit(stops_.push(stream_.flush()), show);
    emit(stops_.flush(), show);
    result_.timings = engine_.timings(id);
    return std::move(result_);
  }

 private:
  void stop(RequestId id, const char* reason) {
    if (result_.finish.empty()) result_.finish = reason;
    engine_.cancel(id);
  }

  void take(const SampledToken& sampled, bool end_token, RequestId id, const std::function<bool(const std::string&)>& show) {
    if (!result_.finish.empty()) return;  // sampled in the pass that was under way
    result_.tokens.push_back(sampled);
    if (end_token) return;
    if (!emit(stops_.push(stream_.push(sampled.token)), show)) stop(id, "closed");
    if (stops_.stopped()) stop(id, "stop");
  }

  bool emit(const std::string& text, const std::function<bool(const std::string&)>& show) {
    result_.text += text;
    return text.empty() || show(text);
  }

  Engine& engine_;
  const RunArguments& arguments_;
  TextStream stream_;
  StopMatcher stops_;
  Generation result_;
};

bool write_out(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

void print_summary(const Generation& g, double load_seconds) {
  const RequestTimings& t = g.timings;
  // The first token comes with the prompt's pass; the others have a pass each.
  std::fprintf(stderr, "\n[load %.2f s | prompt %lld tokens, %.1f tokens/s | generated %lld tokens, %.1f tokens/s | %s | peak memory %s]\n",
               load_seconds, static_cast<long long>(t.prompt_tokens), rate(static_cast<double>(t.prompt_tokens), t.prompt_seconds),
               static_cast<long long>(t.generated_tokens), rate(static_cast<double>(t.generated_tokens - 1), t.generate_seconds),
               g.finish.c_str(), human_bytes(static_cast<double>(peak_memory_bytes())).c_str());
}

std::string json_text(const Engine& engine, const Generation& g, const std::string& prompt, double load_seconds, bool logprobs) {
  nlohmann::ordered_json out;
  out["prompt"] = prompt;
  out["text"] = g.text;
  out["finish_reason"] = g.finish;
  out["tokens"] = nlohmann::json::array();
  for (const SampledToken& token : g.tokens) out["tokens"].push_back(token.token);
  if (logprobs) {
    auto& list = out["logprobs"] = nlohmann::json::array();
    for (const SampledToken& token : g.tokens) {
      nlohmann::ordered_json item = {{"token", token.token}, {"text", engine.tokenizer().piece(token.token)}, {"logprob", token.logprob}};
      item["top"] = nlohmann::json::array();
      for (const TokenProbability& p : token.top) {
        item["top"].push_back({{"token", p.token}, {"text", engine.tokenizer().piece(p.token)}, {"logprob", p.logprob}});
      }
      list.push_back(item);
    }
  }
  const RequestTimings& t = g.timings;
  out["timings"] = {{"load_seconds", load_seconds},
                    {"prompt_tokens", t.prompt_tokens},
                    {"prompt_seconds", t.prompt_seconds},
                    {"prompt_tokens_per_second", rate(static_cast<double>(t.prompt_tokens), t.prompt_seconds)},
                    {"generated_tokens", t.generated_tokens},
                    {"generate_seconds", t.generate_seconds},
                    {"generated_tokens_per_second", rate(static_cast<double>(t.generated_tokens - 1), t.generate_seconds)}};
  out["peak_memory_bytes"] = peak_memory_bytes();
  // A piece of a token may be part of a character.
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// A conversation: messages so far, rendered anew for every turn. What the user types never becomes a control token.
class Conversation {
 public:
  static Result<Conversation> create(const Engine& engine, const RunArguments& a) {
    Conversation c(engine);
    if (a.template_file.empty()) {
      TESSERA_ASSIGN_OR_RETURN(c.template_, chat_template_from_metadata(engine.metadata(), engine.tokenizer()));
    } else {
      const auto text_of = [&](int32_t id) { return std::string(id >= 0 ? engine.tokenizer().token_text(id) : std::string_view()); };
      TESSERA_ASSIGN_OR_RETURN(std::string source, read_text_file(a.template_file));
      TESSERA_ASSIGN_OR_RETURN(c.template_, ChatTemplate::parse(std::move(source), text_of(engine.tokenizer().bos_id()),
                                                                text_of(engine.tokenizer().eos_id())));
    }
    c.system_ = a.system;
    c.reset();
    return c;
  }

  void reset() {
    messages_ = nlohmann::ordered_json::array();
    if (!system_.empty()) add("system", system_);
  }
  void add(const char* role, const std::string& content) { messages_.push_back({{"role", role}, {"content", content}}); }
  void drop_last() { messages_.erase(messages_.size() - 1); }

  Result<std::vector<int32_t>> tokens() const {
    ChatInput input;
    input.messages = &messages_;
    TESSERA_ASSIGN_OR_RETURN(const std::vector<TextSegment> segments, template_->render(input));
    return engine_->tokenizer().encode_chat(segments);
  }

 private:
  explicit Conversation(const Engine& engine) : engine_(&engine) {}

  const Engine* engine_;
  std::optional<ChatTemplate> template_;
  std::string system_;
  nlohmann::ordered_json messages_;
};

constexpr const char* kChatHelp = "/reset begins anew, /exit or Ctrl-D leaves, /help shows this; everything else is said to the model\n";

// Lines from standard input, answers to standard output, until the end of input. Ctrl-C ends an answer, and the chat when no
// answer is running.
Status chat(Engine& engine, const RunArguments& a) {
  TESSERA_ASSIGN_OR_RETURN(Conversation conversation, Conversation::create(engine, a));
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal) std::fputs(kChatHelp, stderr);
  for (;;) {
    if (terminal) std::fputs("\n> ", stderr);
    std::string line;
    if (!std::getline(std::cin, line) || interrupted()) return {};
    if (line.empty()) continue;
    if (line == "/exit") return {};
    if (line == "/help") {
      std::fputs(kChatHelp, stderr);
      continue;
    }
    if (line == "/reset") {
      conversation.reset();
      continue;
    }
    conversation.add("user", line);
    Result<std::vector<int32_t>> tokens = conversation.tokens();
    if (!tokens.ok()) return tokens.status();
    Generator generator(engine, a);
    Result<Generation> g = generator.run(*std::move(tokens), true, write_out);
    write_out("\n");
    if (!g.ok()) {  // the conversation does not fit any more: say so, keep it
      std::fprintf(stderr, "error: %s; /reset begins anew\n", g.status().message().c_str());
      conversation.drop_last();
      continue;
    }
    if (interrupted()) return {StatusCode::kCancelled, "interrupted"};
    conversation.add("assistant", g->text);
  }
}

Status run(RunArguments& a) {
  TESSERA_RETURN_IF_ERROR(parse_logit_bias(a.logit_bias, &a.sampling));
  a.sampling.seed = a.seed < 0 ? std::random_device{}() : static_cast<uint64_t>(a.seed);
  const bool interactive = a.chat && a.prompt.empty() && a.file.empty();
  std::string prompt;
  if (!interactive) {
    TESSERA_ASSIGN_OR_RETURN(prompt, prompt_text(a));
  }
  const auto begin = Clock::now();
  TESSERA_ASSIGN_OR_RETURN(const auto engine, load_engine(a.model, a.engine));
  const double load_seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (!engine->has_tokenizer()) return unsupported("the model has no tokenizer (tokenizer.ggml.model)");
  if (interactive) return chat(*engine, a);
  std::vector<int32_t> tokens;
  if (a.chat) {
    TESSERA_ASSIGN_OR_RETURN(Conversation conversation, Conversation::create(*engine, a));
    conversation.add("user", prompt);
    TESSERA_ASSIGN_OR_RETURN(tokens, conversation.tokens());
  } else {
    TESSERA_ASSIGN_OR_RETURN(tokens, prompt_tokens(*engine, prompt, a.special));
  }

  if (!a.json && !a.chat && !a.no_display_prompt) write_out(prompt);
  Generator generator(*engine, a);
  const auto show = [&](const std::string& text) { return a.json || write_out(text); };
  TESSERA_ASSIGN_OR_RETURN(const Generation g, generator.run(std::move(tokens), a.chat || prompt.empty(), show));
  if (a.json) {
    write_out(json_text(*engine, g, prompt, load_seconds, a.sampling.logprobs > 0));
  } else {
    write_out("\n");
    if (!a.quiet) print_summary(g, load_seconds);
  }
  if (interrupted()) return {StatusCode::kCancelled, "interrupted"};
  return {};
}

}  // namespace

void add_run_verb(CLI::App& app, VerbRunner run_verb) {
  CLI::App* verb = app.add_subcommand("run", "Generate text from a prompt");
  const auto a = std::make_shared<RunArguments>();
  add_model_flags(*verb, &a->model);
  auto* prompt = verb->add_option_group("Prompt and output");
  prompt->add_option("-p,--prompt", a->prompt, "The text to continue; without -p and -f it is read from standard input");
  prompt->add_option("-f,--file", a->file, "Read the prompt from a file; -: standard input");
  add_count(*prompt, "-n,--predict", &a->predict, "Most tokens to generate; -1: until the model ends or the context is full");
  prompt->add_flag("--chat,--cnv,--conversation", a->chat, "Speak through the model's chat template: with -p one answer, else a conversation");
  prompt->add_option("--sys,--system-prompt", a->system, "With --chat: the system message (also -sys)");
  prompt->add_option("--chat-template-file", a->template_file, "With --chat: a Jinja template instead of the model's own");
  prompt->add_option("-r,--reverse-prompt,--stop", a->stop, "End before this text; repeatable");
  prompt->add_flag("--ignore-eos", a->ignore_eos, "Go on after the end-of-text token");
  prompt->add_flag("--special", a->special, "Let the prompt spell control tokens such as <|im_start|>");
  prompt->add_flag("--no-display-prompt", a->no_display_prompt, "Do not print the prompt before the text");
  prompt->add_flag("--json", a->json, "One JSON object at the end: text, tokens, timings");
  prompt->add_flag("-q,--quiet", a->quiet, "No timing summary on stderr");
  add_sampling_flags(*verb->add_option_group("Sampling"), &a->sampling, &a->logit_bias, &a->seed);
  add_engine_flags(*verb->add_option_group("Engine"), &a->engine);
  verb->footer("Ctrl-C ends the text and prints the summary.\n\n"
               "Examples:\n"
               "  tessera run -p \"Once upon a time\" --seed 1\n"
               "  tessera run -m model.gguf -f prompt.txt -n 200 --temp 0\n"
               "  echo \"The old cat\" | tessera run -n 50 --json");
  verb->callback([a, run_verb] { run_verb([&] { return run(*a); }); });
}

}  // namespace tessera
