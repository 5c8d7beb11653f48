#include "base/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tessera {
namespace {

constexpr uint64_t kFetchBytes = 4 << 20;

// 4096 on x86-64; AArch64 kernels also have 16 and 64 KiB.
uint64_t page_bytes() {
  static const auto bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

Result<std::shared_ptr<FileMap>> FileMap::open(const std::string& path) {
  // Opening a pipe without a writer would wait for one; a regular file is not affected by O_NONBLOCK.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno == ENOENT) return not_found("{}: no such file", path);
    return io_error("{}: {}", path, std::strerror(errno));
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int error = errno;
    ::close(fd);
    return io_error("{}: {}", path, std::strerror(error));
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return invalid_argument("{}: expected a regular file, found {}", path,
                            S_ISDIR(info.st_mode) ? "a directory" : S_ISFIFO(info.st_mode) ? "a pipe" : "a special file");
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      const int error = errno;
      ::close(fd);
      return io_error("{}: mapping {} bytes: {}", path, size, std::strerror(error));
    }
  }
  ::close(fd);
  return std::shared_ptr<FileMap>(new FileMap(path, static_cast<const std::byte*>(data), size));
}

FileMap::~FileMap() {
  if (size_ > 0) ::munmap(const_cast<std::byte*>(data_), size_);
}

void FileMap::will_read(uint64_t offset, uint64_t bytes) const {
  if (offset >= size_) return;
  const uint64_t begin = offset / page_bytes() * page_bytes();
  const uint64_t end = bytes > size_ - offset ? size_ : offset + bytes;
  std::byte* const pages = const_cast<std::byte*>(data_);
  ::madvise(pages + begin, end - begin, MADV_WILLNEED);
#ifdef MADV_POPULATE_READ
  // Walking through the pages keeps the disk busy, which asking alone does not; they need not stay mapped.
  for (uint64_t at = begin; at < end; at += kFetchBytes) {
    const uint64_t bytes_here = std::min(kFetchBytes, end - at);
    if (::madvise(pages + at, bytes_here, MADV_POPULATE_READ) != 0) return;
    ::madvise(pages + at, bytes_here, MADV_DONTNEED);
  }
#endif
}

void FileMap::release(uint64_t offset, uint64_t bytes) const {
  if (offset >= size_) return;
  const uint64_t begin = (offset + page_bytes() - 1) / page_bytes() * page_bytes();
  const uint64_t stop = bytes > size_ - offset ? size_ : offset + bytes;
  // The last page of the file belongs to its last tensor alone.
  const uint64_t end = stop == size_ ? size_ : stop / page_bytes() * page_bytes();
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace tessera
