#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "cli/common_flags.h"
#include "cli/console.h"
#include "cli/synth.h"
#include "cli/verb.h"
#include "formats/text.h"

namespace tessera {
namespace {

struct SynthArguments {
  std::string like, type = "q4_0", output, architecture;
  std::optional<int64_t> layers, dim, heads, kv_heads, head_dim, ff, vocab, context;
  uint64_t seed = 1;
  int threads = 0;
  bool list = false;
};

Result<SynthShape> shape_of(const SynthArguments& a) {
  SynthShape shape;
  if (!a.like.empty()) {
    TESSERA_ASSIGN_OR_RETURN(shape, find_shape(a.like));
  } else {
    shape.name = "custom";
    shape.context_tokens = 4096;
    shape.vocab = 32000;
  }
  const auto set = [](const std::optional<int64_t>& value, int64_t* field) {
    if (value) *field = *value;
  };
  set(a.layers, &shape.layers);
  set(a.dim, &shape.model_dim);
  set(a.heads, &shape.heads);
  set(a.ff, &shape.ff_dim);
  set(a.vocab, &shape.vocab);
  set(a.context, &shape.context_tokens);
  set(a.kv_heads, &shape.kv_heads);
  set(a.head_dim, &shape.head_dim);
  // What follows from the others when it is not given.
  if (!a.kv_heads && (shape.kv_heads == 0 || (a.heads && shape.heads % shape.kv_heads != 0)))
    shape.kv_heads = shape.heads;
  if (!a.head_dim && shape.heads > 0 && (shape.head_dim == 0 || a.heads || a.dim))
    shape.head_dim = shape.model_dim / shape.heads;
  return shape;
}

Status run_synth(const SynthArguments& a) {
  if (a.list) {
    for (const SynthShape& s : known_shapes()) {
      fmt::print("{:<16} {:<6} layers {:>3}  dim {:>5}  heads {:>2}/{:<2} x {:<3}  ff {:>5}  vocab {:>6}\n", s.name,
                 s.architecture, s.layers, s.model_dim, s.heads, s.kv_heads, s.head_dim, s.ff_dim, s.vocab);
    }
    return {};
  }
  if (a.output.empty()) return invalid_argument("-o: expected the file to write");
  SynthOptions options;
  TESSERA_ASSIGN_OR_RETURN(options.shape, shape_of(a));
  TESSERA_ASSIGN_OR_RETURN(options.recipe, find_recipe(a.type));
  options.output = a.output;
  options.seed = a.seed;
  options.threads = a.threads;
  Result<SynthResult> result = SynthResult();
  {
    ProgressBar bar("writing");
    result = synthesize(options, [&](uint64_t done, uint64_t total) { return bar.update(done, total); });
  }
  if (!result.ok()) return result.status();
  fmt::print("{}: {} parameters, {} bytes of weights\n", printable(a.output), result->parameters, result->tensor_bytes);
  return {};
}

}  // namespace

void add_synth_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("synth", "Write a model of a known shape with random weights, to measure with");
  const auto args = std::make_shared<SynthArguments>();
  std::vector<std::string> shapes;
  for (const SynthShape& shape : known_shapes()) shapes.push_back(shape.name);
  CLI::App* shape = verb->add_option_group("Shape");
  shape->add_option("--like", args->like, "Shape to imitate; the flags below change it")
      ->type_name("NAME")
      ->check(CLI::IsMember(shapes, CLI::ignore_case));
  shape->add_option("--layers", args->layers, "Number of layers");
  shape->add_option("--dim", args->dim, "Model dimension");
  shape->add_option("--heads", args->heads, "Attention heads");
  shape->add_option("--kv-heads", args->kv_heads, "Key and value heads");
  shape->add_option("--head-dim", args->head_dim, "Dimension of a head");
  shape->add_option("--ff", args->ff, "Inner dimension of the feed-forward layer");
  shape->add_option("--vocab", args->vocab, "Size of the vocabulary");
  shape->add_option("--context", args->context, "Trained context in tokens");
  shape->add_flag("--list", args->list, "List the known shapes");
  CLI::App* output = verb->add_option_group("Output");
  output->add_option("-o,--output", args->output, "GGUF file to write")->type_name("FILE");
  output->add_option("--type", args->type, "Weight type or mix, in any case")
      ->type_name("TYPE")
      ->check(CLI::IsMember(recipe_names(), CLI::ignore_case))
      ->capture_default_str();
  output->add_option("--seed", args->seed, "Same seed, same file")->capture_default_str();
  add_threads_flag(*verb, &args->threads);
  verb->footer(
      "Other engines read these files too: speed and memory of a shape without downloading it.\n\n"
      "Examples:\n"
      "  tessera synth --like tinyllama-1.1b --type q4_k_m -o tiny.gguf\n"
      "  tessera synth --like llama-3.2-1b --layers 4 -o short.gguf\n"
      "  tessera synth --list");
  verb->callback([=] { run([&] { return run_synth(*args); }); });
}

}  // namespace tessera
