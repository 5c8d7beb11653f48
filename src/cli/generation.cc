#include "cli/generation.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/console.h"
#include "formats/text.h"
#include "tokenizer/stream.h"

namespace tessera {
namespace {

class Generator {
 public:
  Generator(Engine& engine, const GenerationOptions& options, const ShowText& show)
      : engine_(engine), show_(show), stream_(engine.tokenizer()), stops_(options.stop) {
    if (options.starts_text) stream_.strip_leading_space();
  }

  Result<Generation> run(Request request) {
    TESSERA_ASSIGN_OR_RETURN(const RequestId id, engine_.submit(std::move(request)));
    while (!engine_.idle()) {
      if (interrupted()) stop(id, "interrupted");
      for (const TokenEvent& event : engine_.step()) {
        result_.sequence = event.sequence;
        if (event.finish == FinishReason::kError) return event.error;
        if (event.sampled) take(*event.sampled, event.finish == FinishReason::kStop, id);
        if (event.finish && result_.finish.empty()) result_.finish = to_string(*event.finish);
      }
    }
    emit(stops_.push(stream_.flush()));
    emit(stops_.flush());
    result_.timings = engine_.timings(id);
    return std::move(result_);
  }

 private:
  void stop(RequestId id, const char* reason) {
    if (result_.finish.empty()) result_.finish = reason;
    engine_.cancel(id);
  }

  void take(const SampledToken& sampled, bool end_token, RequestId id) {
    if (!result_.finish.empty()) return;  // sampled in the pass that was under way
    result_.tokens.push_back(sampled);
    if (end_token) return;
    if (!emit(stops_.push(stream_.push(sampled.token)))) stop(id, "closed");
    if (stops_.stopped()) stop(id, "stop");
  }

  bool emit(const std::string& text) {
    result_.text += text;
    return text.empty() || show_(text);
  }

  Engine& engine_;
  const ShowText& show_;
  TextStream stream_;
  StopMatcher stops_;
  Generation result_;
};

double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }
double prompt_rate(const RequestTimings& t) { return rate(static_cast<double>(t.prompt_tokens), t.prompt_seconds); }
// The first token comes with the prompt's pass; the others have a pass each.
double generation_rate(const RequestTimings& t) { return rate(static_cast<double>(t.generated_tokens - 1), t.generate_seconds); }

nlohmann::ordered_json logprobs_json(const Engine& engine, const std::vector<SampledToken>& tokens) {
  const auto item = [&](int32_t token, float logprob) -> nlohmann::ordered_json {
    return {{"token", token}, {"text", engine.tokenizer().piece(token)}, {"logprob", logprob}};
  };
  auto list = nlohmann::ordered_json::array();
  for (const SampledToken& token : tokens) {
    list.push_back(item(token.token, token.logprob));
    auto& top = list.back()["top"] = nlohmann::ordered_json::array();
    for (const TokenProbability& p : token.top) top.push_back(item(p.token, p.logprob));
  }
  return list;
}

}  // namespace

Result<Generation> generate(Engine& engine, Request request, const GenerationOptions& options, const ShowText& show) {
  return Generator(engine, options, show).run(std::move(request));
}

bool write_out(const std::string& text) {
  // What a model writes may hold sequences that move the cursor or change the terminal; files and pipes get every byte.
  static const bool terminal = isatty(STDOUT_FILENO) != 0;
  const std::string shown = terminal ? printable(text, NewLines::kKeep) : text;
  return std::fwrite(shown.data(), 1, shown.size(), stdout) == shown.size() && std::fflush(stdout) == 0;
}

void print_summary(const Generation& g, double load_seconds) {
  const RequestTimings& t = g.timings;
  std::fprintf(stderr, "\n[load %.2f s | prompt %lld tokens, %.1f tokens/s | generated %lld tokens, %.1f tokens/s | %s | peak memory %s]\n",
               load_seconds, static_cast<long long>(t.prompt_tokens), prompt_rate(t), static_cast<long long>(t.generated_tokens),
               generation_rate(t), g.finish.c_str(), human_bytes(static_cast<double>(peak_memory_bytes())).c_str());
}

std::string to_json(const Engine& engine, const Generation& g, const std::string& prompt, double load_seconds, bool logprobs) {
  nlohmann::ordered_json out;
  out["prompt"] = prompt;
  out["text"] = g.text;
  out["finish_reason"] = g.finish;
  out["tokens"] = nlohmann::json::array();
  for (const SampledToken& token : g.tokens) out["tokens"].push_back(token.token);
  if (logprobs) out["logprobs"] = logprobs_json(engine, g.tokens);
  const RequestTimings& t = g.timings;
  out["timings"] = {{"load_seconds", load_seconds},
                    {"prompt_tokens", t.prompt_tokens},
                    {"prompt_seconds", t.prompt_seconds},
                    {"prompt_tokens_per_second", prompt_rate(t)},
                    {"generated_tokens", t.generated_tokens},
                    {"generate_seconds", t.generate_seconds},
                    {"generated_tokens_per_second", generation_rate(t)}};
  out["peak_memory_bytes"] = peak_memory_bytes();
  // A piece of a token may be part of a character.
  return json_text(out, 2) + "\n";
}

}  // namespace tessera
