// `tessera inspect`: what a model file holds and what it will take, from its header alone.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common_flags.h"
#include "cli/console.h"
#include "cli/verb.h"
#include "formats/text.h"
#include "kernels/kernels.h"

namespace tessera {
namespace {

struct InspectArguments {
  ModelFlags model;
  EngineFlags engine;
  bool kernels = false, json = false, tensors = false, metadata = false;
};

// Memory of an engine before anything is loaded.
struct MemoryEstimate {
  double weights = 0;  // packed, and the embedding table, whose rows are read from the file's pages
  double state = 0;
  double total() const { return weights + state; }
};

MemoryEstimate estimate(const Checkpoint& checkpoint, const ModelSpec& spec, int64_t context_tokens) {
  MemoryEstimate memory;
  for (const WeightInfo& info : checkpoint.weights->weights()) memory.weights += static_cast<double>(info.bytes);
  const int64_t pages = (context_tokens + kPageTokens - 1) / kPageTokens;
  for (const LayerSpec& layer : spec.layers) {
    memory.state += static_cast<double>(dense_attention_state(layer.attention).page_bytes) * static_cast<double>(pages);
  }
  return memory;
}

struct TypeTotal {
  int64_t tensors = 0, elements = 0;
  uint64_t bytes = 0;
};

std::map<std::string, TypeTotal> totals_by_type(const WeightSource& weights) {
  std::map<std::string, TypeTotal> totals;
  for (const WeightInfo& info : weights.weights()) {
    TypeTotal& t = totals[std::string(to_string(info.dtype))];
    ++t.tensors;
    t.elements += info.shape.elements();
    t.bytes += info.bytes;
  }
  return totals;
}

void print_spec(const ModelSpec& s, const WeightSource& weights) {
  const DenseAttentionSettings& a = s.layers.front().attention;
  uint64_t bytes = 0;
  for (const WeightInfo& info : weights.weights()) bytes += info.bytes;
  const double parameters = static_cast<double>(s.parameters(weights));
  fmt::print("architecture     {}{}{}\n", quotable(s.architecture), s.name.empty() ? "" : ", ",
             s.name.empty() ? "" : quotable(s.name));
  fmt::print("parameters       {:.4g} million, {:.2f} bits each\n", parameters * 1e-6,
             8 * static_cast<double>(bytes) / parameters);
  fmt::print("layers           {}\n", s.layers.size());
  fmt::print("model_dim        {}\n", s.model_dim);
  fmt::print("heads            {} query, {} key/value, head_dim {}{}\n", a.heads, a.kv_heads, a.head_dim,
             a.window > 0 ? fmt::format(", window {}", a.window) : "");
  fmt::print("ff_dim           {}{}\n", s.layers.front().ffn.ff_dim, s.layers.front().ffn.gated ? ", gated" : "");
  fmt::print("vocab            {}{}\n", s.vocab, s.tied_embeddings ? ", embeddings tied" : "");
  fmt::print("trained context  {} tokens\n", s.context_tokens);
}

void print_metadata(const Metadata& metadata) {
  fmt::print("\nmetadata ({} keys)\n", metadata.size());
  for (const auto& [key, value] : metadata) {
    std::string text = describe_value(value);
    std::ranges::replace(text, '\n', ' ');
    if (text.size() > 100) text = text.substr(0, 97) + "...";
    fmt::print("  {:<44} {:<22} {}\n", quotable(key), describe_type(value), quotable(text, 200));
  }
}

void print_tensors(const WeightSource& weights) {
  fmt::print("\ntensors ({})\n", weights.weights().size());
  for (const WeightInfo& info : weights.weights()) {
    fmt::print("  {:<32} {:<8} {:<18} {:>12}\n", quotable(info.name), to_string(info.dtype), info.shape.to_string(),
               human_bytes(static_cast<double>(info.bytes)));
  }
}

using Json = nlohmann::ordered_json;

template <class T>
Json json_scalar(const T& value) {
  // The shortest number that means the same f32: 1e-05, not 9.99999974737875e-06.
  if constexpr (std::is_same_v<T, float>) return std::strtod(fmt::format("{}", value).c_str(), nullptr);
  return value;
}

// {"type": "u32", "value": 2048}; of an array at most `most` items, and then "cut": true.
Json json_metadata(const MetadataValue& value, size_t most) {
  Json out = {{"type", describe_type(value)}, {"value", nullptr}};
  if (const auto* scalar = std::get_if<MetadataScalar>(&value)) {
    out["value"] = std::visit([](const auto& v) { return json_scalar(v); }, *scalar);
    return out;
  }
  const auto add_items = [&](const auto& items) {
    using T = typename std::decay_t<decltype(items)>::value_type;
    out["value"] = Json::array();
    for (size_t i = 0; i < std::min(items.size(), most); ++i) out["value"].push_back(json_scalar<T>(items[i]));
    if (items.size() > most) out["cut"] = true;
  };
  std::visit(add_items, std::get<MetadataArray>(value));
  return out;
}

std::string checkpoint_json(const Checkpoint& checkpoint, const ModelSpec* spec, const MemoryEstimate& memory,
                      int64_t context, size_t most_items) {
  Json out;
  out["path"] = checkpoint.path;
  out["format"] = checkpoint.format;
  out["missing_bytes"] = checkpoint.missing_bytes;
  for (const auto& [key, value] : checkpoint.metadata) out["metadata"][key] = json_metadata(value, most_items);
  for (const WeightInfo& info : checkpoint.weights->weights()) {
    Json shape = Json::array();
    for (int d = 0; d < info.shape.rank(); ++d) shape.push_back(info.shape[d]);
    out["tensors"].push_back(
        {{"name", info.name}, {"type", to_string(info.dtype)}, {"shape", shape}, {"bytes", info.bytes}});
  }
  if (spec != nullptr) {
    out["spec"] = {{"architecture", spec->architecture},
                   {"parameters", spec->parameters(*checkpoint.weights)},
                   {"layers", spec->layers.size()},
                   {"model_dim", spec->model_dim},
                   {"vocab", spec->vocab},
                   {"context_tokens", spec->context_tokens}};
    out["memory"] = {{"context_tokens", context}, {"weights_bytes", memory.weights}, {"state_bytes", memory.state}};
  }
  return json_text(out, 2) + "\n";
}

Status inspect(const InspectArguments& a) {
  if (a.kernels) {
    fmt::print("{}", describe_kernels());
    return {};
  }
  TESSERA_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_model(a.model, {.header_only = true}));
  Result<ModelSpec> spec = model_spec(checkpoint.metadata, *checkpoint.weights);
  MemoryEstimate memory;
  int64_t context = 0;
  if (spec.ok()) {
    context = a.engine.options.context_tokens > 0 ? a.engine.options.context_tokens
                                                  : std::min<int64_t>(spec->context_tokens, 4096);
    memory = estimate(checkpoint, *spec, context);
  }
  if (a.json) {
    constexpr size_t kMostItems = 64;  // a vocabulary is long
    const size_t most_items = a.metadata ? std::numeric_limits<size_t>::max() : kMostItems;
    fmt::print("{}", checkpoint_json(checkpoint, spec.ok() ? &*spec : nullptr, memory, context, most_items));
    return {};
  }
  fmt::print("{} ({})\n\n", printable(checkpoint.path), checkpoint.format);
  if (checkpoint.missing_bytes > 0) {
    fmt::print("cut short        {} of the weights are missing\n",
               human_bytes(static_cast<double>(checkpoint.missing_bytes)));
  }
  if (spec.ok()) {
    print_spec(*spec, *checkpoint.weights);
    fmt::print("memory           {} = weights {} + state of {} tokens {}\n", human_bytes(memory.total()),
               human_bytes(memory.weights), context, human_bytes(memory.state));
  } else {
    fmt::print("not runnable     {}\n", printable(spec.status().message()));
  }
  fmt::print("\nweights by type\n");
  for (const auto& [type, t] : totals_by_type(*checkpoint.weights)) {
    fmt::print("  {:<8} {:>5} tensors {:>14} elements {:>12}\n", type, t.tensors, t.elements,
               human_bytes(static_cast<double>(t.bytes)));
  }
  if (a.metadata) print_metadata(checkpoint.metadata);
  if (a.tensors) print_tensors(*checkpoint.weights);
  if (!a.metadata && !a.tensors) fmt::print("\n(--metadata and --tensors list them)\n");
  return {};
}

}  // namespace

