// `tessera run`: a prompt in, text out, token by token.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "cli/chat.h"
#include "cli/common_flags.h"
#include "cli/console.h"
#include "cli/generation.h"
#include "cli/sampling_flags.h"
#include "cli/verb.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

struct RunArguments {
  ModelFlags model;
  EngineFlags engine;
  SamplingFlags sampling;
  ChatOptions chat;
  std::vector<std::string> stop;
  std::string prompt, file;
  int64_t predict = -1;
  bool ignore_eos = false, no_display_prompt = false, json = false, quiet = false, special = false;
  bool use_chat = false, no_chat = false;
};

bool has_prompt(const RunArguments& a) { return !a.prompt.empty() || !a.file.empty(); }

Result<std::string> prompt_text(const RunArguments& a) {
  if (!a.prompt.empty() && !a.file.empty()) return invalid_argument("-p and -f: expected one of them, found both");
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

// Someone at a terminal who gives no prompt to a model with a chat template wants to talk to it.
bool wants_chat(const RunArguments& a, const Engine& engine) {
  if (a.use_chat) return true;
  const bool named = !a.chat.template_name.empty() || !a.chat.template_file.empty();
  return !a.no_chat && !a.json && !has_prompt(a) && isatty(STDIN_FILENO) != 0 &&
         (named || chat_template_from_metadata(engine.metadata(), engine.tokenizer()).ok());
}

Result<Generation> answer(const RunArguments& a, Engine& engine, Request request, const std::string& prompt) {
  const ShowText show = [&](const std::string& text) { return a.json || write_out(text); };
  if (a.use_chat) {
    TESSERA_ASSIGN_OR_RETURN(Chat chat, Chat::create(engine, a.chat));
    return chat.say(prompt, request, {.stop = a.stop, .starts_text = true}, show);
  }
  TESSERA_ASSIGN_OR_RETURN(request.prompt, prompt_tokens(engine, prompt, a.special));
  if (!a.json && !a.no_display_prompt) write_out(prompt);
  return generate(engine, std::move(request), {.stop = a.stop, .starts_text = prompt.empty()}, show);
}

Status run(const RunArguments& a) {
  // Read before the model is loaded: a wrong path is told at once.
  const bool conversation = a.use_chat && !has_prompt(a);
  if (conversation && a.json) return invalid_argument("--json: expected a prompt (-p or -f), found a conversation");
  TESSERA_RETURN_IF_ERROR(check_logit_bias(a.sampling));
  std::string prompt;
  if (!conversation) {
    TESSERA_ASSIGN_OR_RETURN(prompt, prompt_text(a));
  }
  const auto begin = Clock::now();
  TESSERA_ASSIGN_OR_RETURN(const auto engine, load_engine(a.model, a.engine));
  const double load_seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (!engine->has_tokenizer()) return unsupported("the model has no tokenizer (tokenizer.ggml.model)");

  Request request;
  TESSERA_ASSIGN_OR_RETURN(request.sampling, sampler_settings(a.sampling, engine->metadata()));
  request.max_tokens = a.predict < 0 ? -1 : a.predict;
  request.ignore_eos = a.ignore_eos;
  if (!has_prompt(a) && wants_chat(a, *engine)) {
    TESSERA_ASSIGN_OR_RETURN(Chat chat, Chat::create(*engine, a.chat));
    return converse(chat, request, {.stop = a.stop, .starts_text = true}, a.quiet);
  }
  const bool logprobs = request.sampling.logprobs > 0;
  TESSERA_ASSIGN_OR_RETURN(const Generation g, answer(a, *engine, std::move(request), prompt));
  if (a.json) {
    write_out(to_json(*engine, g, prompt, load_seconds, logprobs));
  } else {
    write_out("\n");
    if (!a.quiet) print_summary(g, load_seconds);
  }
  return not_interrupted();
}

void add_prompt_flags(CLI::App& group, RunArguments* a) {
  group.add_option("-p,--prompt", a->prompt, "The text to continue; without -p and -f it is read from standard input");
  group.add_option("-f,--file", a->file, "Read the prompt from a file; -: standard input")->type_name("FILE");
  add_count(group, "-n,--predict", &a->predict, "Most tokens to generate; -1: until the model ends or the context is full", -1);
  group.add_option("-r,--reverse-prompt,--stop", a->stop, "End before this text; repeatable");
  group.add_flag("--ignore-eos", a->ignore_eos, "Go on after the end-of-text token");
  group.add_flag("--special", a->special, "Let the prompt spell control tokens such as <|im_start|>");
  group.add_flag("--no-display-prompt", a->no_display_prompt, "Do not print the prompt before the text");
  group.add_flag("--json", a->json, "One JSON object at the end: text, tokens, timings");
  group.add_flag("-q,--quiet", a->quiet, "No timing summary on stderr");
}

void add_chat_flags(CLI::App& group, RunArguments* a) {
  auto* chat = group.add_flag("--chat,--cnv,--conversation", a->use_chat,
                              "Speak through the model's chat template: with -p or -f one answer, else a conversation. "
                              "Default at a terminal without a prompt, when the model has a template");
  group.add_flag("--no-chat,--no-cnv,--no-conversation", a->no_chat, "Continue text even then")->excludes(chat);
  group.add_option("--sys,--system-prompt", a->chat.system, "The system message (also -sys)");
  const auto names = chat_template_names();
  group.add_option("--chat-template", a->chat.template_name, "One of the common templates instead of the model's own")
      ->check(CLI::IsMember(std::vector<std::string>(names.begin(), names.end())));
  group.add_option("--chat-template-file", a->chat.template_file, "Instead of the model's own template: a Jinja file")
      ->type_name("FILE");
}

}  // namespace

void add_run_verb(CLI::App& app, VerbRunner run_verb) {
  CLI::App* verb = app.add_subcommand("run", "Generate text from a prompt, or chat");
  const auto a = std::make_shared<RunArguments>();
  add_model_flags(*verb, &a->model);
  add_prompt_flags(*verb->add_option_group("Prompt and output"), a.get());
  add_chat_flags(*verb->add_option_group("Chat"), a.get());
  add_sampling_flags(*verb->add_option_group("Sampling"), &a->sampling);
  add_engine_flags(*verb->add_option_group("Engine"), &a->engine);
  verb->footer("A model's own general.sampling.* values replace the sampling defaults.\n"
               "Ctrl-C ends the text and prints the summary.\n\n"
               "Examples:\n"
               "  tessera run -p \"Once upon a time\" --seed 1\n"
               "  tessera run -m model.gguf                      talk to a chat model\n"
               "  tessera run -m model.gguf -f prompt.txt -n 200 --temp 0\n"
               "  echo \"The old cat\" | tessera run -n 50 --json");
  verb->callback([a, run_verb] { run_verb([&] { return run(*a); }); });
}

}  // namespace tessera
