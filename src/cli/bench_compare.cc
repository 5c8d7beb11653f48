#include "cli/bench_compare.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "probe/statistics.h"

namespace tessera {
namespace {

using nlohmann::json;

constexpr size_t kFewestSamples = 4;  // 4 against 4: the smallest possible p of the rank test is 2/70 = 0.029

std::string text_or(const json& record, const char* key, std::string fallback) {
  const auto it = record.find(key);
  return it != record.end() && it->is_string() ? it->get<std::string>() : std::move(fallback);
}

Result<int64_t> whole(const json& record, size_t index, const char* key, bool required) {
  const auto it = record.find(key);
  if (it == record.end() && !required) return int64_t{0};
  if (it == record.end() || !it->is_number_integer() || it->get<int64_t>() < 0) {
    return invalid_argument("record {}: {}: expected a whole number", index, key);
  }
  return it->get<int64_t>();
}

// From the numbers, so that a record of another program gets the same name as ours.
std::string test_name(int64_t prompt, int64_t generate, int64_t depth, int64_t streams) {
  std::string name;
  if (prompt > 0) name = fmt::format("pp{}", prompt);
  if (generate > 0) name += fmt::format("{}tg{}", name.empty() ? "" : "+", generate);
  if (streams > 1) name += fmt::format(" x {}", streams);
  if (depth > 0) name += fmt::format(" @ d{}", depth);
  return name;
}

Result<BenchSeries> read_record(const json& record, size_t index) {
  if (!record.is_object()) return invalid_argument("record {}: expected an object", index);
  BenchSeries series;
  series.model = text_or(record, "model_filename", "");
  if (const size_t slash = series.model.rfind('/'); slash != std::string::npos) series.model.erase(0, slash + 1);
  TESSERA_ASSIGN_OR_RETURN(series.threads, whole(record, index, "n_threads", true));
  TESSERA_ASSIGN_OR_RETURN(const int64_t prompt, whole(record, index, "n_prompt", true));
  TESSERA_ASSIGN_OR_RETURN(const int64_t generate, whole(record, index, "n_gen", true));
  TESSERA_ASSIGN_OR_RETURN(const int64_t depth, whole(record, index, "n_depth", false));
  TESSERA_ASSIGN_OR_RETURN(const int64_t streams, whole(record, index, "n_seqs", false));
  TESSERA_ASSIGN_OR_RETURN(series.batch, whole(record, index, "n_batch", false));
  series.test = test_name(prompt, generate, depth, streams);
  series.weights = text_or(record, "weights", "stored");
  series.cache_types = text_or(record, "type_k", "f16") + "/" + text_or(record, "type_v", "f16");
  const auto samples = record.find("samples_ts");
  if (samples == record.end() || !samples->is_array()) {
    return invalid_argument("record {}: samples_ts: expected an array", index);
  }
  for (const json& v : *samples) {
    if (!v.is_number()) return invalid_argument("record {}: samples_ts: expected numbers", index);
    series.tokens_per_second.push_back(v.get<double>());
  }
  return series;
}

bool same_test(const BenchSeries& a, const BenchSeries& b) { return a.key() == b.key() && a.batch == b.batch; }

std::vector<BenchSeries> pooled(std::span<const BenchSeries> series) {
  std::vector<BenchSeries> out;
  for (const BenchSeries& s : series) {
    const auto same = std::ranges::find_if(out, [&](const BenchSeries& o) { return same_test(o, s); });
    if (same == out.end()) {
      out.push_back(s);
    } else {
      same->tokens_per_second.insert(same->tokens_per_second.end(), s.tokens_per_second.begin(), s.tokens_per_second.end());
    }
  }
  return out;
}

Comparison compare_pair(const BenchSeries& a, const BenchSeries& b, const CompareOptions& options) {
  Comparison c{a, b};
  const double median_a = quantile(a.tokens_per_second, 0.5);
  c.ratio = median_a > 0 ? quantile(b.tokens_per_second, 0.5) / median_a : 0;
  const auto test = options.test == SignificanceTest::kWelch ? welch : mann_whitney;
  c.p_value = test(a.tokens_per_second, b.tokens_per_second).p_value;
  if (std::min(a.tokens_per_second.size(), b.tokens_per_second.size()) < kFewestSamples) {
    c.verdict = Comparison::Verdict::kTooFew;
  } else if (c.p_value < options.alpha && std::abs(c.ratio - 1) > options.threshold) {
    c.verdict = c.ratio > 1 ? Comparison::Verdict::kFaster : Comparison::Verdict::kSlower;
  }
  return c;
}

const char* verdict_text(Comparison::Verdict verdict) {
  switch (verdict) {
    case Comparison::Verdict::kFaster: return "faster";
    case Comparison::Verdict::kSlower: return "SLOWER";
    case Comparison::Verdict::kTooFew: return "too few samples";
    case Comparison::Verdict::kSame: break;
  }
  return "no difference shown";
}

}  // namespace

std::string BenchSeries::key() const { return fmt::format("{}|{}|{}|{}|{}", model, weights, test, threads, cache_types); }

Result<std::vector<BenchSeries>> read_series(std::string_view text) {
  std::vector<json> records;
  if (json whole_text = json::parse(text, nullptr, false); whole_text.is_array()) {
    records.assign(whole_text.begin(), whole_text.end());
  } else {
    size_t line_number = 1;
    for (size_t begin = 0; begin < text.size(); ++line_number) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view line = text.substr(begin, end - begin);
      begin = end + 1;
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      json record = json::parse(line, nullptr, false);
      if (record.is_discarded()) {
        return invalid_argument("line {}: expected a JSON array of records or one record per line", line_number);
      }
      records.push_back(std::move(record));
    }
  }
  std::vector<BenchSeries> series;
  for (size_t i = 0; i < records.size(); ++i) {
    TESSERA_ASSIGN_OR_RETURN(BenchSeries s, read_record(records[i], i));
    series.push_back(std::move(s));
  }
  return series;
}

