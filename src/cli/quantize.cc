// `tessera quantize` and `tessera convert`: write a model as a GGUF file, in other types or as it is.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <memory>
#include <regex>

#include "cli/common_flags.h"
#include "cli/console.h"
#include "cli/synth_recipe.h"
#include "cli/verb.h"
#include "compress/rewrite.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

struct QuantizeArguments {
  ModelFlags model;
  std::string output, type = "q4_k_m";
  std::vector<std::string> tensor_types;
  int threads = 0;
  bool pure = false, force = false;
};

// What a tensor is, from its GGUF name.
SynthTensor describe(const WeightInfo& info) {
  SynthTensor tensor{info.name, info.shape, TensorRole::kQuery};
  std::string_view name = info.name;
  if (name.starts_with("blk.")) {
    const size_t dot = name.find('.', 4);
    std::from_chars(name.data() + 4, name.data() + std::min(dot, name.size()), tensor.layer);
    name.remove_prefix(std::min(dot, name.size() - 1) + 1);
  }
  if (name.ends_with(".bias")) tensor.role = TensorRole::kBias;
  else if (name.find("norm") != std::string_view::npos) tensor.role = TensorRole::kNorm;
  else if (name == "token_embd.weight") tensor.role = TensorRole::kEmbedding;
  else if (name == "position_embd.weight") tensor.role = TensorRole::kPosition;
  else if (name == "output.weight") tensor.role = TensorRole::kOutput;
  else if (name == "attn_v.weight") tensor.role = TensorRole::kValue;
  else if (name == "attn_qkv.weight") tensor.role = TensorRole::kFusedQkv;
  else if (name == "attn_output.weight") tensor.role = TensorRole::kAttentionOut;
  else if (name == "ffn_down.weight") tensor.role = TensorRole::kDown;
  return tensor;
}

struct TypeRule {
  std::regex pattern;
  DType dtype;
};

Result<std::vector<TypeRule>> parse_rules(const std::vector<std::string>& texts) {
  std::vector<TypeRule> rules;
  for (const std::string& text : texts) {
    const size_t equal = text.rfind('=');
    const auto dtype = equal == std::string::npos ? std::nullopt : dtype_from_name(text.substr(equal + 1));
    if (!dtype) return invalid_argument("--tensor-type: expected PATTERN=TYPE, found '{}'", text);
    try {
      rules.push_back({std::regex(text.substr(0, equal)), *dtype});
    } catch (const std::regex_error& error) {
      return invalid_argument("--tensor-type: '{}' is no regular expression: {}", text.substr(0, equal), error.what());
    }
  }
  return rules;
}

Status refuse_overwrite(const std::string& output, bool force) {
  if (force || ::access(output.c_str(), F_OK) != 0) return {};
  return invalid_argument("{}: the file exists; --force replaces it", output);
}

Status write(const Checkpoint& checkpoint, const std::string& output, const SynthRecipe& recipe, int threads,
             FunctionRef<DType(const WeightInfo&)> type_of) {
  ThreadPool pool(threads);
  RewriteOptions options;
  options.output = output;
  options.file_type = recipe.file_type;
  options.quantized = dtype_info(recipe.base).quantized;
  RewriteSummary summary;
  {
    ProgressBar bar("writing");
    TESSERA_ASSIGN_OR_RETURN(summary, rewrite_checkpoint(checkpoint, options, pool, type_of,
                                                         [&](uint64_t done, uint64_t total, const std::string& name) {
                                                           return bar.update(done, total, name);
                                                         }));
  }
  fmt::print("{}: {} -> {}, {:.2f} bits per weight", output, human_bytes(static_cast<double>(summary.input_bytes)),
             human_bytes(static_cast<double>(summary.output_bytes)),
             8.0 * static_cast<double>(summary.output_bytes) / static_cast<double>(summary.elements));
  if (summary.relative_error > 0) fmt::print(", relative error {:.4f}", summary.relative_error);
  fmt::print("\n");
  return {};
}

