#include <CLI/CLI.hpp>
#include <memory>

#include "cli/bench.h"
#include "cli/common_flags.h"
#include "cli/verb.h"

namespace tessera {
namespace {

// Texts as they stand on the command line; parsed together, so that an error names its option.
struct BenchTexts {
  std::vector<std::string> prompt, generate, pairs, depths, streams, batches, threads, weights, k_types, v_types;
  std::string output = "md", error_output = "none";
  bool json = false;
};

// Repeated options add up: -p 128 -p 256,512.
template <class T, class Parse>
Status collect(const std::vector<std::string>& texts, std::vector<T>* values, const Parse& parse) {
  if (texts.empty()) return {};
  values->clear();
  for (const std::string& text : texts) {
    TESSERA_ASSIGN_OR_RETURN(const std::vector<T> parsed, parse(text));
    values->insert(values->end(), parsed.begin(), parsed.end());
  }
  return {};
}

Status parse_texts(const BenchTexts& texts, BenchOptions* o) {
  constexpr int64_t kMostTokens = 1 << 24;
  const auto numbers = [](const char* option, int64_t low, int64_t high) {
    return [=](const std::string& text) { return parse_numbers(option, text, low, high); };
  };
  TESSERA_RETURN_IF_ERROR(collect(texts.prompt, &o->prompt_tokens, numbers("-p", 0, kMostTokens)));
  TESSERA_RETURN_IF_ERROR(collect(texts.generate, &o->generate_tokens, numbers("-n", 0, kMostTokens)));
  TESSERA_RETURN_IF_ERROR(collect(texts.depths, &o->depths, numbers("-d", 0, kMostTokens)));
  TESSERA_RETURN_IF_ERROR(collect(texts.streams, &o->streams, numbers("-npl", 1, 4096)));
  TESSERA_RETURN_IF_ERROR(collect(texts.batches, &o->batches, numbers("-b", 1, 1 << 20)));
  TESSERA_RETURN_IF_ERROR(collect(texts.threads, &o->threads, numbers("-t", 1, 1024)));
  TESSERA_RETURN_IF_ERROR(
      collect(texts.pairs, &o->prompt_and_generate, [](const std::string& t) { return parse_pairs("-pg", t); }));
  TESSERA_RETURN_IF_ERROR(
      collect(texts.weights, &o->weights, [](const std::string& t) { return parse_weight_choices(t); }));
  TESSERA_RETURN_IF_ERROR(collect(texts.k_types, &o->k_types, [](const std::string& t) { return parse_cache_types("-ctk", t); }));
  TESSERA_RETURN_IF_ERROR(collect(texts.v_types, &o->v_types, [](const std::string& t) { return parse_cache_types("-ctv", t); }));
  TESSERA_ASSIGN_OR_RETURN(o->output, parse_bench_format(texts.json ? "json" : texts.output));
  TESSERA_ASSIGN_OR_RETURN(o->error_output, parse_bench_format(texts.error_output));
  return {};
}

struct CompareArguments {
  std::string a, b, test = "mann-whitney";
  CompareOptions options;
  bool fail_if_slower = false;
};

void add_compare(CLI::App& bench, VerbRunner run) {
  CLI::App* verb = bench.add_subcommand("compare", "Is B faster or slower than A by more than chance?");
  const auto args = std::make_shared<CompareArguments>();
  verb->add_option("a", args->a, "Results of the first run (json or jsonl)")->required();
  verb->add_option("b", args->b, "Results of the second run")->required();
  verb->add_option("--test", args->test, "Significance test")->check(CLI::IsMember({"mann-whitney", "welch"}))->capture_default_str();
  verb->add_option("--alpha", args->options.alpha, "A difference has p below this")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  verb->add_option("--threshold", args->options.threshold, "Ignore ratios closer to 1 than this")->check(CLI::Range(0.0, 1.0));
  verb->add_flag("--fail-if-slower", args->fail_if_slower, "Exit with an error when a test became slower");
  verb->footer("Example:\n  tessera bench compare before.json after.json --fail-if-slower");
  verb->callback([args, run] {
    args->options.test = args->test == "welch" ? SignificanceTest::kWelch : SignificanceTest::kMannWhitney;
    run([&] { return run_bench_compare(args->a, args->b, args->options, args->fail_if_slower); });
  });
}

}  // namespace

void add_bench_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("bench", "Measure tokens per second");
  const auto texts = std::make_shared<BenchTexts>();
  const auto options = std::make_shared<BenchOptions>();
  verb->add_option("-m,--model", options->models, "Model file or folder; repeatable")->delimiter(',');
  verb->add_option("--weights", texts->weights, "Type of the matrices in memory: stored, w8, bf16, f32 (stored; see `tessera run --help`)");
  verb->add_option("-p,--n-prompt", texts->prompt, "Prompt tokens (512); lists and ranges as in 1-32*2 everywhere below");
  verb->add_option("-n,--n-gen", texts->generate, "Generated tokens (128)");
  verb->add_option("--pg", texts->pairs, "Prompt and generation together: 512,128 (also -pg)");
  verb->add_option("-d,--n-depth", texts->depths, "Tokens of context before the test (0)");
  verb->add_option("--npl,--n-parallel", texts->streams, "Sequences generated together (1; also -npl)");
  verb->add_option("-b,--batch-size", texts->batches, "Most tokens of one forward pass (512)");
  verb->add_option("-t,--threads", texts->threads, "Threads (processors this process may use)");
  verb->add_option("--ctk,--cache-type-k", texts->k_types, "f32, f16, bf16, q8_0 (bf16; also -ctk)");
  verb->add_option("--ctv,--cache-type-v", texts->v_types, "f32, f16, bf16, q8_0 (bf16; also -ctv)");
  verb->add_option("-r,--repetitions", options->repetitions, "Samples per test")->check(CLI::Range(1, 10000))->capture_default_str();
  verb->add_option("--delay", options->delay_seconds, "Seconds between tests")->check(CLI::Range(0, 3600));
  verb->add_flag("!--no-warmup", options->warm_up, "Leave out the pass before the first sample");
  const CLI::IsMember formats({"md", "csv", "json", "jsonl", "sql", "none"});
  verb->add_option("-o,--output", texts->output, "Format of the results")->check(formats)->capture_default_str();
  verb->add_option("--oe,--output-err", texts->error_output, "The same to stderr (also -oe)")
      ->check(formats)
      ->capture_default_str();
  verb->add_flag("--json", texts->json, "The same as -o json");
  verb->add_option("--probe", options->probe_path, "File of `tessera probe` for fractions of the limits and predictions");
  verb->add_option("--hardware", options->hardware, "Predict from this description: a name of `tessera plan --list` or a JSON file");
  verb->footer(
      "Examples:\n"
      "  tessera bench -m model.gguf -p 512 -n 128 -d 0,4096\n"
      "  tessera bench -m model.gguf -p 0 -n 32 -npl 1-32*2 -o jsonl\n"
      "  tessera bench compare before.json after.json");
  add_compare(*verb, run);
  verb->require_subcommand(0, 1);
  verb->callback([=] {
    if (!verb->get_subcommands().empty()) return;
    run([&]() -> Status {
      if (options->models.empty()) {
        TESSERA_ASSIGN_OR_RETURN(std::string shipped, default_model_path());
        options->models.push_back(std::move(shipped));
      }
      TESSERA_RETURN_IF_ERROR(parse_texts(*texts, options.get()));
      return run_bench(*options);
    });
  });
}

}  // namespace tessera