std::vector<Comparison> compare_series(std::span<const BenchSeries> a, std::span<const BenchSeries> b,
                                       const CompareOptions& options) {
  std::vector<Comparison> out;
  const std::vector<BenchSeries> all_a = pooled(a), all_b = pooled(b);
  for (const BenchSeries& sa : all_a) {
    const auto same_key = [&](const BenchSeries& s) { return s.key() == sa.key(); };
    const bool only = std::ranges::count_if(all_a, same_key) == 1 && std::ranges::count_if(all_b, same_key) == 1;
    const auto match = std::ranges::find_if(
        all_b, [&](const BenchSeries& sb) { return only ? same_key(sb) : same_test(sa, sb); });
    if (match == all_b.end()) continue;
    out.push_back(compare_pair(sa, *match, options));
    if (!only) out.back().a.test += fmt::format(" b{}", sa.batch);
    if (only && sa.batch != match->batch && sa.batch > 0 && match->batch > 0) {
      out.back().a.test += fmt::format(" b{}/b{}", sa.batch, match->batch);
    }
  }
  return out;
}

std::string comparison_table(std::span<const Comparison> comparisons, const CompareOptions& options) {
  std::string out = fmt::format("{}, two-sided, p < {}\n\n",
                                options.test == SignificanceTest::kWelch ? "Welch's t-test" : "Mann-Whitney U test",
                                options.alpha);
  out += "| model                          | test               | threads |    A t/s |  n |    B t/s |  n |   B/A |      p | verdict |\n";
  out += "| ------------------------------ | ------------------ | ------: | -------: | -: | -------: | -: | ----: | -----: | ------- |\n";
  for (const Comparison& c : comparisons) {
    out += fmt::format("| {:<30} | {:<18} | {:>7} | {:>8.2f} | {:>2} | {:>8.2f} | {:>2} | {:>5.3f} | {:>6.4f} | {:<7} |\n",
                       c.a.model, c.a.test, c.a.threads, quantile(c.a.tokens_per_second, 0.5),
                       c.a.tokens_per_second.size(), quantile(c.b.tokens_per_second, 0.5), c.b.tokens_per_second.size(),
                       c.ratio, c.p_value, verdict_text(c.verdict));
  }
  return out;
}

}  // namespace tessera
