// What a handler sees of an HTTP request and what it answers. A server is one list of routes; a handler runs on a
// worker thread, may be called by several at once, and knows nothing of sockets. HEAD is answered from the route of
// GET.
#ifndef TESSERA_SERVER_HTTP_H_
#define TESSERA_SERVER_HTTP_H_

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera {

struct HttpRequest {
  std::string method;
  std::string path;   // percent-decoded, "/plan"
  std::string query;  // as sent, without '?'; parse_query() of uri.h reads it
  std::string body;
  bool wants_html = false;  // a browser: Accept names text/html
};

struct HttpResponse {
  int status = 200;
  std::string content_type;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // beside those that every answer has
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

struct Route {
  std::string method, path;
  HttpHandler handler;
};

HttpResponse html_response(int status, std::string body);
HttpResponse json_response(int status, std::string body);
HttpResponse redirect_response(std::string location);

// {"error":{"message","type","code","param"}}, the shape that clients of this field read, or the same as a small page.
HttpResponse error_response(int status, std::string_view message, bool as_html, std::string_view param = "");

// The route of a request, or the 404 or 405 (with Allow) that answers it.
struct RouteMatch {
  const Route* route = nullptr;
  HttpResponse error;
};
RouteMatch find_route(const std::vector<Route>& routes, const HttpRequest& request);

// Status line, headers and body. `head` leaves the body out and keeps its length. What every answer carries: nothing is
// loaded from elsewhere, framed, sniffed, kept in a cache or named to other sites.
struct ResponseFraming {
  bool head = false;
  bool keep_alive = true;
};
std::string serialize(const HttpResponse& response, const ResponseFraming& framing);

}  // namespace tessera

#endif  // TESSERA_SERVER_HTTP_H_
