#include "formats/hf_pretokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "formats/text.h"

namespace tessera {
namespace {

using nlohmann::json;

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeekCjk = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";

// Steps that are no pattern are written "<Name>"; kAny matches any one step.
constexpr std::string_view kAny = "*";
constexpr std::string_view kByteLevel = "<ByteLevel>";  // with GPT-2's own pattern
constexpr std::string_view kDigits = "<Digits>";
constexpr std::string_view kSingleDigits = "<Digits one by one>";
constexpr std::string_view kPunctuation = "<Punctuation>";

struct Known {
  std::string_view name;
  std::vector<std::string_view> steps;
};

const std::vector<Known>& known_lists() {
  static const std::vector<Known> lists = {
      {"gpt-2", {kByteLevel}},
      {"llama-bpe", {kLlama3}},
      {"qwen2", {kQwen2}},
      {"gpt-4o", {kGpt4o}},
      {"tekken", {kTekken}},
      {"smollm", {kSingleDigits, kByteLevel}},
      {"falcon", {kPunctuation, kByteLevel, kDigits, "[0-9][0-9][0-9]"}},
      // The long lists of letters and of punctuation marks in the middle are told apart by their neighbours.
      {"deepseek-llm", {R"([\r\n])", kAny, kAny, R"(\s+$)", kDeepSeekCjk, kSingleDigits}},
      {"deepseek-coder", {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepSeekCjk, kSingleDigits}},
      {"deepseek-v3", {R"(\p{N}{1,3})", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", kAny}},
  };
  return lists;
}

bool flag(const json& object, const char* key, bool fallback) {
  const auto it = object.find(key);
  return it != object.end() && it->is_boolean() ? it->get<bool>() : fallback;
}

Status add_step(const json& step, std::vector<std::string>* steps) {
  const auto type = step.is_object() ? step.find("type") : step.end();
  if (!step.is_object() || type == step.end() || !type->is_string()) {
    return invalid_argument("pre_tokenizer: expected an object with a type");
  }
  const auto& name = type->get_ref<const std::string&>();
  if (name == "ByteLevel") {
    if (flag(step, "use_regex", true)) steps->emplace_back(kByteLevel);
  } else if (name == "Digits") {
    steps->emplace_back(flag(step, "individual_digits", false) ? kSingleDigits : kDigits);
  } else if (name == "Punctuation") {
    steps->emplace_back(kPunctuation);
  } else if (name == "Split") {
    const auto pattern = step.find("pattern");
    const bool has_regex =
        pattern != step.end() && pattern->is_object() && pattern->contains("Regex") && pattern->at("Regex").is_string();
    if (!has_regex) return unsupported("pre_tokenizer: Split without a Regex pattern");
    steps->push_back(pattern->at("Regex").get<std::string>());
  } else {
    return unsupported("pre_tokenizer: step {} is not supported", in_quotes(name));
  }
  return {};
}

bool same_steps(const std::vector<std::string>& steps, const std::vector<std::string_view>& known) {
  return std::ranges::equal(steps, known, [](const std::string& a, std::string_view b) { return b == kAny || a == b; });
}

}  // namespace

Result<std::string> recognize_pre_tokenizer(const json& pre_tokenizer) {
  std::vector<std::string> steps;
  const bool sequence = pre_tokenizer.is_object() && pre_tokenizer.contains("pretokenizers");
  if (sequence) {
    const json& list = pre_tokenizer.at("pretokenizers");
    if (!list.is_array() || list.size() > 16) {
      return invalid_argument("pre_tokenizer: pretokenizers: expected an array of at most 16 steps");
    }
    for (const json& step : list) TESSERA_RETURN_IF_ERROR(add_step(step, &steps));
  } else {
    TESSERA_RETURN_IF_ERROR(add_step(pre_tokenizer, &steps));
  }
  for (const Known& known : known_lists()) {
    if (same_steps(steps, known.steps)) return std::string(known.name);
  }
  std::string listed;
  for (const std::string& step : steps) listed += (listed.empty() ? "" : ", ") + quotable(step, 60);
  return unsupported("pre_tokenizer: the steps [{}] are not known", listed);
}

}  // namespace tessera
