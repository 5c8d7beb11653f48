// For tests: a server on a free port with its thread, and a client that sends bytes as they are. Waiting has generous
// bounds, so that nothing depends on timing and nothing hangs.
#ifndef TESSERA_SERVER_TEST_CLIENT_H_
#define TESSERA_SERVER_TEST_CLIENT_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "server/http_server.h"

namespace tessera {

class TestServer {
 public:
  explicit TestServer(std::vector<Route> routes, const ServerLimits& limits = {}) {
    Result<HttpServer> server = HttpServer::listen({"127.0.0.1", 0, limits}, std::move(routes));
    EXPECT_TRUE(server.ok()) << server.status().message();
    server_.emplace(*std::move(server));
    thread_ = std::thread([this] { server_->run(); });
  }
  ~TestServer() { end(); }
  void end() {
    server_->stop();
    if (thread_.joinable()) thread_.join();
  }
  HttpServer& operator*() { return *server_; }
  uint16_t port() const { return server_->port(); }

 private:
  std::optional<HttpServer> server_;
  std::thread thread_;
};

struct TestResponse {
  int status = 0;  // 0: the connection ended before an answer
  std::string head, body;
  bool complete = false;  // as long as Content-Length says
  std::string header(std::string_view name) const {
    const std::string start = "\r\n" + std::string(name) + ": ";
    const size_t at = head.find(start);
    return at == std::string::npos ? "" : head.substr(at + start.size(), head.find("\r\n", at + 2) - at - start.size());
  }
};

class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_bytes = 0) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{60, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (receive_bytes > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = fd_ >= 0 && connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  TestClient(TestClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_), received_(std::move(other.received_)) {}
  ~TestClient() {
    if (fd_ >= 0) close(fd_);
  }
  bool connected() const { return connected_; }

  // False when the server has closed meanwhile, which many tests expect.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void end_sending() const { shutdown(fd_, SHUT_WR); }

  TestResponse receive(bool head_only = false) {
    TestResponse r;
    size_t end;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return r;
    }
    r.head = received_.substr(0, end + 2);
    received_.erase(0, end + 4);
    r.status = std::stoi(r.head.substr(9, 3));
    if (head_only || r.status == 100) return r.complete = true, r;
    const size_t length = std::stoul(r.header("Content-Length"));
    while (received_.size() < length && more()) {
    }
    r.complete = received_.size() >= length;
    r.body = received_.substr(0, length);
    received_.erase(0, length);
    return r;
  }
  // Whether the server has closed, after what is still to come.
  bool closed() {
    while (more()) {
    }
    return !timed_out_;
  }
  TestResponse get(std::string_view target, std::string_view headers = "") {
    send(std::string("GET ") + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) +
         "\r\n");
    return receive();
  }

 private:
  bool more() {
    char bytes[16384];
    const ssize_t n = recv(fd_, bytes, sizeof(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) timed_out_ = true;
    if (n <= 0) return false;
    received_.append(bytes, static_cast<size_t>(n));
    return true;
  }

  int fd_;
  bool connected_ = false, timed_out_ = false;
  std::string received_;
};

inline Route text_route(std::string path, std::string text) {
  return {"GET", std::move(path), [text](const HttpRequest&) { return HttpResponse{200, "text/plain", text, {}}; }};
}

}  // namespace tessera

#endif  // TESSERA_SERVER_TEST_CLIENT_H_
