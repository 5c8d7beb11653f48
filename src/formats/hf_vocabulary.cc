#include "formats/hf_vocabulary.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/hf_pretokenizer.h"
#include "formats/text.h"

namespace tessera {
namespace {

using nlohmann::json;

constexpr int64_t kMaxTokens = 1 << 22;
constexpr std::string_view kSpace = "\u2581";  // how SentencePiece writes a space

const json* member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}
std::string text_of(const json& object, const char* key) {
  const json* value = member(object, key);
  return value && value->is_string() ? value->get<std::string>() : std::string();
}
bool flag_of(const json& object, const char* key, bool fallback = false) {
  const json* value = member(object, key);
  return value && value->is_boolean() ? value->get<bool>() : fallback;
}

// The steps of a normalizer, pre_tokenizer or decoder: those of a Sequence, or the one.
std::vector<const json*> steps_of(const json* part, const char* list_name) {
  std::vector<const json*> steps;
  if (part == nullptr) return steps;
  if (const json* list = member(*part, list_name); list && list->is_array()) {
    for (const json& step : *list) steps.push_back(&step);
  } else {
    steps.push_back(part);
  }
  return steps;
}
const json* find_step(const std::vector<const json*>& steps, std::string_view type) {
  for (const json* step : steps) {
    if (text_of(*step, "type") == type) return step;
  }
  return nullptr;
}

// A Sequence in a Sequence is not looked into: the files of known models have none.
std::vector<const json*> normalizers(const json& tokenizer) {
  return steps_of(member(tokenizer, "normalizer"), "normalizers");
}
std::vector<const json*> pre_tokenizers(const json& tokenizer) {
  return steps_of(member(tokenizer, "pre_tokenizer"), "pretokenizers");
}

// Whether text begins with an added "▁": by a Prepend normalizer or a Metaspace step.
bool adds_space_prefix(const json& tokenizer) {
  if (const json* step = find_step(normalizers(tokenizer), "Prepend")) return text_of(*step, "prepend") == kSpace;
  if (const json* step = find_step(pre_tokenizers(tokenizer), "Metaspace")) {
    const std::string scheme = text_of(*step, "prepend_scheme");
    return scheme.empty() ? flag_of(*step, "add_prefix_space", true) : scheme != "never";
  }
  return false;
}

Status put(std::string text, int64_t id, HfVocabulary* vocabulary) {
  if (!vocabulary->ids.emplace(text, static_cast<int32_t>(id)).second) {
    return invalid_argument("model.vocab: token {} given twice", in_quotes(text));
  }
  vocabulary->tokens[static_cast<size_t>(id)] = std::move(text);
  vocabulary->types[static_cast<size_t>(id)] = kTokenNormal;
  return {};
}

// {"token": id, ...}: ids are the numbers 0 .. n - 1, each once. Some files have a few gaps, filled by added tokens.
Status read_vocab_object(const json& vocab, HfVocabulary* vocabulary) {
  const auto limit = std::min<int64_t>(static_cast<int64_t>(vocab.size()) + 65536, kMaxTokens);
  int64_t largest = -1;
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(limit)) {
      return invalid_argument("model.vocab: {}: expected an id below {}, found {}", in_quotes(text), limit,
                              quotable(id.is_structured() ? id.type_name() : id.dump(-1, ' ', true), 40));
    }
    largest = std::max(largest, id.get<int64_t>());
  }
  vocabulary->tokens.resize(static_cast<size_t>(largest + 1));
  vocabulary->types.assign(static_cast<size_t>(largest + 1), kTokenUnused);
  for (const auto& [text, id] : vocab.items()) {
    const auto index = id.get<size_t>();
    if (vocabulary->types[index] != kTokenUnused) return invalid_argument("model.vocab: id {} given twice", index);
    TESSERA_RETURN_IF_ERROR(put(text, static_cast<int64_t>(index), vocabulary));
  }
  return {};
}

Status read_merges(const json& model, HfVocabulary* vocabulary) {
  const json* merges = member(model, "merges");
  if (merges == nullptr || !merges->is_array()) return invalid_argument("model.merges: expected an array");
  vocabulary->merges.reserve(merges->size());
  for (const json& merge : *merges) {
    if (merge.is_string()) {
      vocabulary->merges.push_back(merge.get<std::string>());
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      vocabulary->merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    } else {
      return invalid_argument("model.merges: entry {}: expected \"left right\" or a pair", vocabulary->merges.size());
    }
    const std::string& text = vocabulary->merges.back();
    if (text.find(' ', 1) == std::string::npos) {
      return invalid_argument("model.merges: {}: expected two parts", in_quotes(text));
    }
  }
  return {};
}

bool is_byte_token(std::string_view text) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return text.size() == 6 && text.starts_with("<0x") && text[5] == '>' && hex(text[3]) && hex(text[4]);
}

