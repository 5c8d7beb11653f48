// The loops behind ElementwiseKernels, included once by each layer's elementwise.cc inside its namespace and compiled
// with that layer's flags. Plain loops without branches: the compiler turns them into vectors of whatever width the
// layer has. No fused multiply-adds and a fixed order of sums, so all layers give the same bits.
//
// Accuracy against double (elementwise_test.cc): exp, tanh 2 ulp; gelu 3e-7 absolute.
// exp: Cody-Waite reduction and a degree-6 polynomial. tanh: Cephes' odd polynomial below 0.625. erfc: Abramowitz and
// Stegun 7.1.26, whose product form keeps the relative error of gelu's negative tail small.

#define TESSERA_INLINE static inline __attribute__((always_inline))

TESSERA_INLINE float bits_to_float(int32_t bits) {
  float f;
  __builtin_memcpy(&f, &bits, 4);
  return f;
}
TESSERA_INLINE int32_t float_to_bits(float f) {
  int32_t bits;
  __builtin_memcpy(&bits, &f, 4);
  return bits;
}

TESSERA_INLINE float exp_f32(float x) {
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const float shifted = x * 1.44269504f + magic;
  const int32_t n = float_to_bits(shifted) - 0x4b400000;
  const float k = shifted - magic;
  const float r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
  float p = 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // 2^n in two factors: n reaches -150 (denormal results) and 129 (infinity).
  const int32_t half = n >> 1;
  return p * bits_to_float((half + 127) << 23) * bits_to_float((n - half + 127) << 23);
}

TESSERA_INLINE float tanh_f32(float x) {
  const float a = __builtin_fabsf(x);
  const float s = x * x;
  float p = -5.70498872745e-3f;
  p = p * s + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  const float small = x + x * s * p;
  const float large = 1.0f - 2.0f / (exp_f32(2.0f * a) + 1.0f);
  return a < 0.625f ? small : __builtin_copysignf(large, x);
}

TESSERA_INLINE float silu_f32(float x) { return x / (1.0f + exp_f32(-x)); }

TESSERA_INLINE float gelu_f32(float x) {
  const float z = __builtin_fabsf(x) * 0.70710678f;
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float tail = 0.5f * (p * t * exp_f32(-z * z));  // erfc(z) / 2
  return x < 0.0f ? x * tail : x - x * tail;
}

TESSERA_INLINE float gelu_tanh_f32(float x) {
  // 0.5 x (1 + tanh(u)) = x / (1 + exp(-2u)): no cancellation for negative x.
  const float u = 0.7978845608f * (x + 0.044715f * x * x * x);
  return x / (1.0f + exp_f32(-2.0f * u));
}

TESSERA_INLINE float relu_f32(float x) { return x > 0.0f ? x : 0.0f; }
TESSERA_INLINE float relu2_f32(float x) { return relu_f32(x) * relu_f32(x); }

#define TESSERA_UNARY(name)                                                         \
  static void name(const float* x, float* y, int64_t n) {                           \
    for (int64_t i = 0; i < n; ++i) y[i] = name##_f32(x[i]);                        \
  }                                                                                 \
  static void name##_mul(const float* gate, const float* up, float* y, int64_t n) { \
    for (int64_t i = 0; i < n; ++i) y[i] = name##_f32(gate[i]) * up[i];             \
  }
TESSERA_UNARY(silu)
TESSERA_UNARY(gelu)
TESSERA_UNARY(gelu_tanh)
TESSERA_UNARY(relu)
TESSERA_UNARY(relu2)
#undef TESSERA_UNARY

static void exp(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = exp_f32(x[i]);
}
static void add(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}
static void scale(float factor, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] *= factor;
}
static void softcap(float cap, float* y, int64_t n) {
  const float inverse = 1.0f / cap;
  for (int64_t i = 0; i < n; ++i) y[i] = cap * tanh_f32(y[i] * inverse);
}

TESSERA_INLINE float lane_sum(const float* lanes) {
  float sums[8];
  for (int i = 0; i < 8; ++i) sums[i] = lanes[i] + lanes[i + 8];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// Sum of (x - mean)^2 in 16 lanes.
TESSERA_INLINE float squares(const float* x, float mean, int64_t n) {
  float lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int l = 0; l < 16; ++l) lanes[l] += (x[i + l] - mean) * (x[i + l] - mean);
  }
  for (int l = 0; i + l < n; ++l) lanes[l] += (x[i + l] - mean) * (x[i + l] - mean);
  return lane_sum(lanes);
}

static void rms_norm(const float* x, const float* weight, float eps, float* y, int64_t n) {
  const float factor = 1.0f / __builtin_sqrtf(squares(x, 0.0f, n) / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor * weight[i];
}

static void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y, int64_t n) {
  float lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int l = 0; l < 16; ++l) lanes[l] += x[i + l];
  }
  for (int l = 0; i + l < n; ++l) lanes[l] += x[i + l];
  const float mean = lane_sum(lanes) / static_cast<float>(n);
  const float factor = 1.0f / __builtin_sqrtf(squares(x, mean, n) / static_cast<float>(n) + eps);
  if (bias != nullptr) {
    for (i = 0; i < n; ++i) y[i] = (x[i] - mean) * factor * weight[i] + bias[i];
  } else {
    for (i = 0; i < n; ++i) y[i] = (x[i] - mean) * factor * weight[i];
  }
}

static void rope_interleaved(const float* cos, const float* sin, float* x, int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = a * sin[i] + b * cos[i];
  }
}

static void rope_halves(const float* cos, const float* sin, float* x, int64_t pairs) {
  float* lo = x;
  float* hi = x + pairs;
  for (int64_t i = 0; i < pairs; ++i) {
    const float a = lo[i], b = hi[i];
    lo[i] = a * cos[i] - b * sin[i];
    hi[i] = a * sin[i] + b * cos[i];
  }
}

void apply(ElementwiseKernels& table) {
  table = {.rms_norm = rms_norm,
           .layer_norm = layer_norm,
           .silu = silu,
           .gelu = gelu,
           .gelu_tanh = gelu_tanh,
           .relu = relu,
           .relu2 = relu2,
           .silu_mul = silu_mul,
           .gelu_mul = gelu_mul,
           .gelu_tanh_mul = gelu_tanh_mul,
           .relu_mul = relu_mul,
           .relu2_mul = relu2_mul,
           .add = add,
           .scale = scale,
           .softcap = softcap,
           .exp = exp,
           .rope_interleaved = rope_interleaved,
           .rope_halves = rope_halves};
}

#undef TESSERA_INLINE
