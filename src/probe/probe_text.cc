// ProbeReport as a table for people and as JSON for `bench` and scripts.
#include <nlohmann/json.hpp>

#include "probe/probe.h"
#include "probe/statistics.h"

namespace tessera {
namespace {

using nlohmann::json;

std::string_view type_name(PeakType type) {
  switch (type) {
    case PeakType::kF32: return "f32";
    case PeakType::kBF16: return "bf16";
    case PeakType::kI8: break;
  }
  return "int8";
}

std::string row(std::string_view what, std::string_view detail, int threads, std::string_view unit,
                std::span<const double> samples) {
  const Summary s = summarize(samples);
  if (s.count == 0) return {};
  return fmt::format("| {:<22} | {:<24} | {:>7} | {:>9.1f} | {:>9.1f} | {:>9.1f} | {:>3} | {:<6} |\n", what, detail,
                     threads, s.median, s.min, s.max, s.count, unit);
}

std::string size_text(uint64_t bytes) {
  return bytes >= (1u << 20) ? fmt::format("{} MiB", bytes >> 20) : fmt::format("{} KiB", bytes >> 10);
}

json numbers(std::span<const double> samples) {
  const Summary s = summarize(samples);
  return {{"median", s.median}, {"min", s.min}, {"max", s.max}, {"samples", samples}};
}

json numbers_by_state(std::span<const StateSample> samples) {
  json j = numbers(values_of(samples));
  json states = json::array();
  for (const StateSample& s : samples) states.push_back(to_string(s.state));
  j["states"] = std::move(states);
  return j;
}

json memory_json(const BandwidthResult& r) {
  json j = numbers_by_state(r.samples);
  j["threads"] = r.threads;
  j["huge_pages"] = r.huge_pages;
  return j;
}

// A member of the wanted kind, or null with `status` set.
class Reader {
 public:
  const json* member(const json& object, const char* key, bool (json::*is_kind)() const noexcept, const char* kind) {
    if (object.is_object()) {
      if (const auto it = object.find(key); it != object.end() && ((*it).*is_kind)()) return &*it;
    }
    if (status_.ok()) status_ = invalid_argument("{}: expected {}", key, kind);
    return nullptr;
  }
  double number(const json& object, const char* key) {
    const json* j = member(object, key, &json::is_number, "a number");
    return j == nullptr ? 0 : j->get<double>();
  }
  std::string text(const json& object, const char* key) {
    const json* j = member(object, key, &json::is_string, "a string");
    return j == nullptr ? std::string() : j->get<std::string>();
  }
  bool boolean(const json& object, const char* key) {
    const json* j = member(object, key, &json::is_boolean, "true or false");
    return j != nullptr && j->get<bool>();
  }
  // Elements of an array; none when it is missing.
  const json& array(const json& object, const char* key) {
    static const json kEmpty = json::array();
    const json* j = member(object, key, &json::is_array, "an array");
    return j == nullptr ? kEmpty : *j;
  }
  std::vector<double> samples(const json& object) {
    std::vector<double> values;
    for (const json& v : array(object, "samples")) {
      if (!v.is_number()) {
        fail("samples: expected numbers");
        break;
      }
      values.push_back(v.get<double>());
    }
    return values;
  }
  int whole(const json& object, const char* key) {
    const double v = number(object, key);
    if (!(v >= 0 && v <= 1e6)) fail(fmt::format("{}: expected 0 to 1000000", key));
    return status_.ok() ? static_cast<int>(v) : 0;
  }
  void fail(std::string message) {
    if (status_.ok()) status_ = Status(StatusCode::kInvalidArgument, std::move(message));
  }
  const Status& status() const { return status_; }

