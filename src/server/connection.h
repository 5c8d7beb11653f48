// One client's connection and what all of them share. Inside of the server only: it brings Boost.Asio with it.
// Everything here happens on the one thread that runs `io`, except the handlers themselves.
#ifndef TESSERA_SERVER_CONNECTION_H_
#define TESSERA_SERVER_CONNECTION_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "server/http_server.h"

namespace tessera {

class Connection;

// What connections need of their server.
struct ConnectionHost {
  boost::asio::io_context io{1};
  ServerLimits limits;
  std::vector<Route> routes;
  bool loopback = true;  // then Host must name this machine
  bool stopping = false;
  size_t requests_in_work = 0;  // waiting for a worker or being handled
  std::list<std::shared_ptr<Connection>> connections;
  std::function<void()> on_room;  // a connection ended or can give way
  std::optional<boost::asio::thread_pool> workers;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, ConnectionHost& host);
  void start();   // after it was put into host.connections
  void finish();  // closes at once and leaves host.connections
  void drain();   // finishes as soon as no answer is in work
  // Nothing is in work for it, so that it may be closed to make room; since when.
  bool gives_way() const { return phase_ == Phase::kIdle || phase_ == Phase::kReading || phase_ == Phase::kLingering; }
  std::chrono::steady_clock::time_point since() const { return since_; }

 private:
  enum class Phase { kIdle, kReading, kAnswering, kWriting, kLingering, kClosed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using Error = boost::system::error_code;

  void enter(Phase phase, std::chrono::milliseconds time);
  void set_timer(std::chrono::milliseconds time);
  void on_deadline();
  void wait_for_request();
  void read_header();
  void on_header(Error error);
  bool check_head();  // fills request_ from the header; answers itself and returns false when it is refused
  void continue_body();
  void read_body();
  void hand_to_worker();
  void refuse(Error error);  // what could not be read as a request
  void refuse(int status, std::string_view message);
  void respond(const HttpResponse& response);
  void linger();
  void discard();

  ConnectionHost& host_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;  // received and not yet parsed; may hold the next request
  std::optional<Parser> parser_;
  HttpRequest request_;
  const Route* route_ = nullptr;
  std::string out_;
  std::string scratch_;
  size_t lingered_bytes_ = 0;
  Phase phase_ = Phase::kIdle;
  std::chrono::steady_clock::time_point since_;
  bool timed_out_ = false;
  bool close_after_ = false;
};

}  // namespace tessera

#endif  // TESSERA_SERVER_CONNECTION_H_
