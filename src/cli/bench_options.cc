#include "cli/bench_options.h"

#include <cctype>
#include <charconv>

#include "cli/common_flags.h"

namespace tessera {
namespace {

constexpr size_t kMostValues = 4096;
constexpr int64_t kMostAmount = 1 << 24;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool parse_whole(std::string_view text, int64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

// first[-last[+step | *factor]]
struct Range {
  int64_t first = 0, last = 0, step = 1, factor = 1;
};

bool parse_range(std::string_view text, Range* range) {
  const size_t dash = text.find('-', 1);
  if (!parse_whole(text.substr(0, dash), &range->first)) return false;
  range->last = range->first;
  if (dash == std::string_view::npos) return true;
  std::string_view rest = text.substr(dash + 1);
  const size_t sign = rest.find_first_of("+*");
  if (!parse_whole(rest.substr(0, sign), &range->last)) return false;
  if (sign == std::string_view::npos) return true;
  int64_t* amount = rest[sign] == '+' ? &range->step : &range->factor;
  if (!parse_whole(rest.substr(sign + 1), amount)) return false;
  if (rest[sign] == '*') range->step = 0;
  // A step that does not move forward would never end; a huge one would overflow.
  if (*amount > kMostAmount) return false;
  return rest[sign] == '+' ? range->step > 0 : range->factor > 1 && range->first > 0;
}

}  // namespace

Result<BenchFormat> parse_bench_format(std::string_view name) {
  constexpr std::pair<std::string_view, BenchFormat> kNames[] = {
      {"none", BenchFormat::kNone}, {"md", BenchFormat::kMarkdown},      {"csv", BenchFormat::kCsv},
      {"json", BenchFormat::kJson}, {"jsonl", BenchFormat::kJsonLines}, {"sql", BenchFormat::kSql}};
  for (const auto& [known, format] : kNames) {
    if (name == known) return format;
  }
  return invalid_argument("--output {}: expected md, csv, json, jsonl, sql or none", name);
}

Result<std::vector<int64_t>> parse_numbers(std::string_view option, std::string_view text, int64_t low, int64_t high) {
  std::vector<int64_t> values;
  for (const std::string_view part : split(text, ',')) {
    Range range;
    if (!parse_range(part, &range)) {
      return invalid_argument("{} {}: expected numbers or ranges first-last[+step|*factor]", option, part);
    }
    if (range.first < low || range.last > high || range.first > range.last) {
      return invalid_argument("{} {}: expected values from {} to {}", option, part, low, high);
    }
    for (int64_t v = range.first; v <= range.last; v = v * range.factor + range.step) {
      if (values.size() >= kMostValues) return invalid_argument("{} {}: more than {} values", option, part, kMostValues);
      values.push_back(v);
    }
  }
  return values;
}

Result<std::vector<std::pair<int64_t, int64_t>>> parse_pairs(std::string_view option, std::string_view text) {
  constexpr int64_t kMost = 1 << 24;
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (const std::string_view part : split(text, ';')) {
    const std::vector<std::string_view> halves = split(part, ',');
    int64_t prompt = 0, generate = 0;
    if (halves.size() != 2 || !parse_whole(halves[0], &prompt) || !parse_whole(halves[1], &generate) || prompt < 1 ||
        generate < 1 || prompt > kMost || generate > kMost) {
      return invalid_argument("{} {}: expected prompt,generate such as 512,128", option, part);
    }
    pairs.emplace_back(prompt, generate);
  }
  return pairs;
}

Result<std::vector<DType>> parse_cache_types(std::string_view option, std::string_view text) {
  std::vector<DType> types;
  for (const std::string_view part : split(text, ',')) {
    const auto type = dtype_from_name(part);
    const bool known = type && (*type == DType::kF32 || *type == DType::kF16 || *type == DType::kBF16 || *type == DType::kQ8_0);
    if (!known) return invalid_argument("{} {}: expected f32, f16, bf16 or q8_0", option, part);
    types.push_back(*type);
  }
  return types;
}

Result<std::vector<std::string>> parse_weight_choices(std::string_view text) {
  std::vector<std::string> choices;
  for (const std::string_view part : split(text, ',')) {
    if (const auto choice = parse_weights(part); !choice.ok()) return choice.status();
    choices.push_back(lower(part));
  }
  return choices;
}

std::string BenchCase::test_name() const {
  std::string name;
  if (prompt > 0) name = fmt::format("pp{}", prompt);
  if (generate > 0) name += fmt::format("{}tg{}", prompt > 0 ? "+" : "", generate);
  if (streams > 1) name += fmt::format(" x {}", streams);
  if (depth > 0) name += fmt::format(" @ d{}", depth);
  return name;
}

namespace {

// The tests of one engine configuration, in llama-bench's order: prompt, generation, both.
void add_tests(const BenchOptions& o, BenchCase base, int64_t depth, std::vector<BenchCase>* cases) {
  base.depth = depth;
  const auto add = [&](int64_t prompt, int64_t generate, int64_t streams) {
    base.prompt = prompt;
    base.generate = generate;
    base.streams = streams;
    cases->push_back(base);
  };
  for (const int64_t prompt : o.prompt_tokens) {
    if (prompt > 0) add(prompt, 0, 1);
  }
  for (const int64_t generate : o.generate_tokens) {
    for (const int64_t streams : o.streams) {
      if (generate > 0) add(0, generate, streams);
    }
  }
  for (const auto& [prompt, generate] : o.prompt_and_generate) add(prompt, generate, 1);
}

}  // namespace

std::vector<BenchCase> expand_cases(const BenchOptions& o) {
  std::vector<BenchCase> cases;
  const std::vector<int64_t> threads = o.threads.empty() ? std::vector<int64_t>{0} : o.threads;
  for (const std::string& model : o.models) {
    for (const std::string& weights : o.weights) {
      for (const int64_t t : threads) {
        for (const int64_t batch : o.batches) {
          for (const DType k : o.k_types) {
            for (const DType v : o.v_types) {
              for (const int64_t depth : o.depths) add_tests(o, {model, weights, t, batch, k, v}, depth, &cases);
            }
          }
        }
      }
    }
  }
  return cases;
}

}  // namespace tessera
