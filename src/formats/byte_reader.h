// ByteReader: a cursor over bytes of unknown origin. Every read is checked against what remains, so a length or count
// that lies is found before anything is allocated for it. After the first failure the reader stays failed and gives
// zeros; parsers of binary formats check ok() once per item.
#ifndef TESSERA_FORMATS_BYTE_READER_H_
#define TESSERA_FORMATS_BYTE_READER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace tessera {

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool ok() const { return !failed_; }
  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

  // Little-endian number.
  template <class T>
  T number() {
    T value{};
    if (const auto raw = take(sizeof(T)); !raw.empty()) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  // The next `count` bytes; empty (and failed, unless count is 0) when fewer remain.
  std::span<const std::byte> take(uint64_t count) {
    if (failed_ || count > remaining()) {
      failed_ = true;
      return {};
    }
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  std::string_view text(uint64_t count) {
    const auto raw = take(count);
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t position_ = 0;
  bool failed_ = false;
};

}  // namespace tessera

#endif  // TESSERA_FORMATS_BYTE_READER_H_
