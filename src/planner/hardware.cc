#include "planner/hardware.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/cpu_features.h"
#include "base/pending_file.h"
#include "base/thread_pool.h"
#include "planner/embedded.h"
#include "planner/json_fields.h"

namespace tessera {
namespace {

using Json = nlohmann::json;
constexpr double kBig = 1e21;

void read_network(const Json& json, const std::string& where, NetworkSpec* network, JsonFields* parent) {
  JsonFields f(json, where + ".network");
  std::string kind = "none";
  f.text("kind", &kind);
  if (kind == "torus") {
    network->kind = NetworkKind::kTorus;
  } else if (kind == "switch") {
    network->kind = NetworkKind::kSwitch;
  } else if (kind != "none") {
    f.fail("kind", "torus, switch or none", json["kind"]);
  }
  f.number("max_chips", &network->max_chips, 1, 1e6);
  f.number("link_bandwidth", &network->link_bandwidth, network->kind == NetworkKind::kNone ? 0 : 1, kBig);
  if (network->kind != NetworkKind::kNone) f.require("link_bandwidth");
  f.number("wrap_from_chips", &network->wrap_from_chips, 0, 1e9);
  f.number("node_chips", &network->node_chips, 0, 1e6);
  f.number("node_bandwidth", &network->node_bandwidth, 0, kBig);
  f.number("node_hop_seconds", &network->node_hop_seconds, 0, 10);
  if (f.status().ok() && network->node_chips > 0 && network->max_chips > network->node_chips &&
      network->node_bandwidth <= 0)
    f.take(invalid_argument("{}.network: node_bandwidth must be above 0 when max_chips exceeds node_chips", where));
  parent->take(f.status());
}

void read_constants(const Json& json, const std::string& where, Constants* c, JsonFields* parent) {
  JsonFields f(json, where + ".constants");
  constexpr double kLeast = 1e-4;
  f.number("compute_fraction", &c->compute_fraction, kLeast, 1);
  f.number("bandwidth_fraction", &c->bandwidth_fraction, kLeast, 1);
  f.number("network_fraction", &c->network_fraction, kLeast, 1);
  f.number("gather_fraction", &c->gather_fraction, kLeast, 1);
  f.number("layer_seconds", &c->layer_seconds, 0, 10);
  f.number("hop_seconds", &c->hop_seconds, 0, 10);
  f.number("step_seconds", &c->step_seconds, 0, 10);
  f.number("element_seconds", &c->element_seconds, 0, 1);
  f.number("overlap", &c->overlap, 0, 64);
  f.number("attention_fraction", &c->attention_fraction, kLeast, 1);
  f.number("kv_bandwidth_fraction", &c->kv_bandwidth_fraction, kLeast, 1);
  f.number("kernel_compute_fraction", &c->kernel_compute_fraction, kLeast, 2);
  f.number("kernel_bandwidth_fraction", &c->kernel_bandwidth_fraction, kLeast, 2);
  parent->take(f.status());
}

void read_calibration(const Json& json, const std::string& where, CalibrationRecord* record, JsonFields* parent) {
  JsonFields f(json, where + ".calibration");
  f.number("points", &record->points, 0, 1e9);
  f.number("rms", &record->rms, 0, 100);
  f.number("leave_one_out_rms", &record->leave_one_out_rms, 0, 100);
  f.number("leave_one_out_p50", &record->leave_one_out_p50, 0, 100);
  f.number("leave_one_out_p90", &record->leave_one_out_p90, 0, 100);
  f.number("leave_one_out_worst", &record->leave_one_out_worst, 0, 100);
  f.number("least_params", &record->least_params, 0, 1e18);
  f.number("most_params", &record->most_params, 0, 1e18);
  f.text("note", &record->note);
  parent->take(f.status());
}

void read_rates(const Json& json, const std::string& where, HardwareSpec* spec, JsonFields* parent) {
  for (const auto& [type, value] : json.items()) {
    JsonFields f(value, where + ".kernels." + type);
    KernelRate rate;
    f.number("matmul_flops", &rate.matmul_flops, 1, kBig);
    f.number("weight_bandwidth", &rate.weight_bandwidth, 1, kBig);
    f.number("batch_half_rows", &rate.batch_half_rows, 0, 1e6);
    f.require("matmul_flops");
    f.require("weight_bandwidth");
    parent->take(f.status());
    spec->kernels[type] = rate;
  }
}

Json network_to_json(const NetworkSpec& n) {
  const char* kind = n.kind == NetworkKind::kTorus ? "torus" : n.kind == NetworkKind::kSwitch ? "switch" : "none";
  Json json{{"kind", kind}, {"max_chips", n.max_chips}};
  if (n.kind == NetworkKind::kNone) return json;
  json["link_bandwidth"] = n.link_bandwidth;
  if (n.wrap_from_chips > 0) json["wrap_from_chips"] = n.wrap_from_chips;
  if (n.node_chips > 0) {
    json["node_chips"] = n.node_chips;
    json["node_bandwidth"] = n.node_bandwidth;
    json["node_hop_seconds"] = n.node_hop_seconds;
  }
  return json;
}

// bench/predict.py measures, fits and writes them; a damaged file fails the tests, so that here it may mean ideal constants.
const HardwareSpec& engine_fit() {
  static const HardwareSpec fitted = [] {
    HardwareSpec spec;
    for (const EmbeddedFile& file : embedded_files()) {
      if (file.path != "measured/engine.json") continue;
      const Json json = Json::parse(file.text, nullptr, false);
      if (!json.is_object() || !json.contains("constants") || !json.contains("calibration")) continue;
      JsonFields f(json, std::string(file.path));
      read_constants(json["constants"], std::string(file.path), &spec.constants, &f);
      read_calibration(json["calibration"], std::string(file.path), &spec.calibration, &f);
    }
    return spec;
  }();
  return fitted;
}

// Without a probe: multiply-adds per cycle and core of the widest unit, at 2.5 GHz, and 15 GB/s per core up to 200.
HardwareSpec guess_this_machine() {
  HardwareSpec spec;
  const uint32_t features = cpu_features();
  const double cores = default_thread_count();
  const double hertz = 2.5e9;
  const double f32_per_cycle = (features & kCpuAvx512) ? 32 : (features & kCpuAvx2) ? 16 : 8;
  const bool fast_int8 = (features & (kCpuAvx512Vnni | kCpuNeonDot)) != 0;
  spec.name = "this";
  spec.description =
      fmt::format("{}, {} cores: an estimate from the processor's features. `tessera probe` measures it.",
                  cpu_model_name(), static_cast<int>(cores));
  spec.cores = static_cast<int64_t>(cores);
  spec.peak_flops["f32"] = 2 * f32_per_cycle * hertz * cores;
  spec.peak_flops["bf16"] = spec.peak_flops["f32"] * ((features & kCpuAvx512Bf16) ? 2 : 1);
  spec.peak_flops["int8"] = spec.peak_flops["f32"] * (fast_int8 ? 4 : 1);
  spec.compute_in_int8 = true;
  spec.memory_bandwidth = std::min(15e9 * cores, 200e9);
  spec.memory_bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  spec.loaded_program_bytes = 15e6;
  spec.constants = engine_constants();
  spec.constants.compute_fraction = 0.6;
  spec.constants.bandwidth_fraction = 0.8;
  spec.calibration.leave_one_out_p90 = 0.5;
  spec.calibration.note = "not measured: a wide guess";
  return spec;
}

}  // namespace

void use_engine_constants(HardwareSpec* hardware) {
  hardware->constants = engine_fit().constants;
  hardware->calibration = engine_fit().calibration;
}

double least_calibrated_params(const HardwareSpec& hardware) {
  if (hardware.calibration.least_params > 0 || !hardware.compute_in_int8) return hardware.calibration.least_params;
  return engine_fit().calibration.least_params;
}

Constants engine_constants() {
  HardwareSpec spec;
  use_engine_constants(&spec);
  return spec.constants;
}

double peak_for_weights(const HardwareSpec& hardware, std::string_view weight_type) {
  const auto peak = [&](const char* type) {
    const auto it = hardware.peak_flops.find(type);
    return it == hardware.peak_flops.end() ? 0.0 : it->second;
  };
  // This engine (compute_in_int8) multiplies f16 in f32, accelerators as fast as bf16.
  const bool wide = weight_type == "f32" || (hardware.compute_in_int8 && weight_type == "f16");
  const bool half = weight_type == "bf16" || weight_type == "f16";
  if (!wide && !half && hardware.compute_in_int8 && peak("int8") > 0) return peak("int8");
  if (!(wide && hardware.compute_in_int8) && peak("bf16") > 0) return peak("bf16");
  return peak("f32") > 0 ? peak("f32") : peak("bf16");
}

Result<HardwareSpec> parse_hardware(std::string_view text, std::string_view where_view) {
  const std::string where(where_view);
  TESSERA_ASSIGN_OR_RETURN(const Json json, parse_json(text, where));
  HardwareSpec spec;
  JsonFields f(json, where);
  for (const char* key : {"name", "peak_flops", "memory_bytes", "memory_bandwidth"}) f.require(key);
  TESSERA_RETURN_IF_ERROR(f.status());
  f.text("name", &spec.name);
  f.text("description", &spec.description);
  if (const Json* sources = f.array("sources")) {
    for (const Json& s : *sources) spec.sources.push_back(s.is_string() ? s.get<std::string>() : s.dump());
  }
  if (const Json* layouts = f.array("layouts")) {
    for (const Json& l : *layouts) spec.layouts.push_back(l.is_string() ? l.get<std::string>() : l.dump());
  }
  if (const Json* peaks = f.object("peak_flops")) {
    JsonFields p(*peaks, where + ".peak_flops");
    for (const auto& [type, value] : peaks->items()) p.number(type.c_str(), &spec.peak_flops[type], 1, kBig);
    f.take(p.status());
  }
  f.number("memory_bytes", &spec.memory_bytes, 1, kBig);
  f.number("memory_bandwidth", &spec.memory_bandwidth, 1, kBig);
  f.number("usable_memory_fraction", &spec.usable_memory_fraction, 0.01, 1);
  f.flag("causal_skip", &spec.causal_skip);
  f.flag("compute_in_int8", &spec.compute_in_int8);
  f.number("cores", &spec.cores, 0, 1e6);
  f.number("cost_per_chip_hour", &spec.cost_per_chip_hour, 0, 1e6);
  f.number("loaded_program_bytes", &spec.loaded_program_bytes, 0, kBig);
  if (const Json* network = f.object("network")) read_network(*network, where, &spec.network, &f);
  if (const Json* constants = f.object("constants")) read_constants(*constants, where, &spec.constants, &f);
  if (const Json* record = f.object("calibration")) read_calibration(*record, where, &spec.calibration, &f);
  if (const Json* kernels = f.object("kernels")) read_rates(*kernels, where, &spec, &f);
  if (f.status().ok() && peak_for_weights(spec, "bf16") <= 0)
    f.take(invalid_argument("{}: peak_flops: expected bf16 or f32, found neither", where));
  TESSERA_RETURN_IF_ERROR(f.status());
  return spec;
}

std::string hardware_to_json(const HardwareSpec& spec) {
  const Constants& c = spec.constants;
  nlohmann::ordered_json json{{"name", spec.name},
                              {"description", spec.description},
                              {"sources", spec.sources},
                              {"peak_flops", spec.peak_flops},
                              {"memory_bytes", spec.memory_bytes},
                              {"memory_bandwidth", spec.memory_bandwidth},
                              {"usable_memory_fraction", spec.usable_memory_fraction},
                              {"causal_skip", spec.causal_skip},
                              {"compute_in_int8", spec.compute_in_int8},
                              {"cores", spec.cores},
                              {"cost_per_chip_hour", spec.cost_per_chip_hour},
                              {"loaded_program_bytes", spec.loaded_program_bytes},
                              {"network", network_to_json(spec.network)}};
  if (!spec.layouts.empty()) json["layouts"] = spec.layouts;
  json["constants"] = {{"compute_fraction", c.compute_fraction},
                       {"bandwidth_fraction", c.bandwidth_fraction},
                       {"network_fraction", c.network_fraction},
                       {"gather_fraction", c.gather_fraction},
                       {"layer_seconds", c.layer_seconds},
                       {"hop_seconds", c.hop_seconds},
                       {"step_seconds", c.step_seconds},
                       {"overlap", c.overlap},
                       {"element_seconds", c.element_seconds},
                       {"attention_fraction", c.attention_fraction},
                       {"kv_bandwidth_fraction", c.kv_bandwidth_fraction},
                       {"kernel_compute_fraction", c.kernel_compute_fraction},
                       {"kernel_bandwidth_fraction", c.kernel_bandwidth_fraction}};
  const CalibrationRecord& r = spec.calibration;
  json["calibration"] = {{"points", r.points},
                         {"rms", r.rms},
                         {"leave_one_out_rms", r.leave_one_out_rms},
                         {"leave_one_out_p50", r.leave_one_out_p50},
                         {"leave_one_out_p90", r.leave_one_out_p90},
                         {"leave_one_out_worst", r.leave_one_out_worst},
                         {"note", r.note}};
  if (r.least_params > 0) {
    json["calibration"]["least_params"] = r.least_params;
    json["calibration"]["most_params"] = r.most_params;
  }
  for (const auto& [type, rate] : spec.kernels) {
    json["kernels"][type] = {{"matmul_flops", rate.matmul_flops},
                             {"weight_bandwidth", rate.weight_bandwidth},
                             {"batch_half_rows", rate.batch_half_rows}};
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<HardwareSpec> load_hardware(const std::string& path) {
  TESSERA_ASSIGN_OR_RETURN(const std::string text, read_text_file(path, 4 << 20));
  return parse_hardware(text, path);
}

Status save_hardware(const HardwareSpec& hardware, const std::string& path) {
  TESSERA_ASSIGN_OR_RETURN(Json json, parse_json(hardware_to_json(hardware), path));
  if (const Result<std::string> text = read_text_file(path); text.ok()) {
    const Result<Json> before = parse_json(*text, path);
    if (before.ok() && before->is_object()) {
      for (const auto& [key, value] : before->items()) {
        if (!json.contains(key) && key != "kernels" && key != "layouts") json[key] = value;
      }
    }
  }
  make_folders_for(path);
  return write_file(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::vector<std::string> shipped_hardware() {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : embedded_files()) {
    if (!file.path.starts_with("hardware/")) continue;
    names.emplace_back(file.path.substr(9, file.path.size() - 14));
  }
  return names;
}

Result<HardwareSpec> find_hardware(const std::string& name_or_path) {
  if (name_or_path.empty() || name_or_path == "this") return this_machine();
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path == "hardware/" + name_or_path + ".json") return parse_hardware(file.text, file.path);
  }
  if (name_or_path.ends_with(".json") || name_or_path.find('/') != std::string::npos)
    return load_hardware(name_or_path);
  return not_found("hardware '{}': expected a JSON file, 'this' or one of: {}", name_or_path,
                   fmt::join(shipped_hardware(), ", "));
}

std::string probed_hardware_path() {
  const char* xdg = std::getenv("XDG_CONFIG_HOME");
  if (xdg != nullptr && xdg[0] == '/') return std::string(xdg) + "/tessera/hardware.json";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "") + "/.config/tessera/hardware.json";
}

HardwareSpec this_machine() {
  Result<HardwareSpec> probed = load_hardware(probed_hardware_path());
  return probed.ok() ? *std::move(probed) : guess_this_machine();
}

}  // namespace tessera
