// `tessera eval perplexity` and `tessera eval kl`: how well a model predicts a text, how far one model is from another.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common_flags.h"
#include "cli/console.h"
#include "cli/verb.h"
#include "runtime/evaluate.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

struct EvalArguments {
  ModelFlags model, reference;
  EngineFlags engine;
  std::string file;
  int64_t stride = 0, documents = 0;
  bool json = false;
};

// The texts to score, each alone: the file as one, or the strings of a JSON array.
Result<std::vector<std::string>> read_documents(const EvalArguments& a) {
  TESSERA_ASSIGN_OR_RETURN(std::string text, read_text_file(a.file));
  if (!a.file.ends_with(".json")) return std::vector<std::string>{std::move(text)};
  const auto list = nlohmann::json::parse(text, nullptr, false);
  if (!list.is_array()) return invalid_argument("{}: expected a JSON array of strings", a.file);
  std::vector<std::string> documents;
  for (const auto& item : list) {
    if (!item.is_string()) return invalid_argument("{}: expected strings, found {}", a.file, item.type_name());
    if (a.documents > 0 && static_cast<int64_t>(documents.size()) == a.documents) break;
    documents.push_back(item.get<std::string>());
  }
  return documents;
}

// Token ids of a document. A JSON document is cut at the context, as a text that begins anew; a file is slid over.
std::vector<int32_t> encode_document(const Engine& engine, const std::string& text, bool alone, int64_t context) {
  std::vector<int32_t> ids = engine.tokenizer().encode(text, {});
  if (engine.tokenizer().adds_eos() && !ids.empty()) ids.pop_back();
  if (alone && static_cast<int64_t>(ids.size()) > context) ids.resize(static_cast<size_t>(context));
  return ids;
}

class Score {
 public:
  void add(double nll) {
    ++tokens_;
    sum_ += nll;
    squares_ += nll * nll;
  }
  int64_t tokens() const { return tokens_; }
  double sum() const { return sum_; }
  double mean() const { return tokens_ > 0 ? sum_ / static_cast<double>(tokens_) : 0; }
  double standard_error() const {
    if (tokens_ < 2) return 0;
    const double n = static_cast<double>(tokens_);
    return std::sqrt(std::max(0.0, squares_ / n - mean() * mean()) / (n - 1));
  }

 private:
  int64_t tokens_ = 0;
  double sum_ = 0, squares_ = 0;
};

Result<ScoreWindow> window_of(const Engine& engine, const EvalArguments& a) {
  ScoreWindow window;
  window.context_tokens = engine.options().context_tokens;
  window.first_token = engine.tokenizer().adds_bos() ? engine.tokenizer().bos_id() : -1;
  window.stride_tokens = a.stride > 0 ? a.stride : std::max<int64_t>(1, window.context_tokens / 2);
  return window;
}

