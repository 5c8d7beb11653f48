// Listening, accepting within the bound on connections, signals, and the end.
#include "server/http_server.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>

#include "server/connection.h"

namespace tessera {
namespace {

namespace asio = boost::asio;
using boost::asio::ip::tcp;
using Error = boost::system::error_code;

constexpr int kExitInterrupted = 130;
constexpr std::chrono::milliseconds kPauseWithoutDescriptors{100};

Error open(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  Error error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    Error ignored;
    acceptor.close(ignored);
  }
  return error;
}

std::string host_in_url(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

// Boost's messages begin with a capital letter: "Address already in use".
std::string sentence_part(const Error& error) {
  std::string text = error.message();
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

}  // namespace

struct ServerState : ConnectionHost {
  tcp::acceptor acceptor{io};
  tcp::endpoint endpoint;
  asio::steady_timer pause{io}, stop_timer{io};
  asio::signal_set signals{io};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};  // while answers are in work
  std::optional<tcp::socket> waiting;                                                  // accepted, and no room yet
  bool accepting = false, admitting = false;

  void resume();
  void accept_next();
  void admit();
  bool make_room();
  void stop();
  void stop_if_empty();
  void wait_for_signal(int count);
};

// At the start, and after memory ran out inside of some handler: the connection that it belonged to has none any more.
void ServerState::resume() {
  admitting = false;
  waiting.reset();
  for (const auto& c : std::list(connections)) {
    if (c->gives_way()) c->finish();
  }
  if (stopping) return stop_if_empty();
  if (!accepting) accept_next();
}

void ServerState::accept_next() {
  accepting = true;
  acceptor.async_accept([this](Error error, tcp::socket socket) {
    accepting = false;
    if (error == asio::error::operation_aborted || stopping) return;
    if (!error) {
      waiting.emplace(std::move(socket));
      return admit();
    }
    // Out of descriptors or memory: trying at once would spin.
    make_room();
    pause.expires_after(kPauseWithoutDescriptors);
    pause.async_wait([this](Error cancelled) {
      if (!cancelled && !stopping && !accepting) accept_next();
    });
  });
}

// Starts the connection that waits, if there is room, and accepts the next. Starting and closing connections calls this
// again, which then has nothing to do.
void ServerState::admit() {
  if (stopping) return stop_if_empty();
  if (!waiting || admitting) return;
  admitting = true;
  if (connections.size() < limits.connections || make_room()) {
    auto connection = std::make_shared<Connection>(*std::move(waiting), *this);
    waiting.reset();
    connections.push_back(connection);
    connection->start();
  }
  admitting = false;
  if (!waiting) accept_next();
}

// Closes the connection that has waited longest for its client, if any.
bool ServerState::make_room() {
  std::shared_ptr<Connection> oldest;
  for (const auto& c : connections) {
    if (c->gives_way() && (oldest == nullptr || c->since() < oldest->since())) oldest = c;
  }
  if (oldest != nullptr) oldest->finish();
  return oldest != nullptr;
}

void ServerState::stop() {
  if (stopping) return;
  stopping = true;
  Error ignored;
  acceptor.close(ignored);
  pause.cancel();
  waiting.reset();
  const auto finish_all = [this](void (Connection::*how)()) {
    const auto all = connections;  // they leave the list
    for (const auto& c : all) ((*c).*how)();
  };
  finish_all(&Connection::drain);
  stop_timer.expires_after(limits.stop_time);
  stop_timer.async_wait([finish_all](Error cancelled) {
    if (!cancelled) finish_all(&Connection::finish);
  });
  stop_if_empty();
}

void ServerState::stop_if_empty() {
  if (!connections.empty()) return;
  stop_timer.cancel();
  Error ignored;
  signals.cancel(ignored);
  work.reset();
}

void ServerState::wait_for_signal(int count) {
  signals.async_wait([this, count](Error error, int) {
    if (error) return;
    if (count > 0) _exit(kExitInterrupted);
    wait_for_signal(count + 1);
    stop();
  });
}

HttpServer::HttpServer(std::unique_ptr<ServerState> state) : state_(std::move(state)) {}
HttpServer::HttpServer(HttpServer&&) noexcept = default;

HttpServer::~HttpServer() {
  if (state_ == nullptr) return;
  state_->workers->stop();
  state_->workers->join();
}

Result<HttpServer> HttpServer::listen(const ServerOptions& options, std::vector<Route> routes) {
  auto state = std::make_unique<ServerState>();
  const std::string where = fmt::format("{}:{}", host_in_url(options.host), options.port);
  Error error;
  const auto found = tcp::resolver(state->io).resolve(options.host, std::to_string(options.port),
                                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error) return not_found("{}: {}", where, sentence_part(error));
  for (const auto& entry : found) {
    error = open(state->acceptor, entry.endpoint());
    if (!error) break;
  }
  if (!error) state->endpoint = state->acceptor.local_endpoint(error);
  if (error) return io_error("{}: {}", where, sentence_part(error));
  state->loopback = state->endpoint.address().is_loopback();
  state->limits = options.limits;
  state->routes = std::move(routes);
  state->workers.emplace(static_cast<size_t>(options.limits.workers));
  state->on_room = [s = state.get()] { s->admit(); };
  return HttpServer(std::move(state));
}

uint16_t HttpServer::port() const { return state_->endpoint.port(); }
bool HttpServer::only_loopback() const { return state_->loopback; }

std::string HttpServer::url() const {
  // All interfaces have no address of their own; this machine reaches them by this one.
  const auto address = state_->endpoint.address();
  const std::string host = !address.is_unspecified() ? address.to_string() : address.is_v6() ? "::1" : "127.0.0.1";
  return fmt::format("http://{}:{}", host_in_url(host), port());
}

void HttpServer::run() {
  for (;;) {
    try {
      state_->resume();
      state_->io.run();
      return;
    } catch (const std::bad_alloc&) {
      std::fputs("server: out of memory, waiting connections are closed\n", stderr);
    }
  }
}

void HttpServer::run_until_signal() {
  Error ignored;
  state_->signals.add(SIGINT, ignored);
  state_->signals.add(SIGTERM, ignored);
  state_->wait_for_signal(0);
  run();
}

void HttpServer::stop() {
  asio::post(state_->io, [state = state_.get()] { state->stop(); });
}

}  // namespace tessera