void add_inspect_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("inspect", "Show what a model file holds and how much memory it takes");
  const auto a = std::make_shared<InspectArguments>();
  verb->add_option("model,-m,--model", a->model.model, "GGUF file or Hugging Face folder; default: the shipped model")
      ->type_name("MODEL")
      ->group("Model");
  add_override_flag(*verb, &a->model);
  CLI::App* show = verb->add_option_group("Output");
  add_count(*show, "-c,--ctx-size", &a->engine.options.context_tokens,
            "Context for the memory estimate; 0: as `run` would");
  show->add_flag("--metadata", a->metadata, "List the metadata");
  show->add_flag("--tensors", a->tensors, "List the tensors");
  show->add_flag("--kernels", a->kernels, "Show which kernel layer fills what on this processor");
  show->add_flag("--json", a->json, "Everything as JSON; arrays of metadata whole only with --metadata");
  verb->footer(
      "Only the header is read: a file of which the first megabytes are there is enough.\n\n"
      "Examples:\n"
      "  tessera inspect model.gguf\n"
      "  tessera inspect model.gguf -c 32k              how much memory a context of 32768 tokens takes\n"
      "  tessera inspect model.gguf --json | jq .spec\n"
      "  tessera inspect --kernels");
  verb->callback([a, run] { run([&] { return inspect(*a); }); });
}

}  // namespace tessera
