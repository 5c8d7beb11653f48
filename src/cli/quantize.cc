// `tessera quantize` and `tessera convert`: write a model as a GGUF file, in other types or as it is.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <regex>

#include "cli/common_flags.h"
#include "cli/console.h"
#include "cli/verb.h"
#include "compress/rewrite.h"
#include "compress/weight_recipe.h"
#include "formats/text.h"
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

// The output replaces a file of its name, but not unasked, and never what is read.
Status refuse_overwrite(const QuantizeArguments& a) {
  namespace fs = std::filesystem;
  std::error_code error;  // what cannot be looked at is found out by writing
  if (!fs::exists(a.output, error)) return {};
  std::string input = a.model.model;
  if (input.empty()) {
    TESSERA_ASSIGN_OR_RETURN(input, default_model_path());
  }
  if (fs::equivalent(input, a.output, error)) return invalid_argument("{}: the output is the input", a.output);
  if (!a.force) return invalid_argument("{}: the file exists; --force replaces it", a.output);
  return {};
}

Status write(const Checkpoint& checkpoint, const RewriteOptions& options, int threads,
             FunctionRef<DType(const WeightInfo&)> type_of) {
  ThreadPool pool(threads);
  RewriteSummary summary;
  {
    ProgressBar bar("writing");
    TESSERA_ASSIGN_OR_RETURN(summary, rewrite_checkpoint(checkpoint, options, pool, type_of,
                                                         [&](uint64_t done, uint64_t total, const std::string& name) {
                                                           return bar.update(done, total, name);
                                                         }));
  }
  fmt::print("{}: {} -> {}, {:.2f} bits per weight", printable(options.output), human_bytes(static_cast<double>(summary.input_bytes)),
             human_bytes(static_cast<double>(summary.output_bytes)),
             8.0 * static_cast<double>(summary.output_bytes) / static_cast<double>(summary.elements));
  if (summary.relative_error > 0) fmt::print(", relative error {:.4f}", summary.relative_error);
  fmt::print("\n");
  return {};
}

Status quantize(const QuantizeArguments& a) {
  // llama-quantize also takes IN TYPE; here the type would become a file.
  if (find_recipe(a.output).ok())
    return invalid_argument("-o: expected a file, found the type {}; the order is IN OUT TYPE", a.output);
  TESSERA_RETURN_IF_ERROR(refuse_overwrite(a));
  TESSERA_ASSIGN_OR_RETURN(const WeightRecipe recipe, find_recipe(a.type));
  TESSERA_ASSIGN_OR_RETURN(const auto rules, parse_rules(a.tensor_types));
  TESSERA_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_model(a.model));
  TESSERA_ASSIGN_OR_RETURN(const ModelSpec spec, model_spec(checkpoint.metadata, *checkpoint.weights));
  const DenseAttentionSettings& attention = spec.layers.front().attention;
  const MixModel mix{static_cast<int64_t>(spec.layers.size()), attention.heads, attention.kv_heads,
                     spec.tied_embeddings};
  const int64_t block = dtype_info(recipe.base).block_elements;
  int64_t fallbacks = 0;
  const auto type_of = [&](const WeightInfo& info) {
    for (const TypeRule& rule : rules) {
      if (std::regex_search(info.name, rule.pattern)) return rule.dtype;
    }
    if (block_format(info.dtype) == nullptr) return info.dtype;  // no weight: stays as it is
    const bool matrix = info.shape.rank() >= 2, fits = matrix && info.shape.cols() % block == 0;
    fallbacks += matrix && !fits;
    if (a.pure && fits) return recipe.base;
    return recipe_dtype(recipe, mix, place_of(info.name), info.shape);
  };
  const RewriteOptions options{a.output, recipe.file_type, dtype_info(recipe.base).quantized};
  TESSERA_RETURN_IF_ERROR(write(checkpoint, options, a.threads, type_of));
  if (fallbacks > 0) {
    fmt::print(stderr,
               "note: {} tensors have rows that are no multiple of {} numbers and got another type (`tessera inspect "
               "--tensors`)\n",
               fallbacks, block);
  }
  return {};
}

// GGUF has no 8-bit floats; bf16 holds each of them exactly.
DType as_stored(DType dtype) { return dtype == DType::kF8E4M3 ? DType::kBF16 : dtype; }

// general.file_type of a checkpoint that does not say: that of the type of most matrices, where one stands for it.
uint64_t common_file_type(const WeightSource& weights) {
  std::map<DType, int64_t> count;
  for (const WeightInfo& info : weights.weights()) count[as_stored(info.dtype)] += info.shape.rank() >= 2 ? 1 : 0;
  if (count.empty()) return 0;
  const auto most = std::ranges::max_element(count, {}, [](const auto& entry) { return entry.second; });
  const auto recipe = find_recipe(to_string(most->first));
  return recipe.ok() ? recipe->file_type : 0;
}

