#include "server/uri.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace tessera {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Well-formed, without surrogates and overlong forms, and no control characters.
bool is_clean_utf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    const auto lead = static_cast<unsigned char>(s[i]);
    const size_t length = lead < 0x80                   ? 1
                          : lead >= 0xc2 && lead < 0xe0 ? 2
                          : lead >= 0xe0 && lead < 0xf0 ? 3
                          : lead >= 0xf0 && lead < 0xf5 ? 4
                                                        : 0;
    if (length == 0 || i + length > s.size() || lead < 0x20 || lead == 0x7f) return false;
    uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(s[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3f);
    }
    constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < kLeast[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    i += length;
  }
  return true;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1, low = high >= 0 ? hex_digit(text[i + 2]) : -1;
      if (low < 0) return invalid_argument("'%' must be followed by two hexadecimal digits");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  if (!is_clean_utf8(out)) return invalid_argument("expected UTF-8 without control characters");
  return out;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

// "[::1]:80" -> "::1", "80"; a name without a port has none. False when it is neither.
bool split_host(std::string_view text, std::string_view* host, std::optional<std::string_view>* port) {
  std::string_view rest;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return false;
    *host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  } else {
    const size_t colon = std::min(text.find(':'), text.size());
    *host = text.substr(0, colon);
    rest = text.substr(colon);
  }
  port->reset();
  if (rest.empty()) return true;
  if (rest[0] != ':') return false;
  *port = rest.substr(1);
  return true;
}

}  // namespace

Result<RequestTarget> parse_target(std::string_view target) {
  RequestTarget parsed;
  constexpr std::string_view kScheme = "http://";
  if (target.starts_with(kScheme)) {
    target.remove_prefix(kScheme.size());
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    parsed.authority = target.substr(0, end);
    target.remove_prefix(end);
    if (parsed.authority.empty()) return invalid_argument("target: no host after http://");
    if (target.empty() || target[0] == '?') parsed.path = "/";
  } else if (!target.starts_with('/')) {
    return invalid_argument("target: expected a path that begins with '/'");
  }
  const size_t question = std::min(target.find('?'), target.size());
  if (parsed.path.empty()) {
    Result<std::string> path = percent_decode(target.substr(0, question), false);
    if (!path.ok()) return path.status().with_context("path");
    parsed.path = *std::move(path);
  }
  if (question < target.size()) parsed.query = target.substr(question + 1);
  return parsed;
}

Result<std::vector<QueryParameter>> parse_query(std::string_view query) {
  std::vector<QueryParameter> parameters;
  for (size_t at = 0; at < query.size();) {
    const size_t end = std::min(query.find('&', at), query.size());
    const std::string_view pair = query.substr(at, end - at);
    at = end + 1;
    if (pair.empty()) continue;
    if (parameters.size() == kMostQueryParameters)
      return invalid_argument("query: expected at most {} parameters", kMostQueryParameters);
    const size_t equal = std::min(pair.find('='), pair.size());
    Result<std::string> name = percent_decode(pair.substr(0, equal), true);
    if (!name.ok()) return name.status().with_context("query");
    Result<std::string> value = percent_decode(pair.substr(std::min(equal + 1, pair.size())), true);
    if (!value.ok()) return value.status().with_context("query, " + *name);
    parameters.push_back({*std::move(name), *std::move(value)});
  }
  return parameters;
}

std::string encode_query(const std::vector<QueryParameter>& parameters) {
  std::string out;
  const auto add = [&](std::string_view text) {
    for (const char c : text) {
      const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         std::string_view("-._~,:").find(c) != std::string_view::npos;
      out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  };
  for (const QueryParameter& p : parameters) {
    if (!out.empty()) out += '&';
    add(p.name);
    out += '=';
    add(p.value);
  }
  return out;
}

bool names_this_machine(std::string_view text) {
  std::string_view host_view;
  std::optional<std::string_view> port;
  if (!split_host(text, &host_view, &port) || (port && !port->empty() && !parse_port(*port))) return false;
  std::string host(host_view);
  if (host.find('\0') != std::string::npos) return false;
  for (char& c : host) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (text.starts_with('[')) {
    in6_addr address{};
    return inet_pton(AF_INET6, host.c_str(), &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address);
  }
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return ntohl(address.s_addr) >> 24 == 127;
  return host == "localhost";
}

Result<HostPort> parse_host_port(std::string_view text, std::string_view default_host) {
  if (const auto port = parse_port(text)) return HostPort{std::string(default_host), *port};
  std::string_view host;
  std::optional<std::string_view> port_text;
  const bool split = split_host(text, &host, &port_text);
  const auto port = split && port_text ? parse_port(*port_text) : std::nullopt;
  if (!port) return invalid_argument("expected [HOST:]PORT such as 8080, 0.0.0.0:8080 or [::1]:0, found '{}'", text);
  return HostPort{std::string(host.empty() ? default_host : host), *port};
}

}  // namespace tessera
