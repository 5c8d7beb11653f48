#include "cli/common_flags.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>

#include "cli/console.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostCount = 1'000'000'000;

constexpr const char* kModelHelp =
    "GGUF file (the first of a split one) or Hugging Face folder; default: the shipped model";

// Types of the key-value cache.
const std::vector<std::string> kCacheTypes = {"f32", "f16", "bf16", "q8_0"};

constexpr const char* kWeightsHelp =
    "Type of the matrices in memory, converted while loading. w8: int8, one scale a row and one a token: the fastest "
    "prompts, 1 byte a weight, between q8_0 and q6_k in exactness. bf16: rounds f16 and f32, for prompts twice as fast "
    "where the processor multiplies bf16. f32: unpacked, exact and slow";

struct NamedChoice {
  const char* name;
  WeightChoice choice;
};
constexpr NamedChoice kWeightChoices[] = {{"stored", WeightChoice::kStored},
                                          {"w8", WeightChoice::kW8},
                                          {"bf16", WeightChoice::kBf16},
                                          {"f32", WeightChoice::kF32}};

std::vector<std::string> weight_choice_names() {
  std::vector<std::string> names;
  for (const NamedChoice& c : kWeightChoices) names.emplace_back(c.name);
  return names;
}

Status apply_override(const std::string& text, Metadata* metadata) {
  const size_t equal = text.find('='), colon = text.find(':', equal == std::string::npos ? 0 : equal);
  if (equal == std::string::npos || colon == std::string::npos) {
    return invalid_argument("--override-kv: expected KEY=TYPE:VALUE, found '{}'", text);
  }
  const std::string key = text.substr(0, equal), type = text.substr(equal + 1, colon - equal - 1),
                    value = text.substr(colon + 1);
  const char* end = value.data() + value.size();
  if (type == "int") {
    int64_t number = 0;
    const auto [at, error] = std::from_chars(value.data(), end, number);
    if (error == std::errc() && at == end) return metadata->set(key, MetadataValue(MetadataScalar(number))), Status();
  } else if (type == "float") {
    double number = 0;
    const auto [at, error] = std::from_chars(value.data(), end, number);
    if (error == std::errc() && at == end) return metadata->set(key, MetadataValue(MetadataScalar(number))), Status();
  } else if (type == "bool" && (value == "true" || value == "false")) {
    return metadata->set(key, MetadataValue(MetadataScalar(value == "true"))), Status();
  } else if (type == "str") {
    return metadata->set(key, value.c_str()), Status();
  }
  return invalid_argument(
      "--override-kv: expected int:N, float:X, bool:true|false or str:TEXT after '{}=', found '{}:{}'", key, type,
      value);
}

// The first .gguf of a folder, by name.
std::string model_in(const fs::path& folder) {
  std::string found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string path = entry.path().string();
    if (entry.path().extension() == ".gguf" && (found.empty() || path < found)) found = path;
  }
  return found;
}

}  // namespace

CLI::Option* add_count(CLI::App& app, const std::string& names, int64_t* value, const std::string& help,
                       int64_t least) {
  const std::map<std::string, int64_t> suffixes = {{"k", 1024}, {"m", 1 << 20}};
  return app.add_option(names, *value, help)
      ->transform(CLI::AsNumberWithUnit(suffixes, CLI::AsNumberWithUnit::CASE_INSENSITIVE, "NUMBER[k|m]"))
      ->check(CLI::Range(least, kMostCount))
      ->capture_default_str();
}

void add_model_flags(CLI::App& app, ModelFlags* flags) {
  app.add_option("-m,--model", flags->model, kModelHelp)->type_name("MODEL")->group("Model");
  add_weights_flag(app, flags);
  add_override_flag(app, flags);
}

void add_weights_flag(CLI::App& app, ModelFlags* flags) {
  app.add_option("--weights", flags->weights, kWeightsHelp)
      ->type_name("TYPE")
      ->check(CLI::IsMember(weight_choice_names(), CLI::ignore_case))
      ->capture_default_str()
      ->group("Model");
}

void add_override_flag(CLI::App& app, ModelFlags* flags) {
  app.add_option("--override-kv", flags->overrides,
                 "Change metadata before loading; TYPE: int, float, bool, str; repeatable")
      ->type_name("KEY=TYPE:VALUE")
      ->group("Model");
}

