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

std::optional<double> smaller(std::optional<double> a, std::optional<double> b) {
  return a && b ? std::min(*a, *b) : a ? a : b;
}

// Of the group `path` under `mount` and of those between.
template <class Read>
std::optional<double> smallest_within(const fs::path& mount, std::string_view path, Read read) {
  const fs::path group = fs::path(path).relative_path();
  if (std::ranges::find(group, "..") != group.end()) return std::nullopt;  // outside of what is mounted
  std::optional<double> least;
  for (fs::path at = group; !at.empty(); at = at.parent_path()) least = smaller(least, read(mount / at));
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
  const fs::path v1 = mount / "cpu";  // a link to "cpu,cpuacct" where they are one
  // The mount points themselves: the group of a container that sees only its own part of the tree.
  std::optional<double> least = smaller(quota_v2(mount), quota_v1(v1));
  // Lines "number:controllers:path"; v2 has number 0 and no controllers.
  std::ifstream file(membership);
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view all = line, controllers = all.substr(first + 1, second - first - 1);
    const std::string_view path = all.substr(second + 1);
    if (controllers.empty()) {
      least = smaller(least, smallest_within(mount, path, quota_v2));
    } else if (names_cpu(controllers)) {
      least = smaller(least, smallest_within(v1, path, quota_v1));
    }
  }
  return least;
}

}  // namespace tessera
