#include "cli/bench_output.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/cpu_features.h"
#include "cli/build_commit.h"
#include "cli/console.h"
#include "formats/text.h"
#include "planner/search.h"
#include "probe/statistics.h"

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

std::vector<double> map_samples(const BenchResult& r, double BenchSample::*field) {
  std::vector<double> values;
  for (const BenchSample& s : r.samples) values.push_back(s.*field);
  return values;
}

Json state_names(const BenchResult& r) {
  Json names = Json::array();
  for (const BenchSample& s : r.samples) names.push_back(to_string(s.state));
  return names;
}

// A value as one CSV or SQL cell; arrays become their JSON text.
std::string cell(const Json& value) { return value.is_string() ? printable(value.get<std::string>()) : value.dump(); }

std::string quoted(std::string text, char quote) {
  for (size_t at = 0; (at = text.find(quote, at)) != std::string::npos; at += 2) text.insert(at, 1, quote);
  return quote + text + quote;
}

std::string join(const Json& record, const std::string& separator, std::string (*part)(const std::string&, const Json&)) {
  std::string out;
  for (const auto& [key, value] : record.items()) out += (out.empty() ? "" : separator) + part(key, value);
  return out;
}

std::string sql_type(const Json& value) {
  if (value.is_number_float()) return "REAL";
  return value.is_number() || value.is_boolean() ? "INTEGER" : "TEXT";
}

std::string size_text(uint64_t bytes) {
  const auto b = static_cast<double>(bytes);
  return b >= 1 << 30 ? fmt::format("{:.2f} GiB", b / (1 << 30)) : fmt::format("{:.2f} MiB", b / (1 << 20));
}

std::string params_text(int64_t n) {
  const auto p = static_cast<double>(n);
  return p >= 1e9 ? fmt::format("{:.2f} B", p * 1e-9) : fmt::format("{:.2f} M", p * 1e-6);
}

std::string states_text(const BenchResult& r) {
  int near = 0, far = 0;
  for (const BenchSample& s : r.samples) {
    near += s.state == CoreState::kNear;
    far += s.state == CoreState::kFar;
  }
  const int mixed = static_cast<int>(r.samples.size()) - near - far;
  std::string text;
  for (const auto& [count, name] : {std::pair(near, "near"), std::pair(far, "far"), std::pair(mixed, "?")}) {
    if (count > 0) text += fmt::format("{}{}{}", text.empty() ? "" : " ", name, count > 1 ? fmt::format(" {}", count) : "");
  }
  return text;
}

// Predicted over measured rate - 1, medians; 0 without a prediction.
double prediction_error(const BenchResult& r) {
  const double predicted = r.predicted_tokens_per_second();
  return predicted > 0 ? predicted / quantile(r.tokens_per_second(), 0.5) - 1 : 0;
}

double median_limit(const BenchResult& r) { return quantile(map_samples(r, &BenchSample::limit_fraction), 0.5); }

std::string markdown_row(const BenchResult& r) {
  const Summary rate = summarize(r.tokens_per_second());
  const double predicted = r.predicted_tokens_per_second(), limit = median_limit(r);
  return fmt::format("| {:<30} | {:>10} | {:>10} | {:<7} | {:>7} | {:>15} | {:>16} | {:>17} | {:>5} | {:<14} |\n", r.model.type,
                     size_text(r.model.size_bytes), params_text(r.model.parameters), "CPU", r.test.threads,
                     r.test.test_name(), fmt::format("{:.2f} ± {:.2f}", rate.mean, rate.stddev),
                     predicted > 0 ? fmt::format("{:.2f} ({:+.0f} %)", predicted, 100 * prediction_error(r)) : "-",
                     limit > 0 ? fmt::format("{:.0f} %", 100 * limit) : "-", states_text(r));
}

constexpr const char* kMarkdownHead =
    "| model                          |       size |     params | backend | threads |            test |              t/s "
    "|     predicted t/s | limit | cores          |\n"
    "| ------------------------------ | ---------: | ---------: | ------- | ------: | --------------: | ---------------: "
    "| ----------------: | ----: | -------------- |\n";

}  // namespace

