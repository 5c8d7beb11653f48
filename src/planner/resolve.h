// What a model argument means to the planner: a shipped name ("llama-3-8b"), a GGUF file, a Hugging Face folder or its
// config.json. Only headers are read.
#ifndef TESSERA_PLANNER_RESOLVE_H_
#define TESSERA_PLANNER_RESOLVE_H_

#include <string>

#include "base/status.h"
#include "planner/shape.h"

namespace tessera {

Result<ModelShape> resolve_model(const std::string& name_or_path);

}  // namespace tessera

#endif  // TESSERA_PLANNER_RESOLVE_H_
