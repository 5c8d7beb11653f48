// Processor time since boot: how busy other programs keep the machine while something is measured.
#ifndef TESSERA_PROBE_CPU_TIMES_H_
#define TESSERA_PROBE_CPU_TIMES_H_

namespace tessera {

// Seconds, summed over processors. Zeros where the system does not tell.
struct CpuTimes {
  double everybody = 0;  // user, nice, system, interrupts
  double own = 0;        // of this process
  double stolen = 0;     // ready to run while the hypervisor ran somebody else

  static CpuTimes now();
};

// Between two readings, per second: processors that other programs and other virtual machines kept busy.
struct CpuLoad {
  double others = 0, stolen = 0;
};
CpuLoad load_between(const CpuTimes& before, const CpuTimes& after, double seconds);

}  // namespace tessera

#endif  // TESSERA_PROBE_CPU_TIMES_H_
