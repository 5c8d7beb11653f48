#include "cli/sampling_flags.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <random>

namespace tessera {
namespace {

// All of the text is a number in range.
template <class T>
bool parses(const char* begin, const char* end, T* value) {
  const auto [stop, error] = std::from_chars(begin, end, *value);
  return error == std::errc() && stop == end;
}

// "1234+2.5", "77-1": adds to the logit of a token.
Status parse_logit_bias(const std::vector<std::string>& texts, SamplerSettings* settings) {
  for (const std::string& text : texts) {
    const size_t sign = text.find_first_of("+-", 1);
    int32_t token = 0;
    float bias = 0;
    const char* end = text.data() + text.size();
    const bool ok = sign != std::string::npos &&
                    parses(text.data(), text.data() + sign, &token) && parses(text.data() + sign + 1, end, &bias) &&
                    std::isfinite(bias);
    if (!ok) return invalid_argument("--logit-bias: expected TOKEN_ID+BIAS or TOKEN_ID-BIAS, found '{}'", text);
    settings->logit_bias.emplace_back(token, text[sign] == '-' ? -bias : bias);
  }
  return {};
}

void recommend(std::string_view key, double value, SamplerSettings* s) {
  if (key == "temp") s->temperature = static_cast<float>(value);
  if (key == "top_k") s->top_k = static_cast<int32_t>(value);
  if (key == "top_p") s->top_p = static_cast<float>(value);
  if (key == "min_p") s->min_p = static_cast<float>(value);
  if (key == "penalty_repeat") s->repeat_penalty = static_cast<float>(value);
  if (key == "penalty_last_n") s->penalty_last_n = static_cast<int32_t>(value);
}

// CLI::Range would let nan pass.
CLI::Validator in_range(double least, double most) {
  const auto check = [least, most](std::string& text) {
    double value = 0;
    const bool ok = CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
    return std::string(ok ? "" : "out of range");
  };
  return {check, fmt::format("FLOAT in [{} - {}]", least, most)};
}

}  // namespace

Status check_logit_bias(const SamplingFlags& flags) {
  SamplerSettings unused;
  return parse_logit_bias(flags.logit_bias, &unused);
}

void add_sampling_flags(CLI::App& app, SamplingFlags* flags) {
  SamplerSettings* s = &flags->settings;
  const auto recommendable = [&](CLI::Option* option, const char* key) {
    flags->recommendable.emplace_back(option->capture_default_str(), key);
  };
  // The ranges of SamplerSettings::validate(), told before a model is loaded.
  const auto real = [&](const char* names, float* value, double least, double most, const char* help) {
    return app.add_option(names, *value, help)->check(in_range(least, most))->capture_default_str();
  };
  const auto whole = [&](const char* names, int32_t* value, int32_t least, int32_t most, const char* help) {
    return app.add_option(names, *value, help)->check(CLI::Range(least, most))->capture_default_str();
  };
  constexpr int32_t kMost = 1'000'000'000;
  recommendable(real("--temp,--temperature", &s->temperature, 0, 100, "0: always the likeliest token"), "temp");
  recommendable(whole("--top-k", &s->top_k, 0, kMost, "Keep the k likeliest; 0: off"), "top_k");
  recommendable(real("--top-p", &s->top_p, 0, 1, "Keep the likeliest that reach this probability together; 1: off"), "top_p");
  recommendable(real("--min-p", &s->min_p, 0, 1, "Drop tokens less likely than this share of the likeliest; 0: off"), "min_p");
  recommendable(real("--repeat-penalty", &s->repeat_penalty, 1e-3, 1e3, "Divide the logits of repeated tokens; 1: off"),
                "penalty_repeat");
  recommendable(whole("--repeat-last-n", &s->penalty_last_n, -1, kMost, "Tokens that the penalties look back at; -1: all"),
                "penalty_last_n");
  real("--frequency-penalty", &s->frequency_penalty, -100, 100, "Subtract per occurrence");
  real("--presence-penalty", &s->presence_penalty, -100, 100, "Subtract once per repeated token");
  app.add_option("-s,--seed", flags->seed, "Same seed, same text; -1: random")->capture_default_str();
  app.add_option("-l,--logit-bias", flags->logit_bias, "TOKEN_ID+BIAS or TOKEN_ID-BIAS; repeatable");
  whole("--logprobs", &s->logprobs, 0, 100, "With --json: the n likeliest tokens at every step");
}

Result<SamplerSettings> sampler_settings(const SamplingFlags& flags, const Metadata& metadata) {
  SamplerSettings settings = flags.settings;
  for (const auto& [option, name] : flags.recommendable) {
    const std::string key = "general.sampling." + name;
    if (option->count() > 0 || !metadata.contains(key)) continue;
    TESSERA_ASSIGN_OR_RETURN(const double value, metadata.number(key));
    if (!(value >= -1 && value <= 1e6)) return invalid_argument("{}: expected a number from -1 to 1e6, found {}", key, value);
    recommend(name, value, &settings);
  }
  TESSERA_RETURN_IF_ERROR(parse_logit_bias(flags.logit_bias, &settings));
  settings.seed = flags.seed < 0 ? std::random_device{}() : static_cast<uint64_t>(flags.seed);
  return settings;
}

}  // namespace tessera
