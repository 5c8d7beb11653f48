// Linear: y = x W^T + b, the one operator that holds nearly all weights (mechanism M1). The weight is packed at load
// into the layout that the selected kernel streams; the codec (f32, bf16, int8, GGUF blocks) stays behind this
// interface.
//
// Numbers: one output element is summed in an order fixed by the weight format and the kernel layer, so a row of y does
// not depend on the other rows, on the number of threads or on how the work is cut.
#ifndef TESSERA_OPS_LINEAR_H_
#define TESSERA_OPS_LINEAR_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ops/activation.h"
#include "ops/activation_form.h"
#include "ops/context.h"
#include "ops/norm.h"
#include "tensor/dtype.h"
#include "tensor/rows.h"

namespace tessera {

struct PackedMatrix;   // ops/packed_matrix.h
struct ActivationSet;  // ops/activation_set.h

class Linear {
 public:
  Linear();
  ~Linear();
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  // Packs stored rows; `read_rows(begin, end)` returns the bytes of rows [begin, end) of the stored tensor and is
  // called from pool threads. kUnsupported when cols is no multiple of the dtype's block or the dtype is no weight
  // type.
  struct Source {
    DType dtype;
    int64_t rows;  // outputs
    int64_t cols;  // inputs
    FunctionRef<void(int64_t begin, int64_t end, FunctionRef<void(const std::byte*)> use)> read_rows;
  };
  static Result<Linear> pack(const Source& source, ThreadPool& pool);
  // Two matrices of the same type and shape (checked) whose panels alternate in memory: linear_gated() reads both as one stream.
  static Result<std::array<Linear, 2>> pack_pair(const Source& first, const Source& second, ThreadPool& pool);

  void set_bias(std::vector<float> bias);  // rows elements

  bool empty() const { return packed_ == nullptr; }
  int64_t rows() const;
  int64_t cols() const;
  DType dtype() const;
  uint64_t packed_bytes() const;  // what one full pass reads
  std::span<const float> bias() const { return padded_bias().first(bias_.empty() ? 0 : rows()); }
  std::span<const float> padded_bias() const { return bias_; }  // zeros up to a whole panel of rows
  const PackedMatrix& packed() const { return *packed_; }

 private:
  std::unique_ptr<PackedMatrix> packed_;
  std::vector<float> bias_;  // padded
};

// Input of one or more Linears: the rows, and their quantized or bf16 forms, made on first use and shared (q, k, v read
// the same normed rows). Scratch comes from ctx.arena: the object must not be used after an ArenaScope that was open
// at its first use has ended.
class LinearInput {
 public:
  LinearInput(OpContext& ctx, Rows<const float> x) : ctx_(ctx), x_(x) {}
  // norm(x) as input: the norm is computed as the rows are quantized, not stored.
  LinearInput(OpContext& ctx, Rows<const float> x, const RowNorm& norm);
  int64_t rows() const { return x_.rows; }
  int64_t cols() const { return x_.cols; }

  // Implementation detail of linear(): activations in the form that a weight kernel wants.
  const ActivationSet* prepared(ActivationForm form);
  LinearInput(OpContext& ctx, const ActivationSet* only);

 private:
  OpContext& ctx_;
  Rows<const float> x_;
  RowNorm norm_;
  std::array<const ActivationSet*, kActivationForms> forms_{};
};

// y[t, r] = sum_c x[t, c] W[r, c] + b[r].  x: [tokens, cols], y: [tokens, rows].
void linear(OpContext& ctx, const Linear& w, LinearInput& x, Rows<float> y);
// Same, added to what y holds (residual).
void linear_add(OpContext& ctx, const Linear& w, LinearInput& x, Rows<float> y);
// act(gate(x)) * up(x) as the input of `next`: the first half of a gated feed-forward layer in one parallel section. Long
// prompts are quantized for `next` as they are multiplied: the result is for `next`, or matrices of its activation form, alone. gate and up
// have the rows that `next` has columns.
LinearInput linear_gated(OpContext& ctx, Activation act, const Linear& gate, const Linear& up, LinearInput& x,
                         const Linear& next);
// Several matrices, at most 8, over the same input in one parallel section: ys[i] = ws[i](x).
void linear_many(OpContext& ctx, std::span<const Linear* const> ws, LinearInput& x, std::span<const Rows<float>> ys);

}  // namespace tessera

#endif  // TESSERA_OPS_LINEAR_H_
