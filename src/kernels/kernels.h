// The kernel table: every loop whose speed matters, as function pointers, filled once at start. An ordered list of
// layers (generic, avx2, avx512, avx512_vnni, avx512_bf16; on AArch64 generic, neon, neon_dotprod) is applied; each
// overwrites what it improves and runs only where the processor has its features. TESSERA_KERNELS=avx2 stops after the layer of that name.
//
// Kernels are bare loops: shapes are checked in ops/, there is no error path here.
#ifndef TESSERA_KERNELS_KERNELS_H_
#define TESSERA_KERNELS_KERNELS_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/attention_kernels.h"
#include "kernels/elementwise_kernels.h"
#include "kernels/matmul_kernels.h"

namespace tessera {

struct KernelTable {
  MatmulKernels matmul{};
  ElementwiseKernels elementwise{};
  AttentionKernels attention{};
};

struct KernelLayer {
  const char* name;
  uint32_t features;               // bits of CpuFeature that must all be present
  void (*matmul)(MatmulKernels&);  // null: the layer has nothing of this subject
  void (*elementwise)(ElementwiseKernels&);
  void (*attention)(AttentionKernels&);
};

// In order of application.
std::span<const KernelLayer> kernel_layers();

// The table with the layers up to and including `cap` (empty: all) that `features` allow. kInvalidArgument when no
// layer has this name, kUnsupported when the processor lacks its features.
Result<KernelTable> build_kernel_table(std::string_view cap, uint32_t features);

// The table of this process: built on first use from cpu_features() and TESSERA_KERNELS. A bad value is reported
// by check_kernel_environment(); here it means no cap.
const KernelTable& kernels();
Status check_kernel_environment();

// Which layer filled a slot of the table, found by comparing with each layer's own pointers.
struct KernelSlot {
  std::string name;  // "elementwise.rms_norm"
  const char* layer;
};
std::vector<KernelSlot> kernel_slots(const KernelTable& table);

// The text behind `tessera inspect --kernels`: processor, features, cap, and each slot's layer.
std::string describe_kernels();

}  // namespace tessera

#endif  // TESSERA_KERNELS_KERNELS_H_
