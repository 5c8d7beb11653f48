#include "formats/hf_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file_map.h"
#include "formats/hf_vocabulary.h"
#include "formats/text.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxTemplateBytes = 1u << 20;
constexpr int64_t kMaxId = 1 << 22;

using JsonFile = std::shared_ptr<const json>;

struct ParsedFiles {
  JsonFile tokenizer, tokenizer_config, generation_config;  // empty objects when absent
};

Result<JsonFile> parse_or_empty(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.empty()) return JsonFile(std::make_shared<json>(json::object()));
  return parse_json_object(text, what, limits);
}

// --- vocabulary
// -------------------------------------------------------------------------------------------------------

Result<HfVocabulary> read_vocabulary(const HfTokenizerFiles& files, const json& tokenizer) {
  const bool has_json = !files.tokenizer_json.empty();
  // A tokenizer.model beside a byte-level tokenizer.json is another format (Llama 3: tiktoken): the JSON is the source.
  if (!files.tokenizer_model.empty()) {
    auto model = parse_sentencepiece(std::as_bytes(std::span(files.tokenizer_model)));
    if (model.ok()) return vocabulary_from_sentencepiece(*std::move(model));
    if (!has_json) return model.status().with_context("tokenizer.model");
  }
  auto vocabulary = vocabulary_from_json(tokenizer);
  if (!vocabulary.ok()) return vocabulary.status().with_context("tokenizer.json");
  return vocabulary;
}

Result<AddedToken> read_added_token(const json& entry, int64_t id, std::string_view what) {
  if (!entry.is_object()) return invalid_argument("{}: expected objects", what);
  const JsonFields fields(entry, std::string(what));
  AddedToken token{};
  token.id = id;
  if (id < 0) {
    TESSERA_ASSIGN_OR_RETURN(token.id, fields.integer("id", 0, kMaxId));
  }
  TESSERA_ASSIGN_OR_RETURN(token.content, fields.text("content"));
  TESSERA_ASSIGN_OR_RETURN(token.special, fields.boolean_or("special", false));
  TESSERA_ASSIGN_OR_RETURN(token.lstrip, fields.boolean_or("lstrip", false));
  TESSERA_ASSIGN_OR_RETURN(token.rstrip, fields.boolean_or("rstrip", false));
  return token;
}

// From tokenizer.json's added_tokens and tokenizer_config.json's added_tokens_decoder; the former wins.
Result<std::map<int64_t, AddedToken>> read_added_tokens(const ParsedFiles& files) {
  std::map<int64_t, AddedToken> tokens;
  if (const auto list = files.tokenizer->find("added_tokens"); list != files.tokenizer->end() && !list->is_null()) {
    if (!list->is_array()) return invalid_argument("tokenizer.json: added_tokens: expected an array");
    for (const json& entry : *list) {
      TESSERA_ASSIGN_OR_RETURN(AddedToken token, read_added_token(entry, -1, "tokenizer.json: added_tokens"));
      tokens.emplace(token.id, std::move(token));
    }
  }
  const auto decoder = files.tokenizer_config->find("added_tokens_decoder");
  if (decoder == files.tokenizer_config->end() || !decoder->is_object()) return tokens;
  for (const auto& [key, entry] : decoder->items()) {
    if (key.empty() || key.size() > 7 || !std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; })) {
      return invalid_argument("tokenizer_config.json: added_tokens_decoder: expected ids as keys, found {}",
                              in_quotes(key));
    }
    const int64_t id = std::stoll(key);
    TESSERA_ASSIGN_OR_RETURN(AddedToken token,
                             read_added_token(entry, id, "tokenizer_config.json: added_tokens_decoder"));
    tokens.emplace(id, std::move(token));
  }
  return tokens;
}

