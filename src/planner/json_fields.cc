#include "planner/json_fields.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace tessera {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

}  // namespace

Result<nlohmann::json> parse_json(std::string_view text, std::string_view where, size_t max_bytes) {
  if (text.size() > max_bytes)
    return resource_exhausted("{}: {} bytes, the limit is {}", where, text.size(), max_bytes);
  // Deep nesting would recurse when the document is destroyed: refused before the parse.
  int depth = 0;
  for (const char c : text) {
    depth += (c == '[' || c == '{') - (c == ']' || c == '}');
    if (depth > 200) return invalid_argument("{}: more than 200 levels of nesting", where);
  }
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  if (json.is_discarded()) return invalid_argument("{}: not valid JSON", where);
  return json;
}

Result<std::string> read_text_file(const std::string& path, size_t max_bytes) {
  File file(std::fopen(path.c_str(), "rb"));
  if (!file)
    return Status(errno == ENOENT ? StatusCode::kNotFound : StatusCode::kIoError,
                  fmt::format("{}: {}", path, std::strerror(errno)));
  std::string text;
  char buffer[1 << 16];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, file.get())) > 0;) {
    if (text.size() + n > max_bytes) return resource_exhausted("{}: larger than {} bytes", path, max_bytes);
    text.append(buffer, n);
  }
  if (std::ferror(file.get())) return io_error("{}: cannot be read", path);
  return text;
}

}  // namespace tessera
