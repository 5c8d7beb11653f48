// What each kernel layer overwrites in the table: declared here, defined in the layer's folder, one file per subject
// (avx2/matmul.cc defines avx2::apply(MatmulKernels&)). A layer that has nothing for a subject declares nothing.
//
// Rules of files under avx2/, neon/, ...: they are compiled with extra CPU flags, so they must define nothing that
// another file could define too: no inline functions or templates of namespace scope without `static` or an
// unnamed namespace, no standard containers or algorithms. A linker that keeps one copy of a shared function could
// keep the one with AVX-512 for everybody. kernels_symbols test checks the objects for weak symbols.
#ifndef TESSERA_KERNELS_LAYERS_H_
#define TESSERA_KERNELS_LAYERS_H_

namespace tessera {

struct MatmulKernels;
struct ElementwiseKernels;
struct AttentionKernels;

namespace generic {
void apply(MatmulKernels& table);
void apply(ElementwiseKernels& table);
void apply(AttentionKernels& table);
}  // namespace generic

namespace avx2 {
void apply(MatmulKernels& table);
void apply(ElementwiseKernels& table);
void apply(AttentionKernels& table);
}  // namespace avx2

namespace avx512 {
void apply(MatmulKernels& table);
void apply(ElementwiseKernels& table);
void apply(AttentionKernels& table);
}  // namespace avx512

namespace avx512_vnni {
void apply(MatmulKernels& table);
void apply(AttentionKernels& table);
}  // namespace avx512_vnni

namespace avx512_bf16 {
void apply(MatmulKernels& table);
void apply(AttentionKernels& table);
}  // namespace avx512_bf16

namespace neon {
void apply(MatmulKernels& table);
void apply(AttentionKernels& table);
}  // namespace neon

namespace neon_dotprod {
void apply(MatmulKernels& table);
}  // namespace neon_dotprod

}  // namespace tessera

#endif  // TESSERA_KERNELS_LAYERS_H_
