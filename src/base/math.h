// Integer helpers that cannot overflow silently. Sizes that come from a file go through checked_mul and
// checked_add before anything is allocated.
#ifndef TESSERA_BASE_MATH_H_
#define TESSERA_BASE_MATH_H_

#include <cstdint>

namespace tessera {

// False when a * b (a + b) does not fit; then *result is unspecified.
[[nodiscard]] inline bool checked_mul(uint64_t a, uint64_t b, uint64_t* result) {
  return !__builtin_mul_overflow(a, b, result);
}
[[nodiscard]] inline bool checked_add(uint64_t a, uint64_t b, uint64_t* result) {
  return !__builtin_add_overflow(a, b, result);
}

template <class T>
constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}
template <class T>
constexpr T round_up(T a, T multiple) {
  return ceil_div(a, multiple) * multiple;
}

}  // namespace tessera

#endif  // TESSERA_BASE_MATH_H_
