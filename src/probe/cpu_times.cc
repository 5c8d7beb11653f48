#include "probe/cpu_times.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace tessera {

CpuTimes CpuTimes::now() {
  CpuTimes t;
  std::ifstream stat("/proc/stat");
  std::string label;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
  if (stat >> label >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal) {
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    t.everybody = (user + nice + system + irq + soft) / ticks;
    t.stolen = steal / ticks;
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& v) { return static_cast<double>(v.tv_sec) + 1e-6 * static_cast<double>(v.tv_usec); };
  t.own = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  return t;
}

CpuLoad load_between(const CpuTimes& before, const CpuTimes& after, double seconds) {
  if (seconds <= 0) return {};
  const double others = (after.everybody - before.everybody) - (after.own - before.own);
  return {std::max(0.0, others / seconds), std::max(0.0, (after.stolen - before.stolen) / seconds)};
}

}  // namespace tessera
