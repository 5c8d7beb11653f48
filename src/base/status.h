// Status and Result: how everything that the outside can cause is reported (files, requests, limits, missing
// weights). Bugs of our own use TESSERA_CHECK (check.h). A message is one line that names the offending
// thing, what was expected and what was found: "blk.3.attn_q.weight: expected [2048, 2048], found [2048, 1024]".
#ifndef TESSERA_BASE_STATUS_H_
#define TESSERA_BASE_STATUS_H_

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace tessera {

enum class StatusCode {
  kOk,
  kInvalidArgument,    // the caller's input is wrong: a malformed file, a bad flag, a bad request
  kNotFound,           // a file, a tensor or a key that does not exist
  kUnsupported,        // valid input that this program cannot handle
  kResourceExhausted,  // a limit on memory, steps, depth or size was reached
  kIoError,            // the operating system said no
  kCancelled,          // stopped on request (Ctrl-C, client gone)
  kInternal,           // a bug that was caught without ending the process
};

std::string_view to_string(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same error with "context: " before its message; ok stays ok.
  Status with_context(std::string_view context) const {
    return ok() ? Status() : Status(code_, fmt::format("{}: {}", context, message_));
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

template <class... Args>
Status invalid_argument(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}
template <class... Args>
Status not_found(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kNotFound, fmt::format(format, std::forward<Args>(args)...)};
}
template <class... Args>
Status unsupported(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kUnsupported, fmt::format(format, std::forward<Args>(args)...)};
}
template <class... Args>
Status resource_exhausted(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kResourceExhausted, fmt::format(format, std::forward<Args>(args)...)};
}
template <class... Args>
Status io_error(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kIoError, fmt::format(format, std::forward<Args>(args)...)};
}

// A value or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {
    TESSERA_CHECK(!status_.ok(), "a Result without a value needs an error");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  T& operator*() & { return get(); }
  const T& operator*() const& { return const_cast<Result*>(this)->get(); }
  T&& operator*() && { return std::move(get()); }
  T* operator->() { return &get(); }
  const T* operator->() const { return &const_cast<Result*>(this)->get(); }

 private:
  T& get() {
    TESSERA_CHECK(value_.has_value(), "value of a failed Result: {}", status_.message());
    return *value_;
  }

  std::optional<T> value_;
  Status status_;
};

#define TESSERA_CONCAT_(a, b) a##b
#define TESSERA_CONCAT(a, b) TESSERA_CONCAT_(a, b)

// Leaves the function with the error, if there is one.
#define TESSERA_RETURN_IF_ERROR(expr)                                     \
  do {                                                                    \
    if (::tessera::Status status_ = (expr); !status_.ok()) return status_; \
  } while (false)

// TESSERA_ASSIGN_OR_RETURN(auto file, FileMap::open(path));
#define TESSERA_ASSIGN_OR_RETURN(lhs, expr) \
  TESSERA_ASSIGN_OR_RETURN_(TESSERA_CONCAT(result_, __LINE__), lhs, expr)
#define TESSERA_ASSIGN_OR_RETURN_(result, lhs, expr) \
  auto result = (expr);                              \
  if (!result.ok()) return result.status();          \
  lhs = *std::move(result)

}  // namespace tessera

#endif  // TESSERA_BASE_STATUS_H_
