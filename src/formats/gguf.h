// GGUF files as checkpoints: one file, or a split set NAME-00001-of-0000N.gguf that is opened by its first file.
#ifndef TESSERA_FORMATS_GGUF_H_
#define TESSERA_FORMATS_GGUF_H_

#include <span>
#include <string>

#include "formats/checkpoint.h"

namespace tessera {

Result<Checkpoint> open_gguf(const std::string& path, const OpenOptions& options = {});

// One whole file in memory (tests, fuzzing, models embedded into the program). The bytes must outlive the checkpoint.
// A file of a split set is refused.
Result<Checkpoint> gguf_from_memory(std::span<const std::byte> bytes, const OpenOptions& options = {});

}  // namespace tessera

#endif  // TESSERA_FORMATS_GGUF_H_
