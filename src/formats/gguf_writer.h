// Writing GGUF version 3. Tensors are streamed: each is described first and produces its bytes when its turn comes, so
// a model larger than memory can be written. The file appears under its name only when it is complete.
#ifndef TESSERA_FORMATS_GGUF_WRITER_H_
#define TESSERA_FORMATS_GGUF_WRITER_H_

#include <functional>
#include <span>
#include <string>

#include "base/function_ref.h"
#include "base/status.h"
#include "formats/metadata.h"
#include "formats/weight_source.h"

namespace tessera {

// Takes the next bytes of the tensor.
using ByteSink = FunctionRef<Status(std::span<const std::byte>)>;

struct GgufTensorOutput {
  std::string name;
  DType dtype;
  Shape shape;
  // Gives the tensor's bytes to the sink in order, in pieces of any size; their sum must be what dtype and shape say.
  std::function<Status(ByteSink)> produce;
};

// The alignment is metadata's general.alignment, 32 without it. Errors leave no file behind.
Status write_gguf(const std::string& path, const Metadata& metadata, std::span<const GgufTensorOutput> tensors);

}  // namespace tessera

#endif  // TESSERA_FORMATS_GGUF_WRITER_H_
