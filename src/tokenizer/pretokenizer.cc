#include "tokenizer/pretokenizer.h"

#include <algorithm>
#include <array>

#include "tokenizer/utf8.h"

namespace tessera {
namespace {

// The patterns as the vocabularies' own tokenizer.json (or tiktoken source) state them. Where a file names a ready-made
// step (Punctuation, Digits, ByteLevel), it is written out as a pattern.
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

// DeepSeek LLM lists the cased letters of its Unicode version one by one.
constexpr const char* kDeepSeekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ\x{1f5f}-\x{1f7d}ᾀ-ᾴᾶ-ᾼ)"
    R"(\x{1fbe}ῂ-ῄῆ-ῌῐ-\x{1fd3}ῖ-\x{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎ)"
    R"(ꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr const char* kDeepSeekCjk = R"([\x{4e00}-\x{9fa5}\x{0800}-\x{4e00}\x{ac00}-\x{d7ff}]+)";
// "\s+$" of the original: white space at the very end. Written so that a long run elsewhere is tried once, not from
// each of its characters.
constexpr const char* kTrailingSpace = R"((?<!\s)\s++\z)";
constexpr const char* kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Pattern {
  std::vector<const char*> stages;
  std::vector<std::string_view> names;
  bool ignore_merges = false;
};

const std::vector<Pattern>& patterns() {
  static const std::vector<Pattern> table = {
      {{R"([\p{P}$+<=>^~|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}, {"default"}},
      {{kGpt2},
       {"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "jina-es", "jina-de", "jina-v2-es",
        "jina-v2-de", "jina-v1-en", "jina-v2-code", "roberta-bpe", "gigachat", "a.x-4.0", "mellum", "modern-bert",
        "exaone4"}},
      {{kLlama3}, {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"}, true},
      {{kLlama3}, {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}},
      {{kQwen2}, {"qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open", "kormo"}},
      {{kQwen35}, {"qwen35"}},
      {{kGpt4o}, {"gpt-4o", "llama4", "kanana2", "minimax-m2"}},
      {{kTekken}, {"tekken"}, true},
      {{R"([\r\n])", kDeepSeekLetters,
        R"(\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+)", kTrailingSpace,
        kDeepSeekCjk, R"(\p{N}+)"},
       {"deepseek-llm"}},
      {{R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepSeekCjk, R"(\p{N})"}, {"deepseek-coder"}},
      {{R"(\p{N}{1,3})", R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)", kDeepSeek3},
       {"deepseek-v3", "hunyuan-dense", "joyai-llm"}},
      {{R"([\p{P}$+<=>^~|`]+)", kGpt2, "[0-9][0-9][0-9]"}, {"falcon"}},
      {{R"(\p{N})", kGpt2},
       {"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"}},
      {{kSeedCoder}, {"seed-coder"}},
      {{kBailing}, {"bailingmoe", "bailingmoe2", "llada-moe"}},
      {{kBloom}, {"bloom", "poro-chat", "gpt3-finnish"}},
      {{kBloom, R"(\p{N})"}, {"viking"}},
  };
  return table;
}

}  // namespace

Result<PreTokenizer> PreTokenizer::create(std::string_view name) {
  for (const Pattern& pattern : patterns()) {
    if (std::find(pattern.names.begin(), pattern.names.end(), name) == pattern.names.end()) continue;
    PreTokenizer pre;
    pre.ignore_merges_ = pattern.ignore_merges;
    for (const char* stage : pattern.stages) {
      TESSERA_ASSIGN_OR_RETURN(Regex regex, Regex::compile(stage));
      pre.stages_.push_back(std::move(regex));
    }
    return pre;
  }
  return unsupported("tokenizer.ggml.pre: expected a known pre-tokenizer, found \"{}\"", name);
}

void PreTokenizer::split(std::string_view text, FunctionRef<void(std::string_view)> word) const {
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    if (valid > 0) split_from(0, text.substr(0, valid), word);
    text.remove_prefix(valid);
    size_t broken = 0;
    while (broken < text.size() && !decode_utf8(text, broken).valid) ++broken;
    if (broken > 0) word(text.substr(0, broken));
    text.remove_prefix(broken);
  }
}

void PreTokenizer::split_from(size_t stage, std::string_view text, FunctionRef<void(std::string_view)> word) const {
  if (stage == stages_.size()) {
    word(text);
    return;
  }
  stages_[stage].split(text, [&](std::string_view piece) { split_from(stage + 1, piece, word); });
}

std::vector<std::string_view> pre_tokenizer_names() {
  std::vector<std::string_view> names;
  for (const Pattern& pattern : patterns()) names.insert(names.end(), pattern.names.begin(), pattern.names.end());
  return names;
}

}  // namespace tessera
