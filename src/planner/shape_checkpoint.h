// ModelShape from an opened checkpoint: metadata for the numbers, tensor names, types and shapes for the bytes as
// stored.
#ifndef TESSERA_PLANNER_SHAPE_CHECKPOINT_H_
#define TESSERA_PLANNER_SHAPE_CHECKPOINT_H_

#include "formats/checkpoint.h"
#include "planner/shape.h"

namespace tessera {

Result<ModelShape> shape_from_checkpoint(const Checkpoint& checkpoint);

}  // namespace tessera

#endif  // TESSERA_PLANNER_SHAPE_CHECKPOINT_H_