// Added tokens beyond the model's vocab_size have no embedding; such files exist, and the tokens are left out.
Status complete_vocabulary(const ParsedFiles& files, const JsonFields& config, HfVocabulary* vocabulary) {
  TESSERA_ASSIGN_OR_RETURN(const int64_t size, config.integer_or("vocab_size", 1, kMaxId, 0));
  TESSERA_ASSIGN_OR_RETURN(const auto added, read_added_tokens(files));
  if (const int64_t id = vocabulary->find(vocabulary->unknown); id >= 0 && vocabulary->model != "gpt2") {
    vocabulary->types[static_cast<size_t>(id)] = kTokenUnknown;
  }
  // All gaps together are bounded, so that a small file cannot ask for millions of unused tokens.
  const auto limit = std::min(static_cast<int64_t>(vocabulary->tokens.size() + added.size()) + 65536, kMaxId);
  for (const auto& [id, token] : added) {
    if (id >= limit && (size == 0 || id < size)) {
      return invalid_argument("added token {}: expected an id below {}, found {}", in_quotes(token.content), limit, id);
    }
  }
  for (const auto& [id, token] : added) {
    if (size == 0 || id < size) TESSERA_RETURN_IF_ERROR(add_token(token, vocabulary));
  }
  for (size_t i = 0; i < vocabulary->tokens.size(); ++i) {  // gaps of the vocabulary
    if (vocabulary->types[i] == kTokenUnused && vocabulary->tokens[i].empty()) {
      vocabulary->tokens[i] = fmt::format("[PAD{}]", i);
    }
  }
  return size > 0 ? pad_vocabulary(size, vocabulary) : Status();
}

void write_vocabulary(HfVocabulary vocabulary, Metadata* metadata) {
  const auto set = [&](const char* name, MetadataValue value) {
    metadata->set(std::string("tokenizer.ggml.") + name, std::move(value));
  };
  const bool sentencepiece = vocabulary.model == "llama" || vocabulary.model == "t5";
  if (vocabulary.model == "bert") set("normalizer.lowercase", MetadataScalar(vocabulary.lowercase));
  set("model", MetadataScalar(vocabulary.model));
  set("pre", MetadataScalar(vocabulary.model == "gpt2" ? vocabulary.pre : std::string("default")));
  set("tokens", MetadataArray(std::move(vocabulary.tokens)));
  set("token_type", MetadataArray(std::move(vocabulary.types)));
  if (sentencepiece) set("scores", MetadataArray(std::move(vocabulary.scores)));
  if (vocabulary.model == "gpt2") set("merges", MetadataArray(std::move(vocabulary.merges)));
  if (vocabulary.model != "bert") set("add_space_prefix", MetadataScalar(vocabulary.add_space_prefix));
  if (sentencepiece) set("remove_extra_whitespaces", MetadataScalar(vocabulary.remove_extra_whitespaces));
  if (!vocabulary.charsmap.empty()) {
    set("precompiled_charsmap",
        MetadataArray(std::vector<uint8_t>(vocabulary.charsmap.begin(), vocabulary.charsmap.end())));
  }
  if (vocabulary.nfc) metadata->set("tokenizer.tessera.normalizer", "nfc");
  if (!vocabulary.lstrip_ids.empty()) {
    metadata->set("tokenizer.tessera.lstrip_token_ids", MetadataArray(std::move(vocabulary.lstrip_ids)));
  }
  if (!vocabulary.rstrip_ids.empty()) {
    metadata->set("tokenizer.tessera.rstrip_token_ids", MetadataArray(std::move(vocabulary.rstrip_ids)));
  }
}

// --- special tokens
// ---------------------------------------------------------------------------------------------------

// "<s>" or {"content": "<s>", ...} at `key`; empty when absent.
std::string special_text(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end()) return {};
  if (it->is_string()) return it->get<std::string>();
  if (it->is_object() && it->contains("content") && it->at("content").is_string()) {
    return it->at("content").get<std::string>();
  }
  return {};
}

// Ids at `key`: a number or an array of numbers, those that are tokens.
std::vector<int32_t> ids_at(const json* found, size_t vocab) {
  std::vector<int32_t> ids;
  const auto add = [&](const json& value) {
    if (value.is_number_unsigned() && value.get<uint64_t>() < vocab) ids.push_back(value.get<int32_t>());
  };
  if (found == nullptr) return ids;
  if (found->is_array()) {
    for (const json& value : *found) add(value);
  } else {
    add(*found);
  }
  return ids;
}

struct SpecialTokens {
  int64_t bos = -1, eos = -1;
  std::vector<int32_t> all_eos;
};

