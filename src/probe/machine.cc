#include "probe/machine.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "base/cpu_features.h"
#include "base/thread_pool.h"

namespace tessera {
namespace {

constexpr uint64_t kHugePage = 2u << 20;

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "32K", "1024K", "32M" of sysfs.
uint64_t parse_size(const std::string& text) {
  char* end = nullptr;
  const uint64_t number = std::strtoull(text.c_str(), &end, 10);
  switch (*end) {
    case 'K': return number << 10;
    case 'M': return number << 20;
    case 'G': return number << 30;
    default: return number;
  }
}

// "0-3,8" -> 5
int count_cpu_list(const std::string& list) {
  int count = 0;
  const char* p = list.c_str();
  while (*p >= '0' && *p <= '9') {
    char* end = nullptr;
    const long first = std::strtol(p, &end, 10);
    const long last = *end == '-' ? std::strtol(end + 1, &end, 10) : first;
    count += static_cast<int>(last - first + 1);
    p = *end == ',' ? end + 1 : end;
  }
  return std::max(count, 1);
}

std::vector<CacheLevel> read_caches(int cpu) {
  std::vector<CacheLevel> caches;
  for (int i = 0; i < 8; ++i) {
    const std::string dir = fmt::format("/sys/devices/system/cpu/cpu{}/cache/index{}/", cpu, i);
    const std::string type = first_line(dir + "type");
    if (type.empty()) break;
    if (type == "Instruction") continue;
    caches.push_back({std::atoi(first_line(dir + "level").c_str()), parse_size(first_line(dir + "size")),
                      count_cpu_list(first_line(dir + "shared_cpu_list"))});
  }
  return caches;
}

// A "Name:   123 kB" line of a /proc file, in bytes; 0 when absent.
uint64_t proc_kib(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 10) << 10;
  }
  return 0;
}

}  // namespace

MachineInfo machine_info() {
  MachineInfo info;
  info.cpu_model = cpu_model_name();
  info.features = cpu_feature_names(cpu_features());
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &mask)) info.cpus.push_back(cpu);
    }
  }
  if (info.cpus.empty()) info.cpus.push_back(0);
  info.default_threads = default_thread_count();
  info.caches = read_caches(info.cpus.front());
  info.memory_bytes = proc_kib("/proc/meminfo", "MemTotal:");
  info.available_bytes = proc_kib("/proc/meminfo", "MemAvailable:");
  info.governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  utsname name{};
  if (uname(&name) == 0) info.kernel = name.release;
  return info;
}

bool pin_to_cpu(int cpu) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CPU_SET(cpu, &mask);
  return sched_setaffinity(0, sizeof(mask), &mask) == 0;
}

Result<PagedMemory> PagedMemory::map(uint64_t bytes, bool huge_pages) {
  const uint64_t mapped = bytes + kHugePage;
  void* base = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return resource_exhausted("out of memory: {} bytes were refused", mapped);
  ::madvise(base, mapped, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  const auto address = reinterpret_cast<uint64_t>(base);
  auto* data = reinterpret_cast<std::byte*>((address + kHugePage - 1) / kHugePage * kHugePage);
  return PagedMemory(base, mapped, data, bytes);
}

PagedMemory::PagedMemory(PagedMemory&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      data_(other.data_),
      bytes_(other.bytes_) {}

PagedMemory::~PagedMemory() {
  if (base_ != nullptr) ::munmap(base_, mapped_bytes_);
}

uint64_t huge_page_bytes() { return proc_kib("/proc/self/smaps_rollup", "AnonHugePages:"); }
void reset_peak_resident() { std::ofstream("/proc/self/clear_refs") << "5"; }

uint64_t peak_resident_bytes() { return proc_kib("/proc/self/status", "VmHWM:"); }

}  // namespace tessera
