// Files of share/ that are part of the program: hardware descriptions, model shapes, published measurements. The table
// is written at build time by src/planner/embed.cmake, so the program needs no installed data.
#ifndef TESSERA_PLANNER_EMBEDDED_H_
#define TESSERA_PLANNER_EMBEDDED_H_

#include <span>
#include <string_view>

namespace tessera {

struct EmbeddedFile {
  std::string_view path;  // "hardware/tpu-v4.json"
  std::string_view text;
};

std::span<const EmbeddedFile> embedded_files();

}  // namespace tessera

#endif  // TESSERA_PLANNER_EMBEDDED_H_
