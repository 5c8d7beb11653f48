// Hardware: what the planner knows about a machine: limits from a data sheet or from `tessera probe`, the fitted
// constants that turn limits into times, and how well that fit predicts. Stored as JSON; docs/planner.md lists every
// field. Shipped descriptions (share/hardware) are embedded; load_hardware() reads a file, find_hardware() a shipped
// name.
#ifndef TESSERA_PLANNER_HARDWARE_H_
#define TESSERA_PLANNER_HARDWARE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tessera {

enum class NetworkKind {
  kNone,    // one chip only
  kTorus,   // links along up to three axes (TPU)
  kSwitch,  // every chip reaches every other at the same rate (NVLink, Ethernet, InfiniBand)
};

struct NetworkSpec {
  NetworkKind kind = NetworkKind::kNone;
  int64_t max_chips = 1;
  double link_bandwidth = 0;  // bytes/s one way: per link of the torus, per chip of the switch
  // Torus: a slice smaller than this has no wrap-around links, so a collective over an axis uses one direction only.
  int64_t wrap_from_chips = 0;
  // Switch: chips per node (all share link_bandwidth); between nodes each chip has node_bandwidth. 0 = one node.
  int64_t node_chips = 0;
  double node_bandwidth = 0;
  double node_hop_seconds = 0;  // added to a hop that leaves the node
};

// What one type of weight reaches on this machine, measured; overrides peak * fraction. Written by `tessera probe`.
struct KernelRate {
  double matmul_flops = 0;      // large batch (prefill), all threads
  double weight_bandwidth = 0;  // bytes/s of stored weights at batch 1 (decode), all threads
  double batch_half_rows = 0;   // rows at which a small batch reaches half of matmul_flops; 0 = not measured
};

// Fitted by calibrate(); 1 and 0 mean "ideal" (the roofline).
struct Constants {
  double compute_fraction = 1;    // e_c of peak
  double bandwidth_fraction = 1;  // e_w of memory bandwidth
  double network_fraction = 1;    // e_n of the links that a collective can use
  double gather_fraction = 1;     // e_g of the one link, one way, that a weight-gathering ring uses
  double layer_seconds = 0;       // t_0: fixed time per layer and pass
  double hop_seconds = 0;         // t_h: per hop of a collective
  double step_seconds = 0;        // t_s: fixed time per pass
  double element_seconds = 0;     // t_e: per activation element of norms, activations, quantization, on one chip
  double overlap = 0;             // p: (sum a_i^p)^(1/p) joins what runs at the same time; 1 none, 0 = perfect (max)
  double attention_fraction = 1;  // of peak, for scores and weighted sum
  double kv_bandwidth_fraction = 1;
  // What a whole model reaches of the measured KernelRate, which ran alone.
  double kernel_compute_fraction = 1;
  double kernel_bandwidth_fraction = 1;
};

// How well the constants predict points they were not fitted to.
struct CalibrationRecord {
  int64_t points = 0;
  double rms = 0;  // on the fitted points, relative
  double leave_one_out_rms = 0;
  double leave_one_out_p50 = 0, leave_one_out_worst = 0;
  double leave_one_out_p90 = 0;  // printed as the interval of every prediction
  double least_params = 0, most_params = 0;  // of the models that were measured; 0: not recorded
  std::string note;
};

struct HardwareSpec {
  std::string name;
  std::string description;
  std::vector<std::string> sources;
  std::map<std::string, double> peak_flops;  // by arithmetic type: "bf16", "int8", "f32"
  double memory_bytes = 0;                   // per chip
  double memory_bandwidth = 0;               // bytes/s per chip
  double usable_memory_fraction = 0.94;
  bool causal_skip = true;       // prefill attention leaves out the masked half
  bool compute_in_int8 = false;  // quantized weights multiply in int8 (CPU kernels); false: weights are widened to bf16
  int64_t cores = 0;
  double cost_per_chip_hour = 0;     // in dollars; 0 = unknown
  double loaded_program_bytes = 0;   // resident bytes before any model
  std::vector<std::string> layouts;  // feed-forward layouts that its software has ("ws2d"); empty = all
  NetworkSpec network;
  Constants constants;
  CalibrationRecord calibration;
  std::map<std::string, KernelRate> kernels;  // by weight type: "q8_0", "bf16"
};

// Peak for products with weights of this type; falls back from int8 to bf16 to f32.
double peak_for_weights(const HardwareSpec& hardware, std::string_view weight_type);

// What whole models on this engine add to measured kernel rates, and the record of how well that predicts: the start
// for every machine that `tessera probe` measured.
Constants engine_constants();
void use_engine_constants(HardwareSpec* hardware);

// Parameters of the smallest model that the constants were held against; 0: unknown. Descriptions for this engine that do
// not record it carry the engine's own constants.
double least_calibrated_params(const HardwareSpec& hardware);

Result<HardwareSpec> parse_hardware(std::string_view json, std::string_view where);
Result<HardwareSpec> load_hardware(const std::string& path);
std::string hardware_to_json(const HardwareSpec& hardware);
// Atomically: writes a neighbour, renames. Members of an existing file that are not ours (the probe's report) are kept.
Status save_hardware(const HardwareSpec& hardware, const std::string& path);

std::vector<std::string> shipped_hardware();
// A shipped name ("tpu-v4"), a path of a JSON file, or "this" (probed_hardware_path()).
Result<HardwareSpec> find_hardware(const std::string& name_or_path);

// Where `tessera probe` leaves its result: $XDG_CONFIG_HOME/tessera/hardware.json or ~/.config/tessera/hardware.json.
std::string probed_hardware_path();
// This machine: the probed file when there is one, else an estimate from the processor's features and core count, whose
// description says that it is one.
HardwareSpec this_machine();

}  // namespace tessera

#endif  // TESSERA_PLANNER_HARDWARE_H_
