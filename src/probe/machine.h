// What the operating system says about the machine: processors this process may use, cache sizes, memory. And memory
// mapped with a chosen page size, which AlignedBytes cannot promise.
#ifndef TESSERA_PROBE_MACHINE_H_
#define TESSERA_PROBE_MACHINE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace tessera {

struct CacheLevel {
  int level = 0;
  uint64_t bytes = 0;
  int shared_by = 1;  // processors that share one instance
};

struct MachineInfo {
  std::string cpu_model;
  std::string features;
  std::vector<int> cpus;            // numbers that the affinity mask allows
  int default_threads = 1;          // those, capped by the cgroup quota
  std::vector<CacheLevel> caches;   // data and unified, of the first allowed processor
  uint64_t memory_bytes = 0;
  uint64_t available_bytes = 0;
  std::string governor;             // cpufreq; empty when the system does not say
  std::string kernel;               // release of the operating system
};

MachineInfo machine_info();

bool pin_to_cpu(int cpu);  // the calling thread; false when the system refuses

// Anonymous memory whose pages are small (4 KiB) or huge (2 MiB, as far as the system has them). Zero-filled lazily.
class PagedMemory {
 public:
  static Result<PagedMemory> map(uint64_t bytes, bool huge_pages);
  ~PagedMemory();
  PagedMemory(PagedMemory&& other) noexcept;
  PagedMemory& operator=(PagedMemory&&) = delete;

  std::byte* data() const { return data_; }
  uint64_t size() const { return bytes_; }

 private:
  PagedMemory(void* base, uint64_t mapped_bytes, std::byte* data, uint64_t bytes)
      : base_(base), mapped_bytes_(mapped_bytes), data_(data), bytes_(bytes) {}
  void* base_;
  uint64_t mapped_bytes_;
  std::byte* data_;
  uint64_t bytes_;
};

// Bytes of this process that lie in huge pages now, and its peak resident size.
uint64_t huge_page_bytes();
uint64_t peak_resident_bytes();
void reset_peak_resident();  // the peak counts from now on, where the system allows it

}  // namespace tessera

#endif  // TESSERA_PROBE_MACHINE_H_
