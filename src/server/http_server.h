// A small HTTP/1.1 server: one thread for all sockets, a few for handlers, every resource bounded. Slow clients are cut
// off, silent ones make room when the connections run out, and one request that fails fails alone. Bound to loopback it
// answers only requests whose Host names this machine. Over Boost.Asio and Beast, which stay inside the .cc files.
#ifndef TESSERA_SERVER_HTTP_SERVER_H_
#define TESSERA_SERVER_HTTP_SERVER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/http.h"

namespace tessera {

struct ServerLimits {
  size_t header_bytes = 16 << 10;  // request line and headers
  size_t body_bytes = 1 << 20;
  size_t connections = 256;                       // more wait until one ends or gives way
  int workers = 4;                                // handlers at once
  size_t waiting_requests = 64;                   // for a worker; then 503
  std::chrono::milliseconds idle_time{60'000};    // between requests
  std::chrono::milliseconds header_time{10'000};  // from a request's first byte to the end of its headers
  std::chrono::milliseconds body_time{30'000};
  std::chrono::milliseconds write_time{30'000};  // of one whole answer
  std::chrono::milliseconds linger_time{2'000};  // reading on after an error, so that the client sees the answer
  std::chrono::milliseconds stop_time{10'000};   // from stop() until what is not finished is dropped
};

struct ServerOptions {
  std::string host = "127.0.0.1";  // name or address to listen on
  uint16_t port = 0;               // 0: any free one
  ServerLimits limits;
};

struct ServerState;

class HttpServer {
 public:
  // Binds and listens; connections wait in the system's queue until run().
  static Result<HttpServer> listen(const ServerOptions& options, std::vector<Route> routes);
  HttpServer(HttpServer&&) noexcept;
  ~HttpServer();  // waits for handlers that still run

  uint16_t port() const;
  std::string url() const;     // "http://127.0.0.1:8080"
  bool only_loopback() const;  // reachable from this machine alone

  void run();               // until stop(): no new requests, answers in work are finished
  void run_until_signal();  // the same at SIGINT or SIGTERM; a second one ends the process at once
  void stop();              // from any thread

 private:
  explicit HttpServer(std::unique_ptr<ServerState> state);
  std::unique_ptr<ServerState> state_;
};

}  // namespace tessera

#endif  // TESSERA_SERVER_HTTP_SERVER_H_