void add_threads_flag(CLI::App& app, int* threads) {
  app.add_option("-t,--threads", *threads, "Threads; default: the processors this process may use")
      ->check(CLI::Range(1, 1024))
      ->group("Threads");
}

void add_engine_flags(CLI::App& app, EngineFlags* flags) {
  constexpr const char* kHeading = "Context and cache";
  EngineOptions& options = flags->options;
  add_threads_flag(app, &options.threads);
  add_count(app, "-c,--ctx-size", &options.context_tokens, "Context in tokens; 0: as trained, at most 4096")
      ->group(kHeading);
  add_count(app, "-b,--batch-size", &options.batch_tokens, "Most tokens of one forward pass (prefill chunk)", 1)
      ->group(kHeading);
  const auto cache_type = [&](const char* names, std::string* value, const char* help) {
    app.add_option(names, *value, help)
        ->type_name("TYPE")
        ->check(CLI::IsMember(kCacheTypes, CLI::ignore_case))
        ->capture_default_str()
        ->group(kHeading);
  };
  cache_type("--ctk,--cache-type-k", &flags->k_type, "Type of cached keys");
  cache_type("--ctv,--cache-type-v", &flags->v_type, "Type of cached values");
}

Result<std::string> default_model_path() {
  std::error_code error;
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (int up = 0; up < 6 && !folder.empty(); ++up, folder = folder.parent_path()) {
    for (const fs::path& candidate : {folder / "models", folder / "share" / "tessera" / "models"}) {
      if (std::string found = model_in(candidate); !found.empty()) return found;
    }
    if (folder == folder.root_path()) break;
  }
  return not_found("no -m, and no models/*.gguf beside the program");
}

Result<WeightChoice> parse_weights(std::string_view name) {
  const std::string lower = CLI::detail::to_lower(std::string(name));
  for (const NamedChoice& c : kWeightChoices) {
    if (lower == c.name) return c.choice;
  }
  return invalid_argument("--weights {}: expected {}", name, fmt::join(weight_choice_names(), ", "));
}

Result<Checkpoint> open_model(const ModelFlags& flags, const OpenOptions& options) {
  std::string path = flags.model;
  if (path.empty()) {
    TESSERA_ASSIGN_OR_RETURN(path, default_model_path());
  }
  TESSERA_ASSIGN_OR_RETURN(Checkpoint checkpoint, open_checkpoint(path, options));
  for (const std::string& text : flags.overrides) TESSERA_RETURN_IF_ERROR(apply_override(text, &checkpoint.metadata));
  TESSERA_ASSIGN_OR_RETURN(const WeightChoice choice, parse_weights(flags.weights));
  TESSERA_ASSIGN_OR_RETURN(checkpoint.weights, choose_weights(std::move(checkpoint.weights), choice));
  if (flags.unpacked) {
    TESSERA_ASSIGN_OR_RETURN(checkpoint.weights, choose_weights(std::move(checkpoint.weights), WeightChoice::kF32));
  }
  return checkpoint;
}

Result<std::unique_ptr<Engine>> load_engine(const ModelFlags& model, const EngineFlags& flags) {
  EngineOptions options = flags.options;
  options.k_dtype = *dtype_from_name(flags.k_type);  // the parser let only known ones through
  options.v_dtype = *dtype_from_name(flags.v_type);
  TESSERA_ASSIGN_OR_RETURN(Checkpoint checkpoint, open_model(model));
  const std::string path = checkpoint.path;
  ProgressBar bar("loading");
  auto engine = Engine::create(std::move(checkpoint), options,
                               [&](uint64_t done, uint64_t total) { return bar.update(done, total); });
  if (engine.ok() && (*engine)->options().context_tokens > (*engine)->spec().context_tokens) {
    std::fprintf(stderr, "note: the model was trained for %lld tokens of context; beyond them its text gets worse\n",
                 static_cast<long long>((*engine)->spec().context_tokens));
  }
  if (!engine.ok() && engine.status().code() != StatusCode::kCancelled) return engine.status().with_context(path);
  return engine;
}

}  // namespace tessera