 private:
  Status status_;
};

CoreState state_from(const json& j) {
  if (j == "near") return CoreState::kNear;
  if (j == "far") return CoreState::kFar;
  return CoreState::kUnknown;
}

std::vector<StateSample> read_by_state(Reader& reader, const json& j) {
  std::vector<StateSample> read;
  const std::vector<double> samples = reader.samples(j);
  const json& states = reader.array(j, "states");
  if (states.size() != samples.size()) reader.fail("states: expected as many as samples");
  for (size_t i = 0; i < std::min(samples.size(), states.size()); ++i) read.push_back({samples[i], state_from(states[i])});
  return read;
}

// Kernel rates of a file from before they had states are left out.
void read_kernels(Reader& reader, const json& j, ProbeReport* report) {
  if (!j.contains("kernels")) return;
  for (const json& k : reader.array(j, "kernels")) {
    const auto dtype = dtype_from_name(reader.text(k, "type"));
    const json* decode = reader.member(k, "decode_gb_per_s", &json::is_object, "an object");
    const json* prefill = reader.member(k, "prefill_gops", &json::is_object, "an object");
    if (!dtype) reader.fail("type: expected a weight type");
    if (!reader.status().ok() || !decode->contains("states")) return;
    report->kernels.push_back({*dtype, reader.whole(k, "threads"), read_by_state(reader, *decode), reader.samples(*prefill),
                               reader.number(k, "half_rate_rows")});
  }
}

PeakType read_type(Reader& reader, const json& j) {
  const std::string type = reader.text(j, "type");
  for (const PeakType t : {PeakType::kF32, PeakType::kBF16, PeakType::kI8}) {
    if (type == type_name(t)) return t;
  }
  reader.fail("type: expected f32, bf16 or int8");
  return PeakType::kF32;
}

}  // namespace

std::string probe_table(const ProbeReport& report) {
  const MachineInfo& m = report.machine;
  std::string out = fmt::format("{}, {} processors, {}; core-to-core state {} before, {} after; {:.1f} s\n\n", m.cpu_model,
                                m.cpus.size(), m.features, to_string(report.state_before.state),
                                to_string(report.state_after.state), report.seconds);
  out += fmt::format("| {:<22} | {:<24} | {:>7} | {:>9} | {:>9} | {:>9} | {:>3} | {:<6} |\n", "what", "how", "threads",
                     "median", "min", "max", "n", "unit");
  out += "|:-----------------------|:-------------------------|--------:|----------:|----------:|----------:|----:|:-------|\n";
  for (const BandwidthResult& r : report.memory) {
    const char* pages = r.huge_pages ? "2 MiB pages" : "4 KiB pages";
    out += row("memory read", pages, r.threads, "GB/s", values_of(r.samples));
    if (r.threads == 1) continue;
    for (const CoreState state : {CoreState::kNear, CoreState::kFar}) {
      out += row("memory read", fmt::format("{}, {}", pages, to_string(state)), r.threads, "GB/s",
                 values_of(r.samples, state));
    }
  }
  for (const CacheResult& r : report.caches) {
    out += row(fmt::format("L{} read", r.level), size_text(r.working_set_bytes), r.threads, "GB/s", r.samples);
  }
  for (const PeakResult& r : report.peaks) {
    out += row(fmt::format("{} multiply-add", type_name(r.type)), r.instruction, r.threads, "GOP/s", r.samples);
  }
  for (const LatencyResult& r : report.latencies) {
    out += row("core to core", fmt::format("cpu {} to {}", r.cpu_a, r.cpu_b), 2, "ns", r.samples);
  }
  for (const BarrierResult& r : report.barriers) out += row("barrier", "thread pool", r.threads, "ns", r.samples);
  for (const KernelRateResult& r : report.kernels) {
    out += row(fmt::format("{} matrix", to_string(r.dtype)), "1 row, weights", r.threads, "GB/s", values_of(r.decode_gb_per_s));
    out += row(fmt::format("{} matrix", to_string(r.dtype)), fmt::format("512 rows, half at {:.0f}", r.half_rate_rows),
               r.threads, "GOP/s", r.prefill_gops);
  }
  for (const std::string& warning : disturbances_of(report)) out += fmt::format("\nwarning: {}", warning);
  return out + (disturbances_of(report).empty() ? "" : "\n");
}

json probe_to_json(const ProbeReport& report) {
  const MachineInfo& m = report.machine;
  json caches = json::array(), memory = json::array(), peaks = json::array(), latencies = json::array(),
       barriers = json::array(), kernels = json::array();
  for (const BandwidthResult& r : report.memory) memory.push_back(memory_json(r));
  const auto with = [](json base, json extra) {
    base.update(extra);
    return base;
  };
  for (const CacheResult& r : report.caches) {
    caches.push_back(with(numbers(r.samples), {{"level", r.level},
                                               {"working_set_bytes", r.working_set_bytes},
                                               {"threads", r.threads}}));
  }
  for (const PeakResult& r : report.peaks) {
    peaks.push_back(with(numbers(r.samples), {{"instruction", r.instruction},
                                              {"type", type_name(r.type)},
                                              {"threads", r.threads}}));
  }
  for (const LatencyResult& r : report.latencies) {
    const Summary s = summarize(r.samples);
    latencies.push_back({{"cpus", {r.cpu_a, r.cpu_b}}, {"median", s.median}, {"min", s.min}, {"max", s.max}});
  }
  for (const KernelRateResult& r : report.kernels) {
    kernels.push_back({{"type", to_string(r.dtype)},
                       {"threads", r.threads},
                       {"decode_gb_per_s", numbers_by_state(r.decode_gb_per_s)},
                       {"prefill_gops", numbers(r.prefill_gops)},
                       {"half_rate_rows", r.half_rate_rows}});
  }
  for (const BarrierResult& r : report.barriers) {
    barriers.push_back(with(numbers(r.samples), {{"threads", r.threads}}));
  }
  json loads = json::array();
  for (const StageLoad& l : report.loads) {
    loads.push_back({{"stage", l.stage}, {"seconds", l.seconds}, {"other_cpus", l.load.others}, {"stolen_cpus", l.load.stolen}});
  }
  return {{"time", report.time},
          {"warnings", disturbances_of(report)},
          {"worst_spread", worst_spread(report)},
          {"loads", loads},
          {"seconds", report.seconds},
          {"cpu", m.cpu_model},
          {"features", m.features},
          {"processors", m.cpus.size()},
          {"kernel", m.kernel},
          {"governor", m.governor},
          {"memory_bytes", m.memory_bytes},
          {"core_state", {to_string(report.state_before.state), to_string(report.state_after.state)}},
          {"memory_read_gb_per_s", memory},
          {"cache_read_gb_per_s", caches},
          {"multiply_add_gops", peaks},
          {"core_to_core_ns", latencies},
          {"barrier_ns", barriers},
          {"kernels", kernels}};
}

Result<ProbeReport> probe_from_json(const json& j) {
  Reader reader;
  ProbeReport report;
  report.time = reader.text(j, "time");
  report.machine.cpu_model = reader.text(j, "cpu");
  for (const json& m : reader.array(j, "memory_read_gb_per_s")) {
    report.memory.push_back({reader.whole(m, "threads"), reader.boolean(m, "huge_pages"), read_by_state(reader, m)});
  }
  for (const json& p : reader.array(j, "multiply_add_gops")) {
    report.peaks.push_back(
        {reader.text(p, "instruction"), read_type(reader, p), reader.whole(p, "threads"), reader.samples(p)});
  }
  for (const json& b : reader.array(j, "barrier_ns")) {
    report.barriers.push_back({reader.whole(b, "threads"), reader.samples(b)});
  }
  read_kernels(reader, j, &report);
  if (!reader.status().ok()) return reader.status().with_context("probe");
  return report;
}

}  // namespace tessera
