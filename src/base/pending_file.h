// PendingFile: a file that appears under its name when it is whole and not before, whatever happens meanwhile. It is
// written under a temporary name beside the wanted one.
#ifndef TESSERA_BASE_PENDING_FILE_H_
#define TESSERA_BASE_PENDING_FILE_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tessera {

class PendingFile {
 public:
  // Errors: kInvalidArgument where the name is that of a folder, device or pipe, which a file must not replace;
  // kIoError.
  static Result<PendingFile> create(std::string path);
  PendingFile(PendingFile&&) = default;
  // Removes the file if it was not committed.
  ~PendingFile();

  uint64_t position() const { return position_; }
  Status write(std::span<const std::byte> bytes);
  // The bytes reach the disk, then the name; an older file of that name is replaced. Nothing can be written afterwards.
  Status commit();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  PendingFile(std::string path, std::string partial);
  Status failed(std::string_view action) const;

  std::string path_;
  std::string partial_;
  std::unique_ptr<std::FILE, Close> file_;
  uint64_t position_ = 0;
};

// Replaces or creates a file at once, as above. A device or pipe is written to as it is (/dev/stdout).
Status write_file(const std::string& path, std::string_view bytes);

}  // namespace tessera

#endif  // TESSERA_BASE_PENDING_FILE_H_
