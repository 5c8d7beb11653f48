#include "tokenizer/tokenizer_spec.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace tessera {
namespace {

// Far above any real vocabulary (the largest have 300 thousand tokens); keeps ids in 32 bits and tables bounded.
constexpr size_t kMaxTokens = 1 << 22;
constexpr size_t kMaxTokenBytes = 1 << 16;
constexpr size_t kMaxMerges = 1 << 23;

constexpr std::string_view kPrefix = "tokenizer.ggml.";

std::string key(std::string_view name) { return std::string(kPrefix) += name; }

struct ModelDefaults {
  std::string_view name;
  TokenizerModel model;
  bool add_bos, add_eos, add_sep, add_space_prefix;
  SpecialIds special;
};

// What holds where the file is silent: the conventions of each family's first files.
const std::array<ModelDefaults, 4>& model_defaults() {
  static const std::array<ModelDefaults, 4> table = {{
      {"llama", TokenizerModel::kSentencePieceBpe, true, false, false, true, {.bos = 1, .eos = 2, .unk = 0}},
      {"gpt2", TokenizerModel::kByteBpe, false, false, false, false, {.bos = 11, .eos = 11}},
      {"t5", TokenizerModel::kUnigram, false, true, false, true, {.eos = 1, .unk = 2, .pad = 0}},
      {"bert",
       TokenizerModel::kWordPiece,
       true,
       false,
       true,
       false,
       {.bos = 101, .unk = 100, .sep = 102, .pad = 0, .cls = 101, .mask = 103}},
  }};
  return table;
}

Status read_vocabulary(const Metadata& metadata, TokenizerSpec* spec) {
  TESSERA_ASSIGN_OR_RETURN(const std::vector<std::string>* tokens, metadata.text_array(key("tokens")));
  spec->tokens = *tokens;
  if (metadata.contains(key("scores"))) {
    TESSERA_ASSIGN_OR_RETURN(auto scores, metadata.number_array(key("scores")));
    spec->scores.assign(scores.begin(), scores.end());
  } else {
    spec->scores.assign(spec->tokens.size(), 0.0f);
  }
  if (metadata.contains(key("token_type"))) {
    TESSERA_ASSIGN_OR_RETURN(auto types, metadata.i64_array(key("token_type")));
    spec->types.reserve(types.size());
    for (int64_t type : types) {
      if (type < 0 || type > 6) type = 0;
      spec->types.push_back(static_cast<TokenType>(type));
    }
  } else {
    spec->types.assign(spec->tokens.size(), TokenType::kNormal);
  }
  if (metadata.contains(key("merges"))) {
    TESSERA_ASSIGN_OR_RETURN(const std::vector<std::string>* merges, metadata.text_array(key("merges")));
    spec->merges = *merges;
  }
  if (metadata.contains(key("precompiled_charsmap"))) {
    TESSERA_ASSIGN_OR_RETURN(auto bytes, metadata.i64_array(key("precompiled_charsmap")));
    spec->charsmap.reserve(bytes.size());
    for (int64_t byte : bytes) spec->charsmap.push_back(static_cast<char>(byte & 0xff));
  }
  return {};
}

Status read_special_id(const Metadata& metadata, std::string_view name, size_t vocab, int32_t* id) {
  // A default from the table may lie outside a small vocabulary: then there is no such token.
  if (*id >= 0 && static_cast<size_t>(*id) >= vocab) *id = kNoToken;
  const std::string full = key(name);
  if (!metadata.contains(full)) return {};
  TESSERA_ASSIGN_OR_RETURN(const int64_t value, metadata.i64(full));
  // Writers spell "none" as -1 or as 2^32 - 1.
  if (value == -1 || value == 0xffffffff) {
    *id = kNoToken;
    return {};
  }
  if (value < 0 || static_cast<uint64_t>(value) >= vocab) {
    return invalid_argument("{}: expected a token id below {}, found {}", full, vocab, value);
  }
  *id = static_cast<int32_t>(value);
  return {};
}

Status read_special_ids(const Metadata& metadata, TokenizerSpec* spec) {
  const size_t vocab = spec->tokens.size();
  SpecialIds& ids = spec->special;
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "bos_token_id", vocab, &ids.bos));
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "eos_token_id", vocab, &ids.eos));
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "eot_token_id", vocab, &ids.eot));
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "eom_token_id", vocab, &ids.eom));
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "unknown_token_id", vocab, &ids.unk));
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "seperator_token_id", vocab, &ids.sep));  // the format's spelling
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "separator_token_id", vocab, &ids.sep));
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "padding_token_id", vocab, &ids.pad));
  TESSERA_RETURN_IF_ERROR(read_special_id(metadata, "cls_token_id", vocab, &ids.cls));
  return read_special_id(metadata, "mask_token_id", vocab, &ids.mask);
}