Status quantize(const QuantizeArguments& a) {
  TESSERA_RETURN_IF_ERROR(refuse_overwrite(a.output, a.force));
  TESSERA_ASSIGN_OR_RETURN(const SynthRecipe recipe, find_recipe(a.type));
  TESSERA_ASSIGN_OR_RETURN(const auto rules, parse_rules(a.tensor_types));
  TESSERA_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_model(a.model));
  TESSERA_ASSIGN_OR_RETURN(const ModelSpec spec, model_spec(checkpoint.metadata, *checkpoint.weights));
  SynthShape shape;
  shape.layers = static_cast<int64_t>(spec.layers.size());
  shape.heads = spec.layers.front().attention.heads;
  shape.kv_heads = spec.layers.front().attention.kv_heads;
  shape.tied_embeddings = spec.tied_embeddings;
  int64_t fallbacks = 0;
  const auto type_of = [&](const WeightInfo& info) {
    for (const TypeRule& rule : rules) {
      if (std::regex_search(info.name, rule.pattern)) return rule.dtype;
    }
    const SynthTensor tensor = describe(info);
    // Vectors, norms and biases keep their accuracy; what is no weight stays as it is.
    if (block_format(info.dtype) == nullptr) return info.dtype;
    DType type = recipe_dtype(recipe, shape, tensor);
    if (a.pure && info.shape.rank() >= 2 && info.shape.cols() % dtype_info(recipe.base).block_elements == 0) type = recipe.base;
    fallbacks += info.shape.rank() >= 2 && info.shape.cols() % dtype_info(recipe.base).block_elements != 0;
    return type;
  };
  TESSERA_RETURN_IF_ERROR(write(checkpoint, a.output, recipe, a.threads, type_of));
  if (fallbacks > 0) {
    fmt::print(stderr, "note: {} tensors have rows that are no multiple of {} numbers and got another type (`tessera inspect --tensors`)\n",
               fallbacks, dtype_info(recipe.base).block_elements);
  }
  return {};
}

Status convert(QuantizeArguments& a) {
  TESSERA_RETURN_IF_ERROR(refuse_overwrite(a.output, a.force));
  TESSERA_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_model(a.model));
  // As stored: the type that most matrices have.
  if (a.type == "auto") {
    a.type = "f32";
    for (const WeightInfo& info : checkpoint.weights->weights()) {
      if (info.shape.rank() >= 2) a.type = std::string(to_string(info.dtype));
    }
    if (a.type == "f8_e4m3") a.type = "bf16";  // exact
  }
  TESSERA_ASSIGN_OR_RETURN(const SynthRecipe recipe, find_recipe(a.type));
  const auto type_of = [&](const WeightInfo& info) {
    if (block_format(info.dtype) == nullptr) return info.dtype;
    return info.shape.rank() < 2 || info.name == "position_embd.weight" ? DType::kF32 : recipe.base;
  };
  return write(checkpoint, a.output, recipe, a.threads, type_of);
}

}  // namespace

void add_quantize_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("quantize", "Write a model with smaller weights");
  const auto a = std::make_shared<QuantizeArguments>();
  add_model_flags(*verb, &a->model);
  verb->add_option("-o,--output", a->output, "GGUF file to write")->required();
  verb->add_option("--type", a->type, "q8_0, q6_k, q5_k_m, q5_k_s, q5_1, q5_0, q4_k_m, q4_k_s, q4_1, q4_0, iq4_nl, iq4_xs, mxfp4,\n"
                                      "q3_k_l, q3_k_m, q3_k_s, q2_k, bf16, f16, f32")->capture_default_str();
  verb->add_flag("--pure", a->pure, "Every matrix in the type itself, no mix");
  verb->add_option("--tensor-type", a->tensor_types, "PATTERN=TYPE for tensors whose name matches; repeatable, the first match counts");
  verb->add_flag("--force", a->force, "Replace the output when it exists");
  verb->add_option("-t,--threads", a->threads, "Threads; default: the processors this process may use")->check(CLI::Range(1, 1024));
  verb->footer("The _m, _s and _l types are mixes: the output matrix, the values and parts of the feed-forward layers get more bits.\n"
               "The file appears under its name when it is complete; Ctrl-C leaves nothing.\n\n"
               "Example:\n  tessera quantize -m model-f16.gguf -o model-q4_k_m.gguf --type q4_k_m");
  verb->callback([a, run] { run([&] { return quantize(*a); }); });
}

void add_convert_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("convert", "Write a Hugging Face folder as one GGUF file");
  const auto a = std::make_shared<QuantizeArguments>();
  a->type = "auto";
  add_model_flags(*verb, &a->model);
  verb->add_option("-o,--output", a->output, "GGUF file to write")->required();
  verb->add_option("--outtype", a->type, "f32, f16, bf16, q8_0; auto: as stored")->check(CLI::IsMember({"auto", "f32", "f16", "bf16", "q8_0"}))->capture_default_str();
  verb->add_flag("--force", a->force, "Replace the output when it exists");
  verb->add_option("-t,--threads", a->threads, "Threads")->check(CLI::Range(1, 1024));
  verb->footer("Example:\n  tessera convert -m folder -o model.gguf --outtype bf16");
  verb->callback([a, run] { run([&] { return convert(*a); }); });
}

}  // namespace tessera
