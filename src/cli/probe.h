// `tessera probe`: measures the machine and leaves what the planner and `bench` read.
#ifndef TESSERA_CLI_PROBE_H_
#define TESSERA_CLI_PROBE_H_

#include <string>

#include "base/status.h"
#include "planner/hardware.h"
#include "probe/probe.h"

namespace tessera {

// Limits and kernel rates of the report in the planner's terms. What a probe cannot know (network, cost) stays as in
// `base`.
HardwareSpec hardware_from_probe(const ProbeReport& report, HardwareSpec base);

// The description with the memory and kernel rates of the probe's samples in one core state, where it has any.
HardwareSpec in_core_state(HardwareSpec hardware, const ProbeReport& report, CoreState state);

// Writes the planner's description with the report itself under "probe"; creates the folder.
Status save_probe(const ProbeReport& report, const std::string& path);

// The report inside a file that save_probe wrote. kNotFound when there is no such file or it holds no probe.
Result<ProbeReport> load_probe(const std::string& path);

struct ProbeVerbOptions {
  ProbeOptions probe;
  std::string output;  // empty: probed_hardware_path()
  bool json = false;   // print the report as JSON instead of the table
};
Status run_probe(const ProbeVerbOptions& options);

// {"state":"near","one_way_ns":31.2}: for scripts that label their samples.
Status print_core_state();

// {"state":"near","one_way_ns":31.2,"read_gb_per_s":35.6,"read_one_gb_per_s":31.9,"i8_gops":...}: the limits of this moment.
Status print_limits_now(int threads);

}  // namespace tessera

#endif  // TESSERA_CLI_PROBE_H_
