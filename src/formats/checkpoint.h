// Checkpoint: what a model path on the command line turns into: metadata and weights, from a GGUF file (or the
// first file of a split one) or a Hugging Face folder.
#ifndef TESSERA_FORMATS_CHECKPOINT_H_
#define TESSERA_FORMATS_CHECKPOINT_H_

#include <memory>
#include <string>

#include "base/status.h"
#include "formats/metadata.h"
#include "formats/weight_source.h"

namespace tessera {

struct Checkpoint {
  std::string path;
  std::string format;  // "gguf" or "huggingface"
  Metadata metadata;
  std::unique_ptr<WeightSource> weights;
  uint64_t missing_bytes = 0;  // of weights that lie beyond the ends of the files; 0 unless header_only
};

struct OpenOptions {
  // The file may end anywhere after its header, as when only the first megabytes were downloaded to plan with. Names, types
  // and shapes are validated all the same; the weights must not be read.
  bool header_only = false;
};

// Opens and validates; reads headers only. A Hugging Face folder's tokenizer is translated as well when the folder
// has one this project reads (tokenizer.json, tokenizer.model); otherwise the tokenizer keys are absent.
Result<Checkpoint> open_checkpoint(const std::string& path, const OpenOptions& options = {});

}  // namespace tessera

#endif  // TESSERA_FORMATS_CHECKPOINT_H_