Status read_flag(const Metadata& metadata, const std::string& full, bool* flag) {
  TESSERA_ASSIGN_OR_RETURN(*flag, Metadata::value_or<bool>(metadata.boolean(full), *flag));
  return {};
}

Status read_flags(const Metadata& metadata, TokenizerSpec* spec) {
  TESSERA_RETURN_IF_ERROR(read_flag(metadata, key("add_bos_token"), &spec->add_bos));
  TESSERA_RETURN_IF_ERROR(read_flag(metadata, key("add_eos_token"), &spec->add_eos));
  TESSERA_RETURN_IF_ERROR(read_flag(metadata, key("add_sep_token"), &spec->add_sep));
  TESSERA_RETURN_IF_ERROR(read_flag(metadata, key("add_space_prefix"), &spec->add_space_prefix));
  TESSERA_RETURN_IF_ERROR(read_flag(metadata, key("remove_extra_whitespaces"), &spec->remove_extra_whitespaces));
  return read_flag(metadata, key("normalizer.lowercase"), &spec->lowercase);
}

Status read_ids(const Metadata& metadata, const std::string& full, size_t vocab, std::vector<int32_t>* ids) {
  if (!metadata.contains(full)) return {};
  TESSERA_ASSIGN_OR_RETURN(auto values, metadata.i64_array(full));
  for (const int64_t value : values) {
    if (value < 0 || static_cast<uint64_t>(value) >= vocab) {
      return invalid_argument("{}: expected token ids below {}, found {}", full, vocab, value);
    }
    ids->push_back(static_cast<int32_t>(value));
  }
  return {};
}

Status read_own_keys(const Metadata& metadata, TokenizerSpec* spec) {
  TESSERA_ASSIGN_OR_RETURN(const std::string normalizer,
                           Metadata::value_or<std::string>(metadata.text("tokenizer.tessera.normalizer"), "none"));
  if (normalizer != "none" && normalizer != "nfc") {
    return unsupported("tokenizer.tessera.normalizer: expected none or nfc, found \"{}\"", normalizer);
  }
  spec->nfc = normalizer == "nfc";
  const size_t vocab = spec->tokens.size();
  TESSERA_RETURN_IF_ERROR(read_ids(metadata, "tokenizer.tessera.eos_token_ids", vocab, &spec->eos_ids));
  TESSERA_RETURN_IF_ERROR(read_ids(metadata, "tokenizer.tessera.lstrip_token_ids", vocab, &spec->lstrip_ids));
  return read_ids(metadata, "tokenizer.tessera.rstrip_token_ids", vocab, &spec->rstrip_ids);
}

