// Shape: up to four dimensions, outermost first: a weight matrix is [rows = outputs, cols = inputs] and one row is
// contiguous. (GGUF stores the innermost first; formats/ turns it around.)
#ifndef TESSERA_TENSOR_SHAPE_H_
#define TESSERA_TENSOR_SHAPE_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/check.h"

namespace tessera {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) {
    TESSERA_CHECK(dims.size() <= kMaxRank, "rank {}", dims.size());
    for (int64_t d : dims) dims_[rank_++] = d;
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t cols() const { return rank_ == 0 ? 1 : dims_[rank_ - 1]; }  // innermost: elements of a row
  int64_t rows() const {                                              // product of all the others
    int64_t n = 1;
    for (int i = 0; i + 1 < rank_; ++i) n *= dims_[i];
    return n;
  }
  int64_t elements() const { return rows() * cols(); }
  bool operator==(const Shape&) const = default;

  std::string to_string() const {  // "[32000, 2048]"
    std::string text = "[";
    for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(dims_[i]);
    return text + "]";
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace tessera

#endif  // TESSERA_TENSOR_SHAPE_H_
