#include "server/http.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "planner/charts.h"
#include "planner/html_page.h"

namespace tessera {
namespace {

struct StatusText {
  int status;
  const char *reason, *error_type;  // error_type: as OpenAI's clients and llama.cpp's server name it
};
constexpr StatusText kStatusTexts[] = {
    {200, "OK", ""},
    {303, "See Other", ""},
    {400, "Bad Request", "invalid_request_error"},
    {403, "Forbidden", "permission_error"},
    {404, "Not Found", "not_found_error"},
    {405, "Method Not Allowed", "invalid_request_error"},
    {408, "Request Timeout", "invalid_request_error"},
    {413, "Content Too Large", "invalid_request_error"},
    {431, "Request Header Fields Too Large", "invalid_request_error"},
    {500, "Internal Server Error", "server_error"},
    {503, "Service Unavailable", "unavailable_error"},
    {505, "HTTP Version Not Supported", "invalid_request_error"},
};

const StatusText& status_text(int status) {
  for (const StatusText& text : kStatusTexts) {
    if (text.status == status) return text;
  }
  TESSERA_CHECK(false, "status {} has no line in the table", status);
}

// The pages are self-contained: inline styles and SVG, forms that come back here, no scripts.
constexpr std::string_view kHeadersOfAll =
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Cache-Control: no-store\r\n";

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text;
}

bool is_one_line(std::string_view text) { return text.find_first_of("\r\n") == std::string_view::npos; }

}  // namespace

HttpResponse html_response(int status, std::string body) {
  return {status, "text/html; charset=utf-8", std::move(body), {}};
}

HttpResponse json_response(int status, std::string body) { return {status, "application/json", std::move(body), {}}; }

HttpResponse redirect_response(std::string location) {
  return {303, "text/plain; charset=utf-8", location + "\n", {{"Location", location}}};
}

HttpResponse error_response(int status, std::string_view message, bool as_html, std::string_view param) {
  const StatusText& text = status_text(status);
  if (as_html) {
    const std::string title = fmt::format("{} {}", status, text.reason);
    return html_response(status,
                         html_page(title, "<h1>" + title + "</h1><p class=\"lead\">" + escape_html(message) + "</p>"));
  }
  using Json = nlohmann::ordered_json;
  const Json json{{"error",
                   {{"message", message},
                    {"type", text.error_type},
                    {"code", status},
                    {"param", param.empty() ? Json(nullptr) : Json(param)}}}};
  return json_response(status, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

RouteMatch find_route(const std::vector<Route>& routes, const HttpRequest& request) {
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::string allow;
  for (const Route& route : routes) {
    if (route.path != request.path) continue;
    if (route.method == method) return {&route, {}};
    allow += (allow.empty() ? "" : ", ") + route.method + (route.method == "GET" ? ", HEAD" : "");
  }
  RouteMatch match;
  if (allow.empty()) {
    match.error = error_response(404, fmt::format("nothing at '{}'", request.path), request.wants_html);
  } else {
    match.error = error_response(405, fmt::format("'{}': expected {}, found {}", request.path, allow, request.method),
                                 request.wants_html);
    match.error.headers.emplace_back("Allow", allow);
  }
  return match;
}

std::string serialize(const HttpResponse& r, const ResponseFraming& framing) {
  TESSERA_CHECK(is_one_line(r.content_type), "a content type of several lines");
  std::string text =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n",
                  r.status, status_text(r.status).reason, http_date(), r.content_type, r.body.size(),
                  framing.keep_alive ? "keep-alive" : "close");
  text += kHeadersOfAll;
  for (const auto& [name, value] : r.headers) {
    TESSERA_CHECK(is_one_line(name) && is_one_line(value), "a header of several lines: {}", name);
    text += name + ": " + value + "\r\n";
  }
  text += "\r\n";
  return framing.head ? text : text + r.body;
}

}  // namespace tessera