SpecialTokens read_special_tokens(const ParsedFiles& files, const JsonFields& config, const HfVocabulary& vocabulary,
                                  Metadata* metadata) {
  const json& settings = *files.tokenizer_config;
  const size_t vocab = vocabulary.tokens.size();
  const auto lookup = [&](const char* token_key, const char* id_key) -> int64_t {
    if (const std::string text = special_text(settings, token_key); !text.empty()) return vocabulary.find(text);
    const auto ids = id_key ? ids_at(config.find(id_key), vocab) : std::vector<int32_t>();
    return ids.empty() ? -1 : ids.front();
  };
  const auto set = [&](const char* name, int64_t id) {
    if (id < 0) return;
    metadata->set(std::string("tokenizer.ggml.") + name, MetadataScalar(static_cast<uint32_t>(id)));
  };
  SpecialTokens special;
  special.bos = lookup("bos_token", "bos_token_id");
  special.eos = lookup("eos_token", "eos_token_id");
  set("bos_token_id", special.bos);
  set("eos_token_id", special.eos);
  int64_t unknown = lookup("unk_token", nullptr);
  if (unknown < 0 && !vocabulary.unknown.empty()) unknown = vocabulary.find(vocabulary.unknown);
  set("unknown_token_id", unknown);
  set("padding_token_id", lookup("pad_token", "pad_token_id"));
  set("seperator_token_id", lookup("sep_token", nullptr));  // the format's spelling
  set("cls_token_id", lookup("cls_token", nullptr));
  set("mask_token_id", lookup("mask_token", nullptr));

  const JsonFields generation(*files.generation_config, "generation_config.json");
  std::vector<bool> seen(vocab);
  if (special.eos >= 0) {
    special.all_eos.push_back(static_cast<int32_t>(special.eos));
    seen[static_cast<size_t>(special.eos)] = true;
  }
  for (const JsonFields* source : {&generation, &config}) {
    for (const int32_t id : ids_at(source->find("eos_token_id"), vocab)) {
      if (!seen[static_cast<size_t>(id)]) special.all_eos.push_back(id);
      seen[static_cast<size_t>(id)] = true;
    }
  }
  if (special.all_eos.size() == 2 && special.eos >= 0) set("eot_token_id", special.all_eos[1]);
  if (!special.all_eos.empty()) {
    metadata->set("tokenizer.tessera.eos_token_ids", MetadataArray(special.all_eos));
  }
  return special;
}

// The template of what the post-processor puts around one text, or null.
const json* single_template(const json& tokenizer) {
  const auto processor = tokenizer.find("post_processor");
  if (processor == tokenizer.end() || !processor->is_object()) return nullptr;
  const auto usable = [](const json& step) {
    return step.is_object() && step.contains("single") && step.at("single").is_array() && !step.at("single").empty();
  };
  if (usable(*processor)) return &processor->at("single");
  if (!processor->contains("processors") || !processor->at("processors").is_array()) return nullptr;
  for (const json& step : processor->at("processors")) {
    if (usable(step)) return &step.at("single");
  }
  return nullptr;
}

bool is_special_step(const json& step, int64_t id, const HfVocabulary& vocabulary) {
  if (id < 0 || !step.is_object() || !step.contains("SpecialToken")) return false;
  const json& token = step.at("SpecialToken");
  return token.is_object() && token.contains("id") && token.at("id").is_string() &&
         vocabulary.find(token.at("id").get<std::string>()) == id;
}

// add_bos_token and add_eos_token: as tokenizer_config.json says, else as the post-processor does.
Status write_add_flags(const ParsedFiles& files, const SpecialTokens& special, const HfVocabulary& vocabulary,
                       Metadata* metadata) {
  if (vocabulary.model == "bert") return {};  // always [CLS] ... [SEP]
  const JsonFields settings(*files.tokenizer_config, "tokenizer_config.json");
  const json* single = single_template(*files.tokenizer);
  // Without tokenizer.json only the class's own defaults remain: SentencePiece models begin with bos.
  const bool no_json = files.tokenizer->empty();
  const bool bos =
      single ? is_special_step(single->front(), special.bos, vocabulary) : no_json && vocabulary.model == "llama";
  const bool eos =
      single ? is_special_step(single->back(), special.eos, vocabulary) : no_json && vocabulary.model == "t5";
  TESSERA_ASSIGN_OR_RETURN(const bool add_bos, settings.boolean_or("add_bos_token", bos));
  TESSERA_ASSIGN_OR_RETURN(const bool add_eos, settings.boolean_or("add_eos_token", eos));
  metadata->set("tokenizer.ggml.add_bos_token", MetadataScalar(add_bos && special.bos >= 0));
  metadata->set("tokenizer.ggml.add_eos_token", MetadataScalar(add_eos && special.eos >= 0));
  return {};
}

// --- chat templates
// ---------------------------------------------------------------------------------------------------