// Byte-level BPE may normalize by NFC; anything else would need its own step in the tokenizer.
Status read_byte_level_normalizer(const json& tokenizer, HfVocabulary* vocabulary) {
  for (const json* step : normalizers(tokenizer)) {
    if (text_of(*step, "type") != "NFC") {
      return unsupported("normalizer: expected NFC or none, found {}", in_quotes(text_of(*step, "type")));
    }
    vocabulary->nfc = true;
  }
  return {};
}

Result<HfVocabulary> read_bpe(const json& tokenizer, const json& model) {
  HfVocabulary vocabulary;
  const json* vocab = member(model, "vocab");
  if (vocab == nullptr || !vocab->is_object()) return invalid_argument("model.vocab: expected an object");
  TESSERA_RETURN_IF_ERROR(read_vocab_object(*vocab, &vocabulary));
  TESSERA_RETURN_IF_ERROR(read_merges(model, &vocabulary));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_of(model, key).empty()) return unsupported("model.{}: not supported", key);
  }
  vocabulary.unknown = text_of(model, "unk_token");
  const json* pre = member(tokenizer, "pre_tokenizer");
  if (const json* byte_level = find_step(pre_tokenizers(tokenizer), "ByteLevel")) {
    vocabulary.model = "gpt2";
    vocabulary.add_space_prefix = flag_of(*byte_level, "add_prefix_space", true);
    // After another step each of its pieces would get a space.
    if (vocabulary.add_space_prefix && pre_tokenizers(tokenizer).front() != byte_level) {
      return unsupported("pre_tokenizer: ByteLevel: add_prefix_space after another step");
    }
    TESSERA_RETURN_IF_ERROR(read_byte_level_normalizer(tokenizer, &vocabulary));
    TESSERA_ASSIGN_OR_RETURN(vocabulary.pre, recognize_pre_tokenizer(*pre));
    return vocabulary;
  }
  if (!flag_of(model, "byte_fallback")) {
    return unsupported("model: BPE that is neither byte-level nor with byte fallback");
  }
  vocabulary.model = "llama";
  vocabulary.add_space_prefix = adds_space_prefix(tokenizer);
  vocabulary.scores = scores_from_merges(vocabulary);
  vocabulary.merges.clear();  // the scores say the same
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    if (is_byte_token(vocabulary.tokens[i])) vocabulary.types[i] = kTokenByte;
  }
  return vocabulary;
}

Result<std::string> decode_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value < 0) return invalid_argument("normalizer.precompiled_charsmap: not base64");
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> count) & 0xff));
    }
  }
  return out;
}

Result<HfVocabulary> read_unigram(const json& tokenizer, const json& model) {
  HfVocabulary vocabulary;
  vocabulary.model = "t5";
  const json* vocab = member(model, "vocab");
  if (vocab == nullptr || !vocab->is_array() || static_cast<int64_t>(vocab->size()) > kMaxTokens) {
    return invalid_argument("model.vocab: expected an array of at most {} tokens", kMaxTokens);
  }
  vocabulary.tokens.resize(vocab->size());
  vocabulary.types.resize(vocab->size());
  for (size_t i = 0; i < vocab->size(); ++i) {
    const json& entry = (*vocab)[i];
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      return invalid_argument("model.vocab: entry {}: expected [token, score]", i);
    }
    vocabulary.scores.push_back(entry[1].get<float>());
    if (!std::isfinite(vocabulary.scores.back())) return invalid_argument("model.vocab: entry {}: score", i);
    TESSERA_RETURN_IF_ERROR(put(entry[0].get<std::string>(), static_cast<int64_t>(i), &vocabulary));
  }
  const json* unk = member(model, "unk_id");
  if (unk && unk->is_number_unsigned() && unk->get<uint64_t>() < vocabulary.tokens.size()) {
    vocabulary.unknown = vocabulary.tokens[unk->get<size_t>()];
  }
  vocabulary.add_space_prefix = adds_space_prefix(tokenizer);
  vocabulary.remove_extra_whitespaces = find_step(pre_tokenizers(tokenizer), "WhitespaceSplit") != nullptr ||
                                        find_step(normalizers(tokenizer), "Replace") != nullptr;
  if (const json* step = find_step(normalizers(tokenizer), "Precompiled")) {
    TESSERA_ASSIGN_OR_RETURN(vocabulary.charsmap, decode_base64(text_of(*step, "precompiled_charsmap")));
  }
  return vocabulary;
}

