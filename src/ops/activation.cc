#include "ops/activation.h"

#include "base/check.h"
#include "kernels/kernels.h"
#include "ops/for_rows.h"

namespace tessera {
namespace {

template <class A, class B>
void check_same(const A& x, const B& y) {
  TESSERA_CHECK(x.rows == y.rows && x.cols == y.cols, "[{}, {}] and [{}, {}]", x.rows, x.cols, y.rows, y.cols);
}

auto unary_kernel(Activation act) {
  const ElementwiseKernels& k = kernels().elementwise;
  switch (act) {
    case Activation::kSilu: return k.silu;
    case Activation::kGelu: return k.gelu;
    case Activation::kGeluTanh: return k.gelu_tanh;
    case Activation::kRelu: return k.relu;
    case Activation::kRelu2: return k.relu2;
  }
  return k.silu;
}

}  // namespace

GatedKernel gated_kernel(Activation act) {
  const ElementwiseKernels& k = kernels().elementwise;
  switch (act) {
    case Activation::kSilu: return k.silu_mul;
    case Activation::kGelu: return k.gelu_mul;
    case Activation::kGeluTanh: return k.gelu_tanh_mul;
    case Activation::kRelu: return k.relu_mul;
    case Activation::kRelu2: return k.relu2_mul;
  }
  return k.silu_mul;
}

void activate(OpContext& ctx, Activation act, Rows<const float> x, Rows<float> y) {
  check_same(x, y);
  const auto kernel = unary_kernel(act);
  for_rows(ctx, x.rows, x.cols, [&](int64_t t) { kernel(x.row(t), y.row(t), x.cols); });
}

void gated_activate(OpContext& ctx, Activation act, Rows<const float> gate, Rows<const float> up, Rows<float> y) {
  check_same(gate, y);
  check_same(up, y);
  const auto kernel = gated_kernel(act);
  for_rows(ctx, y.rows, y.cols, [&](int64_t t) { kernel(gate.row(t), up.row(t), y.row(t), y.cols); });
}

void add(OpContext& ctx, Rows<const float> x, Rows<float> y) {
  check_same(x, y);
  const auto kernel = kernels().elementwise.add;
  for_rows(ctx, y.rows, y.cols, [&](int64_t t) { kernel(x.row(t), y.row(t), y.cols); });
}

void scale(OpContext& ctx, float factor, Rows<float> y) {
  const auto kernel = kernels().elementwise.scale;
  for_rows(ctx, y.rows, y.cols, [&](int64_t t) { kernel(factor, y.row(t), y.cols); });
}

void softcap(OpContext& ctx, float cap, Rows<float> y) {
  const auto kernel = kernels().elementwise.softcap;
  for_rows(ctx, y.rows, y.cols, [&](int64_t t) { kernel(cap, y.row(t), y.cols); });
}

}  // namespace tessera
