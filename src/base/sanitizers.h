// Which sanitizers this file is compiled with, by GCC or Clang: for sizes that their checks make unbearable.
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
inline constexpr bool kThreadSanitized = true;
#else
inline constexpr bool kThreadSanitized = false;
#endif

inline constexpr bool kSanitized = kAddressSanitized || kThreadSanitized;

}  // namespace tessera

#undef TESSERA_HAS_FEATURE

#endif  // TESSERA_BASE_SANITIZERS_H_
