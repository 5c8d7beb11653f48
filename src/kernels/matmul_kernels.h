// MatmulKernels: the part of the kernel table that linear() uses.
#ifndef TESSERA_KERNELS_MATMUL_KERNELS_H_
#define TESSERA_KERNELS_MATMUL_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

namespace tessera {

struct MatmulKernels {
  // Function pointers only (the table's description walks over them). One name per member, in order, below.
};

inline constexpr const char* kMatmulKernelNames[] = {nullptr};  // ends with a null pointer

}  // namespace tessera

#endif  // TESSERA_KERNELS_MATMUL_KERNELS_H_
