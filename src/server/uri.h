// The first line of a request and the Host header, taken apart: everything in them is foreign text.
#ifndef TESSERA_SERVER_URI_H_
#define TESSERA_SERVER_URI_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tessera {

// Where a request goes: "/plan?model=x" or, as proxies send it, "http://host/plan?model=x".
struct RequestTarget {
  std::string authority;  // "host:8080"; empty in the usual form
  std::string path;       // percent-decoded
  std::string query;      // as sent, without '?'
};
Result<RequestTarget> parse_target(std::string_view target);

struct QueryParameter {
  std::string name, value;
};
inline constexpr size_t kMostQueryParameters = 128;

// "a=1&b=x+y%2C", in order; '+' is a space. Errors name what is wrong: an incomplete %-sequence, too many parameters,
// bytes that are no UTF-8, control characters.
Result<std::vector<QueryParameter>> parse_query(std::string_view query);
std::string encode_query(const std::vector<QueryParameter>& parameters);

// "localhost", 127.0.0.0/8 or [::1], with or without a port. A page of another site that makes its own name point to
// this machine (DNS rebinding) sends its own name.
bool names_this_machine(std::string_view host);

struct HostPort {
  std::string host;
  uint16_t port = 0;
};
// "8080", ":8080", "0.0.0.0:8080", "[::1]:8080", "localhost:0"; `host` where the text names none.
Result<HostPort> parse_host_port(std::string_view text, std::string_view host);

}  // namespace tessera

#endif  // TESSERA_SERVER_URI_H_
