#include "base/pending_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace tessera {
namespace {

// What cannot be looked at counts as a name for a file: writing finds out.
bool is_special(const std::string& path) {
  std::error_code error;
  const auto there = std::filesystem::status(path, error);
  return std::filesystem::exists(there) && !std::filesystem::is_regular_file(there);
}

}  // namespace

PendingFile::~PendingFile() {
  if (!file_) return;
  file_.reset();
  std::remove(partial_.c_str());
}

Result<PendingFile> PendingFile::create(std::string path) {
  if (is_special(path)) {
    return invalid_argument("{}: expected a file to write, found a folder, device or pipe", path);
  }
  std::error_code error;  // nothing there, or a link to nothing, whose place the file takes
  if (const auto target = std::filesystem::canonical(path, error); !error) path = target;
  PendingFile file(std::move(path));
  for (int n = 0; n < 100; ++n) {  // somebody killed may have had the same process number
    file.partial_ = fmt::format("{}.{}.{}.partial", file.path_, getpid(), n);
    file.file_.reset(std::fopen(file.partial_.c_str(), "wbx"));
    if (file.file_ || errno != EEXIST) break;
  }
  if (!file.file_) return file.failed("creating");
  struct stat old;
  if (stat(file.path_.c_str(), &old) == 0 && fchmod(fileno(file.file_.get()), old.st_mode & 07777) != 0) {
    return file.failed("setting permissions");
  }
  return file;
}

Status PendingFile::write(std::span<const std::byte> bytes) {
  if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    return failed("writing");
  }
  position_ += bytes.size();
  return {};
}

Status PendingFile::commit() {
  if (std::fflush(file_.get()) != 0 || fsync(fileno(file_.get())) != 0) return failed("writing");
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) return failed("renaming");
  file_.reset();
  return {};
}

Status PendingFile::failed(std::string_view action) const {
  return io_error("{}: {}: {}", path_, action, std::strerror(errno));
}

Status write_file(const std::string& path, std::string_view bytes) {
  std::error_code error;
  if (!is_special(path) && !std::filesystem::is_symlink(path, error)) {
    TESSERA_ASSIGN_OR_RETURN(PendingFile file, PendingFile::create(path));
    TESSERA_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(bytes))));
    return file.commit();
  }
  std::fflush(nullptr);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return io_error("{}: {}", path, std::strerror(errno));
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const bool closed = std::fclose(file) == 0;
  return written && closed ? Status() : io_error("{}: writing: {}", path, std::strerror(errno));
}

void make_folders_for(const std::string& path) {
  const std::filesystem::path target(path);
  std::error_code error;
  if (target.has_parent_path()) std::filesystem::create_directories(target.parent_path(), error);
}

}  // namespace tessera