// A string, or a list of {name, template} of which "default" is the one; the others keep their names.
Status write_chat_templates(const HfTokenizerFiles& files, const json& settings, Metadata* metadata) {
  if (files.chat_template.size() > kMaxTemplateBytes) {
    return resource_exhausted("chat_template.jinja: expected at most {} bytes, found {}", kMaxTemplateBytes,
                              files.chat_template.size());
  }
  const auto found = settings.find("chat_template");
  std::vector<std::string> names;
  if (found != settings.end() && found->is_string()) {
    metadata->set("tokenizer.chat_template", MetadataScalar(found->get<std::string>()));
  } else if (found != settings.end() && found->is_array()) {
    for (const json& entry : *found) {
      if (!entry.is_object()) return invalid_argument("tokenizer_config.json: chat_template: expected objects");
      const JsonFields fields(entry, "tokenizer_config.json: chat_template");
      TESSERA_ASSIGN_OR_RETURN(const std::string name, fields.text("name"));
      TESSERA_ASSIGN_OR_RETURN(std::string text, fields.text("template"));
      if (name != "default") names.push_back(name);
      metadata->set(name == "default" ? "tokenizer.chat_template" : "tokenizer.chat_template." + name,
                    MetadataScalar(std::move(text)));
    }
  }
  if (!names.empty()) metadata->set("tokenizer.chat_templates", MetadataArray(std::move(names)));
  if (!files.chat_template.empty()) {
    metadata->set("tokenizer.chat_template", MetadataScalar(std::string(files.chat_template)));
  }
  return {};
}

Result<std::string> read_optional(const fs::path& path, uint64_t max_bytes) {
  std::error_code error;
  if (!fs::exists(path, error)) return std::string();
  TESSERA_ASSIGN_OR_RETURN(const auto map, FileMap::open(path.string()));
  if (map->size() > max_bytes) {
    return resource_exhausted("{}: expected at most {} bytes, found {}", path.string(), max_bytes, map->size());
  }
  return std::string(reinterpret_cast<const char*>(map->bytes().data()), map->size());
}

}  // namespace

Status translate_hf_tokenizer(const HfTokenizerFiles& files, const JsonFields& config, Metadata* metadata) {
  ParsedFiles parsed;
  TESSERA_ASSIGN_OR_RETURN(parsed.tokenizer, parse_or_empty(files.tokenizer_json, "tokenizer.json", kTokenizerLimits));
  TESSERA_ASSIGN_OR_RETURN(parsed.tokenizer_config,
                           parse_or_empty(files.tokenizer_config, "tokenizer_config.json", kConfigLimits));
  TESSERA_ASSIGN_OR_RETURN(parsed.generation_config,
                           parse_or_empty(files.generation_config, "generation_config.json", kConfigLimits));
  TESSERA_ASSIGN_OR_RETURN(HfVocabulary vocabulary, read_vocabulary(files, *parsed.tokenizer));
  TESSERA_RETURN_IF_ERROR(complete_vocabulary(parsed, config, &vocabulary));
  Metadata keys;
  const SpecialTokens special = read_special_tokens(parsed, config, vocabulary, &keys);
  TESSERA_RETURN_IF_ERROR(write_add_flags(parsed, special, vocabulary, &keys));
  TESSERA_RETURN_IF_ERROR(write_chat_templates(files, *parsed.tokenizer_config, &keys));
  write_vocabulary(std::move(vocabulary), &keys);
  for (const auto& [key, value] : keys) metadata->set(key, value);
  return {};
}

Status load_hf_tokenizer(const std::string& folder, const JsonFields& config, Metadata* metadata) {
  const fs::path root(folder);
  TESSERA_ASSIGN_OR_RETURN(const auto tokenizer, read_optional(root / "tokenizer.json", kTokenizerLimits.max_bytes));
  TESSERA_ASSIGN_OR_RETURN(const auto model, read_optional(root / "tokenizer.model", kTokenizerLimits.max_bytes));
  if (tokenizer.empty() && model.empty()) return {};
  TESSERA_ASSIGN_OR_RETURN(const auto settings, read_optional(root / "tokenizer_config.json", kConfigLimits.max_bytes));
  TESSERA_ASSIGN_OR_RETURN(const auto generation,
                           read_optional(root / "generation_config.json", kConfigLimits.max_bytes));
  TESSERA_ASSIGN_OR_RETURN(const auto chat, read_optional(root / "chat_template.jinja", kMaxTemplateBytes));
  const Status status = translate_hf_tokenizer({tokenizer, model, settings, generation, chat}, config, metadata);
  if (status.code() != StatusCode::kUnsupported) return status.with_context(folder);
  metadata->set("tokenizer.tessera.problem", MetadataScalar(status.message()));
  return {};
}

}  // namespace tessera
