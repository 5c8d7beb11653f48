// Processor time that a control group grants (containers, services with a CPU limit).
#ifndef TESSERA_BASE_CPU_QUOTA_H_
#define TESSERA_BASE_CPU_QUOTA_H_

#include <filesystem>
#include <optional>

namespace tessera {

// The smallest quota of this process's control group and of the groups around it, in processors (0.5: half of one); nullopt
// where none is set. cgroup v2 and v1. The paths are parameters for tests.
std::optional<double> cgroup_cpu_quota(const std::filesystem::path& membership = "/proc/self/cgroup",
                                       const std::filesystem::path& mount = "/sys/fs/cgroup");

}  // namespace tessera

#endif  // TESSERA_BASE_CPU_QUOTA_H_
