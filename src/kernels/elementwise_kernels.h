// ElementwiseKernels: norms, activations, rotation: loops over one row or one run of floats. Written once
// (elementwise_body.h) on vectors of 16 lanes that each layer's compiler flags map to its registers, so every layer
// computes the same bits.
#ifndef TESSERA_KERNELS_ELEMENTWISE_KERNELS_H_
#define TESSERA_KERNELS_ELEMENTWISE_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

namespace tessera {

struct ElementwiseKernels {
  // Function pointers only (the table's description walks over them). One name per member, in order, below.
  // Norms of one row of n; y may be x. Lane i of 16 sums elements i, i + 16, ...; the lanes are added pairwise.
  void (*rms_norm)(const float* x, const float* weight, float eps, float* y, int64_t n);
  // bias may be null.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, float* y, int64_t n);
  // y = act(x); y may be x.
  void (*silu)(const float* x, float* y, int64_t n);
  void (*gelu)(const float* x, float* y, int64_t n);
  void (*gelu_tanh)(const float* x, float* y, int64_t n);
  void (*relu)(const float* x, float* y, int64_t n);
  void (*relu2)(const float* x, float* y, int64_t n);
  // y = act(gate) * up; y may be either.
  void (*silu_mul)(const float* gate, const float* up, float* y, int64_t n);
  void (*gelu_mul)(const float* gate, const float* up, float* y, int64_t n);
  void (*gelu_tanh_mul)(const float* gate, const float* up, float* y, int64_t n);
  void (*relu_mul)(const float* gate, const float* up, float* y, int64_t n);
  void (*relu2_mul)(const float* gate, const float* up, float* y, int64_t n);
  void (*add)(const float* x, float* y, int64_t n);  // y += x
  void (*scale)(float factor, float* y, int64_t n);  // y *= factor
  void (*softcap)(float cap, float* y, int64_t n);   // y = cap * tanh(y / cap)
  void (*exp)(const float* x, float* y, int64_t n);  // y = e^x
  // Rotates `pairs` pairs of one head in place by angles given as cos and sin.
  void (*rope_interleaved)(const float* cos, const float* sin, float* x, int64_t pairs);
  void (*rope_halves)(const float* cos, const float* sin, float* x, int64_t pairs);
};

inline constexpr const char* kElementwiseKernelNames[] = {
    "rms_norm",         "layer_norm",    "silu",     "gelu",      "gelu_tanh", "relu",  "relu2",   "silu_mul",
    "gelu_mul",         "gelu_tanh_mul", "relu_mul", "relu2_mul", "add",       "scale", "softcap", "exp",
    "rope_interleaved", "rope_halves",   nullptr};

}  // namespace tessera

#endif  // TESSERA_KERNELS_ELEMENTWISE_KERNELS_H_
