// ActivationForm: the forms in which a matmul's input rows can be prepared (activation_set.h), by what the weight kernel
// reads.
#ifndef TESSERA_OPS_ACTIVATION_FORM_H_
#define TESSERA_OPS_ACTIVATION_FORM_H_

#include <cstdint>

#include "kernels/matmul_kernels.h"

namespace tessera {

// kBlocks, kRoundedBlocks, kSuperBlocks: int8 with one scale per 64, 64 or 256 columns; kRow: one per token. kRoundedBlocks differs
// from kBlocks in its start values (BlockTile::rounding): matrices of both kinds with one input have it quantized twice.
enum class ActivationForm : int { kF32, kBf16, kBlocks, kRoundedBlocks, kSuperBlocks, kRow };
inline constexpr int kActivationForms = static_cast<int>(ActivationForm::kRow) + 1;

// The form that the selected kernels want for a codec.
ActivationForm activation_form(PackedCodec codec);
// Blocks of 32 columns that share a scale; 0: not cut into blocks.
int64_t group_blocks(ActivationForm form);

}  // namespace tessera

#endif  // TESSERA_OPS_ACTIVATION_FORM_H_
