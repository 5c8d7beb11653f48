#include "base/cpu_quota.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace tessera {
namespace {

namespace fs = std::filesystem;

// "max 100000" or "150000 100000".
std::optional<double> quota_v2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return std::nullopt;
  const double granted = std::strtod(quota.c_str(), nullptr);
  return granted > 0 ? std::optional(granted / period) : std::nullopt;
}

// Two files; -1: no limit.
std::optional<double> quota_v1(const fs::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

// Of `path` under `mount` and every group around it. Where the path is not there (a container that sees only its own part of
// the tree) the mount point is the group.
template <class Read>
std::optional<double> smallest(const fs::path& mount, std::string_view path, Read read) {
  std::optional<double> least;
  const auto add = [&](const fs::path& group) {
    if (const auto quota = read(group)) least = std::min(least.value_or(*quota), *quota);
  };
  const fs::path inside = fs::path(path).relative_path();
  const bool outside = std::ranges::find(inside, "..") != inside.end();
  for (fs::path at = inside; !at.empty() && !outside; at = at.parent_path()) add(mount / at);
  add(mount);
  return least;
}

bool names_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    const size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == "cpu") return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const fs::path& membership, const fs::path& mount) {
  // Lines "number:controllers:path"; v2 has number 0 and no controllers.
  std::optional<double> least = quota_v2(mount);
  const auto add = [&](std::optional<double> quota) {
    if (quota) least = std::min(least.value_or(*quota), *quota);
  };
  std::ifstream file(membership);
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view all = line, controllers = all.substr(first + 1, second - first - 1);
    const std::string_view path = all.substr(second + 1);
    if (controllers.empty()) {
      add(smallest(mount, path, quota_v2));
    } else if (names_cpu(controllers)) {
      add(smallest(mount / "cpu", path, quota_v1));  // a link to "cpu,cpuacct" where they are one
    }
  }
  return least;
}

}  // namespace tessera