// GGUF writes the beginning of a word as "▁the" and its continuation as "ing" where WordPiece has "the" and "##ing".
Result<HfVocabulary> read_wordpiece(const json& tokenizer, const json& model) {
  HfVocabulary vocabulary;
  vocabulary.model = "bert";
  const json* vocab = member(model, "vocab");
  if (vocab == nullptr || !vocab->is_object()) return invalid_argument("model.vocab: expected an object");
  if (const std::string prefix = text_of(model, "continuing_subword_prefix"); !prefix.empty() && prefix != "##") {
    return unsupported("model.continuing_subword_prefix: expected \"##\", found {}", in_quotes(prefix));
  }
  TESSERA_RETURN_IF_ERROR(read_vocab_object(*vocab, &vocabulary));
  for (std::string& token : vocabulary.tokens) {
    const bool bracketed = token.starts_with('[') && token.ends_with(']');
    if (token.starts_with("##"))
      token.erase(0, 2);
    else if (!bracketed && !token.empty())
      token.insert(0, kSpace);
  }
  vocabulary.unknown = text_of(model, "unk_token");
  if (const json* step = find_step(normalizers(tokenizer), "BertNormalizer")) {
    vocabulary.lowercase = flag_of(*step, "lowercase", true);
  }
  return vocabulary;
}

}  // namespace

std::vector<float> scores_from_merges(const HfVocabulary& vocabulary) {
  // A token that no merge makes can only be a single character or an added token; SentencePiece would still join its
  // parts if they happened to meet, so it gets a score below all others.
  std::vector<float> scores(vocabulary.tokens.size(), -1e6f);
  float rank = 0;
  for (const std::string& merge : vocabulary.merges) {
    const size_t space = merge.find(' ', 1);
    const int64_t id = vocabulary.find(merge.substr(0, space) + merge.substr(space + 1));
    if (id < 0 || scores[static_cast<size_t>(id)] != -1e6f) continue;
    scores[static_cast<size_t>(id)] = -rank;
    rank += 1;
  }
  return scores;
}

Result<HfVocabulary> vocabulary_from_json(const json& tokenizer) {
  const json* model = member(tokenizer, "model");
  if (model == nullptr || !model->is_object()) return invalid_argument("model: expected an object");
  std::string type = text_of(*model, "type");
  if (type.empty()) type = model->contains("merges") ? "BPE" : "Unigram";  // old files leave it out
  if (type == "BPE") return read_bpe(tokenizer, *model);
  if (type == "Unigram") return read_unigram(tokenizer, *model);
  if (type == "WordPiece") return read_wordpiece(tokenizer, *model);
  return unsupported("model.type: expected BPE, Unigram or WordPiece, found {}", in_quotes(type));
}

Result<HfVocabulary> vocabulary_from_sentencepiece(SentencePieceModel model) {
  HfVocabulary vocabulary;
  if (model.kind == SentencePieceKind::kBpe)
    vocabulary.model = "llama";
  else if (model.kind == SentencePieceKind::kUnigram)
    vocabulary.model = "t5";
  else
    return unsupported("tokenizer.model: expected BPE or Unigram, found model_type {}", static_cast<int>(model.kind));
  vocabulary.tokens = std::move(model.pieces);
  vocabulary.scores = std::move(model.scores);
  vocabulary.types = std::move(model.types);
  vocabulary.charsmap = std::move(model.charsmap);
  vocabulary.add_space_prefix = model.add_dummy_prefix;
  vocabulary.remove_extra_whitespaces = model.remove_extra_whitespaces;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    vocabulary.ids.emplace(vocabulary.tokens[i], static_cast<int32_t>(i));
  }
  if (model.unk_id >= 0) vocabulary.unknown = vocabulary.tokens[static_cast<size_t>(model.unk_id)];
  return vocabulary;
}

Status add_token(const AddedToken& token, HfVocabulary* vocabulary) {
  TESSERA_RETURN_IF_ERROR(
      pad_vocabulary(std::max<int64_t>(token.id + 1, static_cast<int64_t>(vocabulary->tokens.size())), vocabulary));
  const auto index = static_cast<size_t>(token.id);
  vocabulary->tokens[index] = token.content;
  vocabulary->ids[token.content] = static_cast<int32_t>(token.id);
  if (token.content == vocabulary->unknown && vocabulary->model != "gpt2") {
    vocabulary->types[index] = kTokenUnknown;
  } else {
    vocabulary->types[index] = token.special ? kTokenControl : kTokenUserDefined;
  }
  if (token.lstrip) vocabulary->lstrip_ids.push_back(static_cast<int32_t>(token.id));
  if (token.rstrip) vocabulary->rstrip_ids.push_back(static_cast<int32_t>(token.id));
  return {};
}

Status pad_vocabulary(int64_t size, HfVocabulary* vocabulary) {
  const auto count = static_cast<int64_t>(vocabulary->tokens.size());
  if (size > 2 * count + 65536) {
    return invalid_argument("vocab_size: {} with a tokenizer of {} tokens", size, count);
  }
  if (size < count) return invalid_argument("vocab_size: expected at least the tokenizer's {}, found {}", count, size);
  for (int64_t id = count; id < size; ++id) {
    vocabulary->tokens.push_back(fmt::format("[PAD{}]", id));
    vocabulary->types.push_back(kTokenUnused);
    if (!vocabulary->scores.empty()) vocabulary->scores.push_back(-1e6f);
  }
  return {};
}

}  // namespace tessera
