// Whether this file is compiled with sanitizers, by GCC or Clang.
#ifndef TESSERA_BASE_SANITIZERS_H_
#define TESSERA_BASE_SANITIZERS_H_

#if defined(__has_feature)
#define TESSERA_HAS_FEATURE(feature) __has_feature(feature)
#else
#define TESSERA_HAS_FEATURE(feature) 0
#endif

namespace tessera {

#if defined(__SANITIZE_ADDRESS__) || TESSERA_HAS_FEATURE(address_sanitizer)
inline constexpr bool kAddressSanitized = true;
#else
inline constexpr bool kAddressSanitized = false;
#endif

#if defined(__SANITIZE_THREAD__) || TESSERA_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = kAddressSanitized;
#endif

}  // namespace tessera

#undef TESSERA_HAS_FEATURE

#endif  // TESSERA_BASE_SANITIZERS_H_
