// Rows: a view of a row-major matrix [rows, cols] whose rows may stand further apart than cols. What activations are
// passed as; never owns.
#ifndef TESSERA_TENSOR_ROWS_H_
#define TESSERA_TENSOR_ROWS_H_

#include <cstdint>
#include <type_traits>

namespace tessera {

template <class T>
struct Rows {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols

  Rows() = default;
  Rows(T* d, int64_t r, int64_t c) : Rows(d, r, c, c) {}
  Rows(T* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  template <class U, class = std::enable_if_t<std::is_same_v<T, const U>>>
  Rows(const Rows<U>& other) : Rows(other.data, other.rows, other.cols, other.stride) {}

  T* row(int64_t i) const { return data + i * stride; }
  Rows row_range(int64_t begin, int64_t end) const { return {row(begin), end - begin, cols, stride}; }
  Rows col_range(int64_t begin, int64_t end) const { return {data + begin, rows, end - begin, stride}; }
};

}  // namespace tessera

#endif  // TESSERA_TENSOR_ROWS_H_
