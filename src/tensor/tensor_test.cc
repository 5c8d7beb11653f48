#include <gtest/gtest.h>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tessera {
namespace {

TEST(DType, NamesAndNumbersAreUnique) {
  for (const DTypeInfo& a : all_dtypes()) {
    EXPECT_EQ(dtype_from_name(a.name), a.dtype);
    if (a.ggml_id >= 0) EXPECT_EQ(dtype_from_ggml_id(a.ggml_id), a.dtype);
  }
  EXPECT_EQ(dtype_from_name("Q4_K"), DType::kQ4_K);
  EXPECT_EQ(dtype_from_name("q4"), std::nullopt);
  EXPECT_EQ(dtype_from_ggml_id(4), std::nullopt);  // removed from GGUF
}

TEST(DType, RowBytes) {
  EXPECT_EQ(row_bytes(DType::kF32, 3), 12u);
  EXPECT_EQ(row_bytes(DType::kQ8_0, 64), 68u);
  EXPECT_EQ(row_bytes(DType::kQ8_0, 33), std::nullopt);
  EXPECT_EQ(row_bytes(DType::kQ6_K, 512), 420u);
  EXPECT_EQ(row_bytes(DType::kW8, 10), 14u);
  EXPECT_EQ(row_bytes(DType::kF64, 1ull << 62), std::nullopt);
}

TEST(Shape, RowsAndCols) {
  const Shape s{5, 3, 2};
  EXPECT_EQ(s.rows(), 15);
  EXPECT_EQ(s.cols(), 2);
  EXPECT_EQ(s.to_string(), "[5, 3, 2]");
  EXPECT_EQ(Shape{7}.rows(), 1);
}

}  // namespace
}  // namespace tessera
