#include "formats/hf_checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/hf_config.h"
#include "formats/hf_family.h"
#include "formats/hf_tokenizer.h"
#include "formats/hf_weights.h"
#include "formats/text.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct HfModel {
  Metadata metadata;
  HfWeightSettings settings;
  std::vector<float> rope_factors;
};

Result<HfModel> translate(const JsonFields& config) {
  HfModel model;
  TESSERA_ASSIGN_OR_RETURN(model.settings.family, find_hf_family(config));
  const HfFamily& family = *model.settings.family;
  const std::string architecture(family.architecture);
  model.metadata.set("general.architecture", MetadataScalar(architecture));
  TESSERA_RETURN_IF_ERROR(family.translate(config, &model.metadata));
  TESSERA_ASSIGN_OR_RETURN(model.rope_factors, llama3_rope_factors(config));
  HfWeightSettings& settings = model.settings;
  TESSERA_ASSIGN_OR_RETURN(settings.layers, model.metadata.i64(architecture + ".block_count"));
  TESSERA_ASSIGN_OR_RETURN(settings.heads, model.metadata.i64(architecture + ".attention.head_count"));
  TESSERA_ASSIGN_OR_RETURN(
      settings.kv_heads,
      Metadata::value_or(model.metadata.i64(architecture + ".attention.head_count_kv"), settings.heads));
  TESSERA_ASSIGN_OR_RETURN(settings.tied_embeddings, config.boolean_or("tie_word_embeddings", family.tied_by_default));
  return model;
}

// The files that hold the weights, each with the names that the index expects in it; no names without an index.
using ShardNames = std::map<std::string, std::set<std::string>>;

// A shard's name comes from a file: it must be a plain name in the same folder.
bool is_plain_name(const std::string& name) {
  const auto unusual = [](unsigned char c) { return c == '/' || c < 0x20 || c == 0x7f; };
  return !name.empty() && name.size() <= 255 && std::ranges::none_of(name, unusual) && name != "." && name != "..";
}

Result<ShardNames> read_index(const std::string& path) {
  TESSERA_ASSIGN_OR_RETURN(const auto index, read_json_object(path, kTokenizerLimits));
  const auto map = index->find("weight_map");
  if (map == index->end() || !map->is_object() || map->empty()) {
    return invalid_argument("{}: weight_map: expected an object of weight names to files", path);
  }
  ShardNames shards;
  for (const auto& [weight, file] : map->items()) {
    if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>())) {
      return invalid_argument("{}: weight_map: {}: expected the name of a file in this folder", path, quotable(weight));
    }
    shards[file.get<std::string>()].insert(weight);
  }
  return shards;
}

Result<ShardNames> find_shards(const fs::path& folder) {
  std::error_code error;
  const fs::path index = folder / "model.safetensors.index.json";
  if (fs::exists(index, error)) return read_index(index.string());
  if (fs::exists(folder / "model.safetensors", error)) return ShardNames{{"model.safetensors", {}}};
  if (fs::exists(folder / "pytorch_model.bin", error) || fs::exists(folder / "pytorch_model.bin.index.json", error)) {
    return unsupported("{}: expected model.safetensors, found only pytorch_model.bin (convert it with safetensors)",
                       folder.string());
  }
  return not_found("{}: expected model.safetensors or model.safetensors.index.json", folder.string());
}

// The index and the shard must name the same weights.
Status compare_names(const std::vector<SafetensorsEntry>& entries, std::set<std::string> expected) {
  if (expected.empty()) return {};
  for (const SafetensorsEntry& entry : entries) {
    if (expected.erase(entry.name) == 0) {
      return invalid_argument("{}: the index does not place this weight here", quotable(entry.name));
    }
  }
  if (!expected.empty()) return not_found("{}: missing, the index places it here", quotable(*expected.begin()));
  return {};
}

Status add_shards(const fs::path& folder, const ShardNames& shards, const OpenOptions& options, HfWeights* weights) {
  for (const auto& [file, names] : shards) {
    const std::string path = (folder / file).string();
    TESSERA_ASSIGN_OR_RETURN(auto map, FileMap::open(path));
    auto entries = parse_safetensors_header(map->bytes(), options);
    if (!entries.ok()) return entries.status().with_context(path);
    TESSERA_RETURN_IF_ERROR(compare_names(*entries, names).with_context(path));
    const auto bytes = map->bytes();
    TESSERA_RETURN_IF_ERROR(weights->add_file(*entries, bytes, std::move(map)).with_context(path));
  }
  return {};
}

}  // namespace

Result<Metadata> translate_hf_config(std::string_view config_json) {
  TESSERA_ASSIGN_OR_RETURN(const auto config, parse_json_object(config_json, "config.json", kConfigLimits));
  TESSERA_ASSIGN_OR_RETURN(HfModel model, translate(JsonFields(*config, "config.json")));
  return std::move(model.metadata);
}

Result<Checkpoint> open_huggingface(const std::string& folder, const OpenOptions& options) {
  const fs::path root(folder);
  const std::string config_path = (root / "config.json").string();
  TESSERA_ASSIGN_OR_RETURN(const auto config, read_json_object(config_path, kConfigLimits));
  TESSERA_ASSIGN_OR_RETURN(HfModel model, translate(JsonFields(*config, config_path)));
  model.settings.options = options;
  std::string name = root.filename().string();
  if (name.empty()) name = root.parent_path().filename().string();  // a trailing slash
  if (!name.empty()) model.metadata.set("general.name", MetadataScalar(std::move(name)));

  auto weights = std::make_unique<HfWeights>(model.settings);
  if (!model.rope_factors.empty()) weights->add_computed("rope_freqs.weight", std::move(model.rope_factors));
  TESSERA_ASSIGN_OR_RETURN(const ShardNames shards, find_shards(root));
  TESSERA_RETURN_IF_ERROR(add_shards(root, shards, options, weights.get()));
  weights->index_names();
  if (!model.settings.tied_embeddings && weights->find("output.weight") == nullptr) {
    return not_found("{}: lm_head.weight: missing, and tie_word_embeddings is false", folder);
  }
  TESSERA_RETURN_IF_ERROR(load_hf_tokenizer(folder, JsonFields(*config, config_path), &model.metadata));
  const uint64_t missing_bytes = weights->missing_bytes();
  return Checkpoint{folder, "huggingface", std::move(model.metadata), std::move(weights), missing_bytes};
}

}  // namespace tessera
