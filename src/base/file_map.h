// FileMap: a file mapped read-only. Weights are read from here while they are packed; release() gives the pages
// back to the kernel afterwards so that a model is resident once.
#ifndef TESSERA_BASE_FILE_MAP_H_
#define TESSERA_BASE_FILE_MAP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace tessera {

class FileMap {
 public:
  // Errors: kNotFound, kIoError; a directory or a special file is kInvalidArgument. An empty file maps to an empty span.
  static Result<std::shared_ptr<FileMap>> open(const std::string& path);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  uint64_t size() const { return size_; }

  // The range will be read soon: fetches it into the system's page cache, which takes as long as the disk; for a thread of its own.
  void will_read(uint64_t offset, uint64_t bytes) const;
  // The range is not needed any more: whole pages inside it leave this process's resident set; reading it again is allowed.
  void release(uint64_t offset, uint64_t bytes) const;

 private:
  FileMap(std::string path, const std::byte* data, uint64_t size) : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  const std::byte* data_;
  uint64_t size_;
};

}  // namespace tessera

#endif  // TESSERA_BASE_FILE_MAP_H_
