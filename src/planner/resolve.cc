#include "planner/resolve.h"

#include <filesystem>

#include "formats/checkpoint.h"
#include "planner/json_fields.h"
#include "planner/shape_checkpoint.h"

namespace tessera {

Result<ModelShape> resolve_model(const std::string& name) {
  std::error_code error;
  const std::filesystem::path path(name);
  if (!std::filesystem::exists(path, error)) {
    if (path.has_parent_path() || path.extension() == ".gguf" || path.extension() == ".json") return not_found("{}: no such file", name);
    return find_shipped_model(name);
  }
  const bool folder = std::filesystem::is_directory(path, error);
  if (folder || path.extension() == ".json") {
    const std::string config = folder ? (path / "config.json").string() : name;
    TESSERA_ASSIGN_OR_RETURN(const std::string text, read_text_file(config, 4 << 20));
    TESSERA_ASSIGN_OR_RETURN(ModelShape shape, shape_from_config_json(text, config));
    if (folder)
      shape.name = path.filename().empty() ? path.parent_path().filename().string() : path.filename().string();
    return shape;
  }
  OpenOptions options;
  options.header_only = true;
  TESSERA_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_checkpoint(name, options));
  return shape_from_checkpoint(checkpoint);
}

}  // namespace tessera
