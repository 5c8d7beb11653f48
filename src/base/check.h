// TESSERA_CHECK: for bugs only, in every build type. Never reachable from input: what a file, a prompt, a
// flag or a request can cause is a Status.
#ifndef TESSERA_BASE_CHECK_H_
#define TESSERA_BASE_CHECK_H_

#include <fmt/format.h>

#include <string>

namespace tessera {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace tessera

#define TESSERA_CHECK(condition, ...)                                                              \
  do {                                                                                             \
    if (!(condition)) [[unlikely]]                                                                 \
      ::tessera::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__));       \
  } while (false)

#endif  // TESSERA_BASE_CHECK_H_
