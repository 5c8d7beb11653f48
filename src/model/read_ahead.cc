#include "model/read_ahead.h"

namespace tessera {
namespace {

// Far enough for a disk to be always busy, near enough for the pages to be there still when memory is short.
constexpr uint64_t kAheadBytes = 64 << 20;

}  // namespace

ReadAhead::ReadAhead(const WeightSource& source) : source_(source), thread_([this] { run(); }) {}

ReadAhead::~ReadAhead() {
  stop_ = true;
  packed(1);  // wakes it
  thread_.join();
}

void ReadAhead::packed(uint64_t bytes) {
  packed_bytes_ += bytes;
  packed_bytes_.notify_one();
}

void ReadAhead::run() {
  uint64_t asked_bytes = 0;
  for (const WeightInfo& weight : source_.weights()) {
    for (uint64_t packed = packed_bytes_; asked_bytes > packed + kAheadBytes && !stop_; packed = packed_bytes_) {
      packed_bytes_.wait(packed);
    }
    if (stop_) return;
    source_.will_read(weight);
    asked_bytes += weight.bytes;
  }
}

}  // namespace tessera