// Names that chat templates write around turns, apart from those that end a generation.
bool is_turn_name(std::string_view text) {
  static constexpr std::string_view kNames[] = {
      "<|im_start|>",
      "<|im_sep|>",
      "<|begin_of_text|>",
      "<|start_header_id|>",
      "<|end_header_id|>",
      "<|python_tag|>",
      "<|begin_of_sentence|>",
      "<|startoftext|>",
      "<|start|>",
      "<|message|>",
      "<|channel|>",
      "<|system|>",
      "<|user|>",
      "<|assistant|>",
      "<|tool|>",
      "<|start_of_role|>",
      "<|end_of_role|>",
      "<|START_OF_TURN_TOKEN|>",
      "<start_of_turn>",
      "<｜begin▁of▁sentence｜>",
      "<｜User｜>",
      "<｜Assistant｜>",
  };
  return std::find(std::begin(kNames), std::end(kNames), text) != std::end(kNames);
}

// Some files type control tokens as ordinary or user-defined tokens, and then a user could write them. The known names
// are control tokens in either case; among user-defined tokens anything of the form <|...|>, which is nobody's plain
// text. An ordinary token of that form that nobody knows may be a piece of program text, and stays.
bool is_control_name(std::string_view text) {
  if (is_end_of_generation_name(text) || is_turn_name(text)) return true;
  return text.size() > 4 && text.starts_with("<|") && text.ends_with("|>") &&
         text.find_first_of(" \n") == std::string_view::npos;
}

void complete_control_tokens(TokenizerSpec* spec) {
  SpecialIds& ids = spec->special;
  for (size_t i = 0; i < spec->tokens.size(); ++i) {
    const std::string_view text = spec->tokens[i];
    TokenType& type = spec->types[i];
    if (type == TokenType::kUserDefined && is_control_name(text)) type = TokenType::kControl;
    if (type == TokenType::kNormal && is_turn_name(text)) type = TokenType::kControl;
    if (!is_end_of_generation_name(text)) continue;
    type = TokenType::kControl;
    const int32_t id = static_cast<int32_t>(i);
    if (text == "<|eom_id|>") {
      if (ids.eom == kNoToken) ids.eom = id;
    } else if (ids.eot == kNoToken && id != ids.eos) {
      ids.eot = id;
    }
  }
  for (const int32_t id : {ids.bos, ids.eos, ids.eot, ids.eom}) {
    if (id != kNoToken && spec->types[static_cast<size_t>(id)] == TokenType::kUserDefined) {
      spec->types[static_cast<size_t>(id)] = TokenType::kControl;
    }
  }
}

Status check_sizes(const TokenizerSpec& spec) {
  const size_t vocab = spec.tokens.size();
  if (vocab == 0 || vocab > kMaxTokens) {
    return invalid_argument("tokenizer.ggml.tokens: expected 1 to {} tokens, found {}", kMaxTokens, vocab);
  }
  if (spec.scores.size() != vocab) {
    return invalid_argument("tokenizer.ggml.scores: expected {} entries, found {}", vocab, spec.scores.size());
  }
  if (spec.types.size() != vocab) {
    return invalid_argument("tokenizer.ggml.token_type: expected {} entries, found {}", vocab, spec.types.size());
  }
  if (spec.merges.size() > kMaxMerges) {
    return invalid_argument("tokenizer.ggml.merges: expected at most {} entries, found {}", kMaxMerges,
                            spec.merges.size());
  }
  for (size_t i = 0; i < vocab; ++i) {
    if (spec.tokens[i].size() > kMaxTokenBytes) {
      return invalid_argument("tokenizer.ggml.tokens: token {}: expected at most {} bytes, found {}", i, kMaxTokenBytes,
                              spec.tokens[i].size());
    }
    if (spec.scores[i] != spec.scores[i]) {
      return invalid_argument("tokenizer.ggml.scores: token {}: expected a number, found NaN", i);
    }
  }
  return {};
}

Status check_ids(const TokenizerSpec& spec) {
  const auto in_range = [&](int32_t id) {
    return id == kNoToken || (id >= 0 && static_cast<size_t>(id) < spec.tokens.size());
  };
  const SpecialIds& ids = spec.special;
  for (const int32_t id : {ids.bos, ids.eos, ids.eot, ids.eom, ids.unk, ids.sep, ids.pad, ids.cls, ids.mask}) {
    if (!in_range(id)) {
      return invalid_argument("special token: expected an id below {}, found {}", spec.tokens.size(), id);
    }
  }
  for (const auto* list : {&spec.eos_ids, &spec.lstrip_ids, &spec.rstrip_ids}) {
    if (!std::all_of(list->begin(), list->end(), [&](int32_t id) { return id >= 0 && in_range(id); })) {
      return invalid_argument("lists of token ids: expected ids below {}", spec.tokens.size());
    }
  }
  return {};
}

}  // namespace

