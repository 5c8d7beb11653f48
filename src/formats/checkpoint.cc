#include "formats/checkpoint.h"

#include <algorithm>
#include <filesystem>

#include "formats/gguf.h"
#include "formats/hf_checkpoint.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

// The GGUF file that a folder stands for: its only one, or the first of its only split set.
Result<std::string> gguf_in_folder(const std::string& folder) {
  std::vector<std::string> firsts;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.ends_with(".gguf")) continue;
    const auto of = name.rfind("-of-");
    const bool sibling = of != std::string::npos && of >= 6 && name.substr(of - 6, 6) != "-00001";
    if (!sibling) firsts.push_back(it->path().string());
  }
  if (error) return io_error("{}: {}", folder, error.message());
  if (firsts.empty()) {
    return not_found("{}: expected a folder with config.json or with a .gguf file, found neither", folder);
  }
  std::ranges::sort(firsts);
  if (firsts.size() > 1) {
    return invalid_argument("{}: has {} .gguf files; name one of them, for example {}", folder, firsts.size(),
                            firsts.front());
  }
  return firsts.front();
}

}  // namespace

Result<Checkpoint> open_checkpoint(const std::string& path, const OpenOptions& options) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return not_found("{}: no such file or folder", path);
  if (!fs::is_directory(status)) return open_gguf(path, options);
  if (fs::exists(fs::path(path) / "config.json", error)) return open_huggingface(path, options);
  TESSERA_ASSIGN_OR_RETURN(const std::string file, gguf_in_folder(path));
  return open_gguf(file, options);
}

}  // namespace tessera
