// Weights of a checkpoint in other types than the file's, converted row by row while they are read. So a type that no file
// holds can be run (W8), any model can be loaded in a smaller type without writing a file, and an exact f32 twin of a
// quantized model is at hand to compare with. Nothing is kept: memory is that of the rows in flight.
#ifndef TESSERA_COMPRESS_RETYPED_WEIGHTS_H_
#define TESSERA_COMPRESS_RETYPED_WEIGHTS_H_

#include <memory>

#include "base/function_ref.h"
#include "base/status.h"
#include "formats/weight_source.h"

namespace tessera {

// type_of: the type to show; the stored one means that the bytes are handed through. kUnsupported, naming the weight, for
// a type that it cannot be converted to.
Result<std::unique_ptr<WeightSource>> retype_weights(std::unique_ptr<WeightSource> weights,
                                                           FunctionRef<DType(const WeightInfo&)> type_of);

enum class WeightChoice {
  kStored,
  kW8,  // the matrices of the layers; the output head as for q8_0: a float one becomes q8_0, others stay
  kBf16,  // matrices of f16 and f32, which then multiply in bf16; other types stay
  kF32,  // everything, exactly
};
Result<std::unique_ptr<WeightSource>> choose_weights(std::unique_ptr<WeightSource> weights, WeightChoice choice);

}  // namespace tessera

#endif  // TESSERA_COMPRESS_RETYPED_WEIGHTS_H_