bool is_end_of_generation_name(std::string_view text) {
  static constexpr std::string_view kNames[] = {
      "<|eot_id|>",
      "<|im_end|>",
      "<|end|>",
      "<end_of_turn>",
      "<|endoftext|>",
      "<|end_of_text|>",
      "<|eom_id|>",
      "<|end_of_turn|>",
      "<EOT>",
      "_<EOT>",
      "[EOT]",
      "<|eot|>",
      "<｜end▁of▁sentence｜>",
      "<end_of_utterance>",
      "<|return|>",
      "<|call|>",
      "<|END_OF_TURN_TOKEN|>",
  };
  return std::find(std::begin(kNames), std::end(kNames), text) != std::end(kNames);
}

Status complete_tokenizer_spec(TokenizerSpec* spec) {
  TESSERA_RETURN_IF_ERROR(check_sizes(*spec));
  TESSERA_RETURN_IF_ERROR(check_ids(*spec));
  complete_control_tokens(spec);
  const SpecialIds& ids = spec->special;
  // A flag without its token would be an id that does not exist; such files mean "nothing to add".
  if (ids.bos == kNoToken && ids.cls == kNoToken) spec->add_bos = false;
  if (ids.eos == kNoToken) spec->add_eos = false;
  if (ids.sep == kNoToken) spec->add_sep = false;
  return {};
}

Result<TokenizerSpec> tokenizer_spec_from_metadata(const Metadata& metadata) {
  // Why a Hugging Face folder's tokenizer could not be translated.
  if (metadata.contains("tokenizer.tessera.problem")) {
    TESSERA_ASSIGN_OR_RETURN(const std::string problem, metadata.text("tokenizer.tessera.problem"));
    return unsupported("{}", problem);
  }
  TESSERA_ASSIGN_OR_RETURN(const std::string name, metadata.text(key("model")));
  const auto& table = model_defaults();
  const auto found = std::find_if(table.begin(), table.end(), [&](const ModelDefaults& m) { return m.name == name; });
  if (found == table.end()) {
    return unsupported("tokenizer.ggml.model: expected llama, gpt2, t5 or bert, found \"{}\"", name);
  }
  TokenizerSpec spec;
  spec.model = found->model;
  spec.add_bos = found->add_bos;
  spec.add_eos = found->add_eos;
  spec.add_sep = found->add_sep;
  spec.add_space_prefix = found->add_space_prefix;
  spec.special = found->special;
  if (spec.model == TokenizerModel::kByteBpe) {
    TESSERA_ASSIGN_OR_RETURN(spec.pre, Metadata::value_or<std::string>(metadata.text(key("pre")), "default"));
    // Llama 3's files leave the flag out.
    static constexpr std::string_view kAddsBos[] = {"llama3", "llama-v3", "llama-bpe", "tekken", "falcon3", "pixtral"};
    spec.add_bos = std::find(std::begin(kAddsBos), std::end(kAddsBos), spec.pre) != std::end(kAddsBos);
  }
  TESSERA_RETURN_IF_ERROR(read_vocabulary(metadata, &spec));
  TESSERA_RETURN_IF_ERROR(read_special_ids(metadata, &spec));
  TESSERA_RETURN_IF_ERROR(read_flags(metadata, &spec));
  TESSERA_RETURN_IF_ERROR(read_own_keys(metadata, &spec));
  TESSERA_RETURN_IF_ERROR(complete_tokenizer_spec(&spec));
  return spec;
}

}  // namespace tessera