Status perplexity(const EvalArguments& a) {
  TESSERA_ASSIGN_OR_RETURN(const auto documents, read_documents(a));
  TESSERA_ASSIGN_OR_RETURN(const auto engine, load_engine(a.model, a.engine));
  if (!engine->has_tokenizer()) return unsupported("the model has no tokenizer (tokenizer.ggml.model)");
  TESSERA_ASSIGN_OR_RETURN(const ScoreWindow window, window_of(*engine, a));
  const bool alone = a.file.ends_with(".json");
  std::vector<std::vector<int32_t>> ids;
  uint64_t total = 0, bytes = 0;
  for (const std::string& document : documents) {
    ids.push_back(encode_document(*engine, document, alone, window.context_tokens));
    total += ids.back().size();
    bytes += document.size();
  }
  Score score;
  const auto begin = Clock::now();
  {
    ProgressBar bar("scoring");
    for (const auto& tokens : ids) {
      TESSERA_RETURN_IF_ERROR(score_tokens(*engine, tokens, window, [&](int64_t i, std::span<const float> logits) {
        score.add(-log_probability(logits, tokens[static_cast<size_t>(i)]));
        return bar.update(static_cast<uint64_t>(score.tokens()), total,
                          fmt::format("perplexity {:.4f}", std::exp(score.mean())));
      }));
    }
  }
  if (score.tokens() == 0) return invalid_argument("{}: expected at least two tokens of text", a.file);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double ppl = std::exp(score.mean());
  // Documents that were cut do not give bits per byte.
  const double bits_per_byte = score.sum() / std::log(2.0) / static_cast<double>(bytes);
  if (a.json) {
    nlohmann::ordered_json out = {{"tokens", score.tokens()},
                                  {"bytes", bytes},
                                  {"nll_per_token", score.mean()},
                                  {"nll_standard_error", score.standard_error()},
                                  {"perplexity", ppl},
                                  {"context_tokens", window.context_tokens},
                                  {"stride_tokens", window.stride_tokens},
                                  {"seconds", seconds}};
    if (!alone) out["bits_per_byte"] = bits_per_byte;
    fmt::print("{}\n", out.dump(2));
    return {};
  }
  fmt::print("tokens           {} (context {}, stride {})\n", score.tokens(), window.context_tokens,
             window.stride_tokens);
  fmt::print("nats per token   {:.5f} +- {:.5f}\n", score.mean(), score.standard_error());
  fmt::print("perplexity       {:.5f} +- {:.5f}\n", ppl, ppl * score.standard_error());
  if (!alone) fmt::print("bits per byte    {:.4f}\n", bits_per_byte);
  fmt::print("tokens/s         {:.0f}\n", static_cast<double>(score.tokens()) / seconds);
  return {};
}

Status compare_models(const EvalArguments& a) {
  TESSERA_ASSIGN_OR_RETURN(const auto documents, read_documents(a));
  TESSERA_ASSIGN_OR_RETURN(const auto engine, load_engine(a.model, a.engine));
  ModelFlags twin = a.model;
  twin.unpacked = true;
  TESSERA_ASSIGN_OR_RETURN(const auto reference, load_engine(a.reference.model.empty() ? twin : a.reference, a.engine));
  if (!engine->has_tokenizer()) return unsupported("the model has no tokenizer (tokenizer.ggml.model)");
  if (engine->spec().vocab != reference->spec().vocab) {
    return invalid_argument("--reference: expected the vocabulary of the model ({} tokens), found {}",
                            engine->spec().vocab, reference->spec().vocab);
  }
  TESSERA_ASSIGN_OR_RETURN(const ScoreWindow window, window_of(*engine, a));
  Score kl, nll, reference_nll, above;  // above: nll less reference_nll, token by token
  int64_t agree = 0;
  ProgressBar bar("comparing");
  for (const std::string& document : documents) {
    const auto ids = encode_document(*engine, document, a.file.ends_with(".json"), window.context_tokens);
    // Both models pass by passage, so that only one window of logits is in memory.
    for (size_t at = 0; at + 1 < ids.size(); at += static_cast<size_t>(window.stride_tokens)) {
      const auto part =
          std::span(ids).subspan(at, std::min(ids.size() - at, static_cast<size_t>(window.stride_tokens) + 1));
      std::vector<std::vector<float>> expected;
      const ScoreWindow whole{window.context_tokens, window.context_tokens - 1, -1};
      TESSERA_RETURN_IF_ERROR(score_tokens(*reference, part, whole, [&](int64_t, std::span<const float> logits) {
        expected.emplace_back(logits.begin(), logits.end());
        return !interrupted();
      }));
      TESSERA_RETURN_IF_ERROR(score_tokens(*engine, part, whole, [&](int64_t i, std::span<const float> logits) {
        const auto& p = expected[static_cast<size_t>(i - 1)];
        kl.add(kl_divergence(p, logits));
        const double loss = -log_probability(logits, part[static_cast<size_t>(i)]);
        const double reference_loss = -log_probability(p, part[static_cast<size_t>(i)]);
        nll.add(loss);
        reference_nll.add(reference_loss);
        above.add(loss - reference_loss);
        agree += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(logits) - logits.begin();
        return bar.update(at, ids.size());
      }));
    }
  }
  if (kl.tokens() == 0) return invalid_argument("{}: expected at least two tokens of text", a.file);
  const double top1 = static_cast<double>(agree) / static_cast<double>(kl.tokens());
  if (a.json) {
    const nlohmann::ordered_json out = {
        {"tokens", kl.tokens()},  {"kl_mean", kl.mean()},        {"kl_standard_error", kl.standard_error()},
        {"top1_agreement", top1}, {"nll_per_token", nll.mean()}, {"reference_nll_per_token", reference_nll.mean()},
        {"nll_difference", above.mean()}, {"nll_difference_standard_error", above.standard_error()}};
    fmt::print("{}\n", out.dump(2));
    return {};
  }
  fmt::print("tokens           {}\n", kl.tokens());
  fmt::print("KL divergence    {:.6f} +- {:.6f} nats per token\n", kl.mean(), kl.standard_error());
  fmt::print("same best token  {:.2f} %\n", 100 * top1);
  fmt::print("nats per token   {:.5f}, reference {:.5f}: {:+.5f} +- {:.5f}\n", nll.mean(), reference_nll.mean(),
             above.mean(), above.standard_error());
  return {};
}