Json bench_record(const BenchResult& r) {
  const std::vector<double> rates = r.tokens_per_second();
  std::vector<uint64_t> ns;
  std::vector<double> seconds_ns;
  for (const BenchSample& s : r.samples) {
    ns.push_back(static_cast<uint64_t>(s.seconds * 1e9));
    seconds_ns.push_back(s.seconds * 1e9);
  }
  const Summary time = summarize(seconds_ns), rate = summarize(rates);
  return {
      {"build_commit", build_commit()},
      {"build_number", build_number()},
      {"cpu_info", cpu_model_name()},
      {"gpu_info", ""},
      {"backends", "CPU"},
      {"model_filename", r.model.path},
      {"model_type", r.model.type},
      {"model_size", r.model.size_bytes},
      {"model_n_params", r.model.parameters},
      {"n_batch", r.test.batch},
      {"n_ubatch", r.test.batch},
      {"n_threads", r.test.threads},
      {"cpu_mask", "0x0"},
      {"cpu_strict", false},
      {"poll", 50},
      {"type_k", to_string(r.test.k_type)},
      {"type_v", to_string(r.test.v_type)},
      {"n_gpu_layers", 0},
      {"split_mode", "none"},
      {"main_gpu", 0},
      {"no_kv_offload", false},
      {"flash_attn", true},
      {"devices", "CPU"},
      {"tensor_split", "0.00"},
      {"use_mmap", true},
      {"embeddings", false},
      {"n_prompt", r.test.prompt},
      {"n_gen", r.test.generate},
      {"n_depth", r.test.depth},
      {"test_time", r.time},
      {"avg_ns", static_cast<uint64_t>(time.mean)},
      {"stddev_ns", static_cast<uint64_t>(time.stddev)},
      {"avg_ts", rate.mean},
      {"stddev_ts", rate.stddev},
      {"samples_ns", ns},
      {"samples_ts", rates},
      // Ours.
      {"engine", "tessera"},
      {"test", r.test.test_name()},
      {"n_seqs", r.test.streams},
      {"weights", r.test.weights},
      {"type_weights", r.model.weight_type},
      {"median_ts", rate.median},
      {"p10_ts", quantile(rates, 0.1)},
      {"p90_ts", quantile(rates, 0.9)},
      {"predicted_ns", static_cast<uint64_t>(r.prediction.seconds * 1e9)},
      {"predicted_ts", r.predicted_tokens_per_second()},
      {"predicted_error", prediction_error(r)},
      {"predicted_interval", r.prediction.relative_error},
      {"n_ctx", r.context_tokens},
      {"n_ctx_used", r.used_context},
      {"n_ctx_seqs", r.most_sequences},
      {"n_tokens_read", r.tokens_read},
      {"predicted_peak_bytes", static_cast<uint64_t>(r.prediction.peak_bytes)},
      {"predicted_from", r.hardware},
      {"limit_fraction", median_limit(r)},
      {"samples_core_state", state_names(r)},
      {"samples_core_ns", map_samples(r, &BenchSample::core_ns)},
      {"samples_other_cpus", map_samples(r, &BenchSample::other_cpu)},
      {"samples_limit_fraction", map_samples(r, &BenchSample::limit_fraction)},
      {"model_fingerprint", fmt::format("{:016x}", r.model.fingerprint)},
      {"load_seconds", r.model.load_seconds},
      {"packed_bytes", r.model.packed_bytes},
      {"peak_resident_bytes", r.peak_resident_bytes},
      {"cpu_features", cpu_feature_names(cpu_features())},
  };
}

std::string BenchPrinter::begin() const {
  if (format_ == BenchFormat::kJson) return "[\n";
  return format_ == BenchFormat::kMarkdown ? kMarkdownHead : "";
}

std::string BenchPrinter::result(const BenchResult& result) {
  const bool first = std::exchange(first_, false);
  const Json record = bench_record(result);
  switch (format_) {
    case BenchFormat::kNone: return "";
    case BenchFormat::kMarkdown:
      if (median_limit(result) > 1) (result.model.in_cache ? in_cache_ : above_limit_) = true;
      uncalibrated_ |= result.prediction.below_calibrated_size;
      return markdown_row(result);
    case BenchFormat::kJson: return (first ? "" : ",\n") + json_text(record, 2);
    case BenchFormat::kJsonLines: return json_text(record, -1) + "\n";
    case BenchFormat::kCsv: {
      const auto name = [](const std::string& key, const Json&) { return key; };
      const auto value = [](const std::string&, const Json& v) { return quoted(cell(v), '"'); };
      return (first ? join(record, ",", name) + "\n" : "") + join(record, ",", value) + "\n";
    }
    case BenchFormat::kSql: {
      const auto column = [](const std::string& key, const Json& v) { return "  " + key + " " + sql_type(v); };
      const auto name = [](const std::string& key, const Json&) { return key; };
      const auto value = [](const std::string&, const Json& v) { return quoted(cell(v), '\''); };
      std::string out;
      if (first) out = "CREATE TABLE IF NOT EXISTS test (\n" + join(record, ",\n", column) + "\n);\n\n";
      return out + "INSERT INTO test (" + join(record, ", ", name) + ") VALUES (" + join(record, ", ", value) + ");\n";
    }
  }
  return "";
}

std::string BenchPrinter::end() const {
  if (format_ == BenchFormat::kJson) return "\n]\n";
  std::string notes;
  if (in_cache_)
    notes += "\nlimit above 100 %: it assumes weights that come from memory; these stay in the processor's cache.\n";
  if (above_limit_)
    notes +=
        "\nlimit above 100 %: the machine is faster now than when it was probed (`tessera probe` again), "
        "or part of the weights stays in the cache.\n";
  if (uncalibrated_)
    notes += "\npredicted: not calibrated for models this small, " + format_interval(kUncalibratedError) + ".\n";
  return notes;
}

}  // namespace tessera
