// PendingFile: a file that appears under its name when it is whole and not before, whatever happens meanwhile. Until
// then its name is NAME.PID.N.partial; a process that is killed leaves that behind.
#ifndef TESSERA_BASE_PENDING_FILE_H_
#define TESSERA_BASE_PENDING_FILE_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace tessera {

class PendingFile {
 public:
  // A link stays: what it points to is replaced. Errors: kInvalidArgument where the name is that of a folder, device or
  // pipe, which a file must not replace; kIoError.
  static Result<PendingFile> create(std::string path);
  PendingFile(PendingFile&&) = default;
  // Removes the file if it was not committed.
  ~PendingFile();

  uint64_t position() const { return position_; }
  Status write(std::span<const std::byte> bytes);
  // Renames the file once its bytes are on the disk. An older file of that name is replaced; its permissions are kept.
  // Nothing can be written afterwards.
  Status commit();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  explicit PendingFile(std::string path) : path_(std::move(path)) {}
  Status failed(std::string_view action) const;

  std::string path_;
  std::string partial_;
  std::unique_ptr<std::FILE, Close> file_;
  uint64_t position_ = 0;
};

// Replaces or creates a file as above. A device, a pipe and what a link points to (/dev/stdout) are written to in
// place, after what this process has printed.
Status write_file(const std::string& path, std::string_view bytes);
// Makes the folders that the file will be in; what goes wrong shows when it is written.
void make_folders_for(const std::string& path);

}  // namespace tessera

#endif  // TESSERA_BASE_PENDING_FILE_H_