// Such a file takes token ids only: `run` and `eval` refuse it.
void note_missing_tokenizer(const Metadata& metadata) {
  if (metadata.contains("tokenizer.ggml.model")) return;
  const auto problem = metadata.text("tokenizer.tessera.problem");
  fmt::print(stderr, "note: the file has no tokenizer: {}\n",
             problem.ok() ? printable(*problem) : "expected tokenizer.json or tokenizer.model beside the weights, found neither");
}

Status convert(const QuantizeArguments& a) {
  TESSERA_RETURN_IF_ERROR(refuse_overwrite(a));
  TESSERA_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_model(a.model));
  std::optional<DType> wanted;
  RewriteOptions options{.output = a.output};
  if (a.type != "auto") {
    TESSERA_ASSIGN_OR_RETURN(const WeightRecipe recipe, find_recipe(a.type));
    wanted = recipe.base;
    options.file_type = recipe.file_type;
  } else if (checkpoint.metadata.contains("general.file_type")) {
    TESSERA_ASSIGN_OR_RETURN(options.file_type, checkpoint.metadata.u64("general.file_type"));
  } else {
    options.file_type = common_file_type(*checkpoint.weights);
  }
  const auto type_of = [&](const WeightInfo& info) {
    if (block_format(info.dtype) == nullptr) return info.dtype;
    if (info.shape.rank() < 2 || info.name == "position_embd.weight") return DType::kF32;
    return wanted.value_or(as_stored(info.dtype));
  };
  for (const WeightInfo& info : checkpoint.weights->weights()) options.quantized |= dtype_info(type_of(info)).quantized;
  TESSERA_RETURN_IF_ERROR(write(checkpoint, options, a.threads, type_of));
  note_missing_tokenizer(checkpoint.metadata);
  return {};
}

}  // namespace

void add_quantize_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("quantize", "Write a model with smaller weights");
  const auto a = std::make_shared<QuantizeArguments>();
  verb->add_option("in,-m,--model", a->model.model,
                   "GGUF file (the first of a split one) or Hugging Face folder; default: the shipped model")
      ->type_name("MODEL")
      ->group("Model");
  add_override_flag(*verb, &a->model);
  verb->add_option("out,-o,--output", a->output, "GGUF file to write")->required()->type_name("FILE")->group("Output");
  verb->add_option("type,--type", a->type, "Weight type or mix, in any case")
      ->type_name("TYPE")
      ->check(CLI::IsMember(recipe_names(), CLI::ignore_case))
      ->capture_default_str()
      ->group("Output");
  verb->add_flag("--pure", a->pure, "Every matrix in the type itself, no mix")->group("Output");
  verb->add_option("--tensor-type", a->tensor_types,
                   "Type of the tensors whose name matches a regular expression; repeatable, the first match counts")
      ->type_name("PATTERN=TYPE")
      ->group("Output");
  verb->add_flag("--force", a->force, "Replace the output when it exists")->group("Output");
  add_threads_flag(*verb, &a->threads);
  verb->footer(
      "The _m, _s and _l types are mixes: the output matrix, the values and parts of the feed-forward layers get more "
      "bits.\n"
      "The file appears under its name when it is complete; Ctrl-C leaves nothing.\n\n"
      "Examples:\n"
      "  tessera quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M\n"
      "  tessera quantize -m folder -o model.gguf --type q8_0\n"
      "  tessera quantize model.gguf small.gguf q4_0 --tensor-type 'ffn_down=q8_0'");
  verb->callback([a, run] { run([&] { return quantize(*a); }); });
}

void add_convert_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("convert", "Write a Hugging Face folder as one GGUF file");
  const auto a = std::make_shared<QuantizeArguments>();
  a->type = "auto";
  verb->add_option("in,-m,--model", a->model.model, "Hugging Face folder, or a GGUF file to join or to change in type")
      ->required()
      ->type_name("MODEL")
      ->group("Model");
  add_override_flag(*verb, &a->model);
  verb->add_option("out,-o,--output,--outfile", a->output, "GGUF file to write")
      ->required()
      ->type_name("FILE")
      ->group("Output");
  verb->add_option("--outtype", a->type, "Type of the matrices; auto: as stored")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"auto", "f32", "f16", "bf16", "q8_0"}, CLI::ignore_case))
      ->capture_default_str()
      ->group("Output");
  verb->add_flag("--force", a->force, "Replace the output when it exists")->group("Output");
  add_threads_flag(*verb, &a->threads);
  verb->footer(
      "Examples:\n"
      "  tessera convert folder model.gguf\n"
      "  tessera convert -m folder -o model.gguf --outtype bf16");
  verb->callback([a, run] { run([&] { return convert(*a); }); });
}

}  // namespace tessera