void add_shared(CLI::App& verb, EvalArguments* a) {
  add_model_flags(verb, &a->model);
  CLI::App* text = verb.add_option_group("Text");
  text->add_option("-f,--file", a->file,
                   "Text to score; a .json file is an array of texts, each scored alone; -: standard input")
      ->required()
      ->type_name("FILE");
  add_count(*text, "--stride", &a->stride, "Tokens from one window to the next; 0: half the context");
  add_count(*text, "--documents", &a->documents, "Most texts of a JSON array; 0: all");
  add_engine_flags(verb, &a->engine);
  verb.add_flag("--json", a->json, "Print JSON")->group("Output");
}

}  // namespace

void add_eval_verb(CLI::App& app, VerbRunner run) {
  CLI::App* eval = app.add_subcommand("eval", "Measure how well a model predicts a text");
  eval->require_subcommand(1);
  eval->footer(
      "Examples:\n"
      "  tessera eval perplexity -m model.gguf -f book.txt\n"
      "  tessera eval kl -m model-q4_k_m.gguf --reference model-f16.gguf -f book.txt");
  const auto a = std::make_shared<EvalArguments>();
  CLI::App* ppl = eval->add_subcommand("perplexity", "Nats per token, perplexity and bits per byte of a text");
  add_shared(*ppl, a.get());
  ppl->footer(
      "Windows of -c tokens begin every --stride tokens; each token is scored once, in the first window that "
      "reaches it, so it has at least (context - stride) tokens before it.\n\n"
      "Example:\n  tessera eval perplexity -m model.gguf -f book.txt -c 2048");
  ppl->callback([a, run] { run([&] { return perplexity(*a); }); });

  const auto b = std::make_shared<EvalArguments>();
  CLI::App* kl = eval->add_subcommand("kl", "Distance of a model's predictions from a reference model's");
  add_shared(*kl, b.get());
  kl->add_option("--reference", b->reference.model,
                 "The model to compare with; default: the same weights unpacked to f32, which shows what the arithmetic costs")
      ->type_name("MODEL")
      ->group("Model");
  kl->footer(
      "Kullback-Leibler divergence of the model's next-token probabilities from the reference's, and how often both "
      "find the same token likeliest: what a quantization costs.\n\n"
      "Examples:\n"
      "  tessera eval kl -m model-q4_k_m.gguf --reference model-f16.gguf -f book.txt -c 512\n"
      "  tessera eval kl -m model-f16.gguf --weights w8 --reference model-f16.gguf -f book.txt");
  kl->callback([b, run] { run([&] { return compare_models(*b); }); });
}

}  // namespace tessera
