// AttentionKernels: the part of the kernel table that attention uses (scores, softmax, weighted sum of pages).
#ifndef TESSERA_KERNELS_ATTENTION_KERNELS_H_
#define TESSERA_KERNELS_ATTENTION_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

namespace tessera {

struct AttentionKernels {
  // Function pointers only (the table's description walks over them). One name per member, in order, below.
};

inline constexpr const char* kAttentionKernelNames[] = {nullptr};  // ends with a null pointer

}  // namespace tessera

#endif  // TESSERA_KERNELS_ATTENTION_KERNELS_H_
