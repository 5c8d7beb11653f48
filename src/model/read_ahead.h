// ReadAhead: while weights are packed, a thread has the pages of the next ones fetched, so that loading from a cold disk takes
// the time of reading the file and not that of reading and packing one after the other.
#ifndef TESSERA_MODEL_READ_AHEAD_H_
#define TESSERA_MODEL_READ_AHEAD_H_

#include <atomic>
#include <cstdint>
#include <thread>

#include "formats/weight_source.h"

namespace tessera {

class ReadAhead {
 public:
  // The source outlives this object. Weights are fetched in the order of the file, a bounded distance ahead.
  explicit ReadAhead(const WeightSource& source);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  void packed(uint64_t bytes);  // so many bytes of weights, of whichever, are not waited for any more

 private:
  void run();

  const WeightSource& source_;
  std::atomic<uint64_t> packed_bytes_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace tessera

#endif  // TESSERA_MODEL_READ_AHEAD_H_
