// The life of a connection: wait, read the header, refuse or find the route, read the body, let a worker answer, write,
// and again. Each phase has one deadline for the whole of it, so that a client that sends or takes a byte now and then
// gains nothing.
#include "server/connection.h"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>

#include "server/uri.h"

namespace tessera {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::asio::ip::tcp;

constexpr size_t kReadPiece = 64 << 10;
constexpr size_t kMostLingered = 4 << 20;

std::string text_of(boost::beast::string_view view) { return std::string(view.data(), view.size()); }

HttpResponse call(const Route& route, const HttpRequest& request) {
  try {
    return route.handler(request);
  } catch (const std::bad_alloc&) {
    return error_response(500, "out of memory", request.wants_html);
  } catch (const std::exception& error) {
    return error_response(500, error.what(), request.wants_html);
  }
}

}  // namespace

Connection::Connection(tcp::socket socket, ConnectionHost& host)
    : host_(host), socket_(std::move(socket)), timer_(host.io), buffer_(host.limits.header_bytes + kReadPiece) {}

void Connection::start() {
  Error ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  wait_for_request();
}

void Connection::finish() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  Error ignored;
  timer_.cancel();
  socket_.close(ignored);
  const auto self = shared_from_this();
  host_.connections.remove(self);
  host_.on_room();
}

void Connection::drain() {
  close_after_ = true;
  if (gives_way()) finish();
}

void Connection::enter(Phase phase, std::chrono::milliseconds time) {
  phase_ = phase;
  since_ = std::chrono::steady_clock::now();
  timed_out_ = false;
  set_timer(time);
}

void Connection::set_timer(std::chrono::milliseconds time) {
  timer_.expires_after(time);
  timer_.async_wait([self = shared_from_this()](Error error) {
    // A timer that was set again after it fired has its new time to go.
    if (!error && self->timer_.expiry() <= std::chrono::steady_clock::now()) self->on_deadline();
  });
}

void Connection::on_deadline() {
  if (phase_ == Phase::kAnswering) return;  // the handler bounds itself
  if (phase_ != Phase::kReading || timed_out_) return finish();
  timed_out_ = true;
  Error ignored;
  socket_.cancel(ignored);
  // Bytes that came just now are not cancelled, and the read would go on without a deadline.
  set_timer(host_.limits.linger_time);
}

void Connection::wait_for_request() {
  if (close_after_ || host_.stopping) return finish();
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(host_.limits.header_bytes));
  parser_->body_limit(host_.limits.body_bytes);
  if (buffer_.size() > 0) return read_header();
  enter(Phase::kIdle, host_.limits.idle_time);
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](Error error) {
    if (self->phase_ == Phase::kClosed) return;
    error ? self->finish() : self->read_header();
  });
  host_.on_room();
}

void Connection::read_header() {
  enter(Phase::kReading, host_.limits.header_time);
  http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](Error error, size_t) {
    if (self->phase_ != Phase::kClosed) self->on_header(error);
  });
}

void Connection::on_header(Error error) {
  request_ = {};
  if (error) return refuse(error);
  if (!check_head()) return;
  if (parser_->is_done()) return hand_to_worker();
  continue_body();
}

bool Connection::check_head() {
  const auto& head = parser_->get();
  request_.method = text_of(head.method_string());
  request_.wants_html = head[http::field::accept].find("text/html") != boost::beast::string_view::npos;
  const auto refused = [this](int status, std::string_view message) {
    refuse(status, message);
    return false;
  };
  if (head.version() != 10 && head.version() != 11) return refused(505, "expected HTTP/1.1");
  const size_t hosts = head.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && head.version() == 11)) return refused(400, "expected one Host header");
  Result<RequestTarget> target = parse_target(text_of(head.target()));
  if (!target.ok()) return refused(400, target.status().message());
  const std::string host = text_of(head[http::field::host]);
  if (host_.loopback && ((hosts > 0 && !names_this_machine(host)) ||
                         (!target->authority.empty() && !names_this_machine(target->authority))))
    return refused(
        403,
        fmt::format("Host '{}': expected localhost or a loopback address; this server is for this machine only", host));
  request_.path = std::move(target->path);
  request_.query = std::move(target->query);
  RouteMatch match = find_route(host_.routes, request_);
  route_ = match.route;
  if (route_ != nullptr) return true;
  close_after_ = close_after_ || !parser_->is_done();  // a body that nobody reads
  respond(match.error);
  return false;
}

void Connection::continue_body() {
  if (!boost::beast::iequals(parser_->get()[http::field::expect], "100-continue")) return read_body();
  enter(Phase::kReading, host_.limits.write_time);
  out_ = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(socket_, asio::buffer(out_), [self = shared_from_this()](Error error, size_t) {
    if (self->phase_ == Phase::kClosed) return;
    error ? self->finish() : self->read_body();
  });
}

void Connection::read_body() {
  enter(Phase::kReading, host_.limits.body_time);
  http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](Error error, size_t) {
    if (self->phase_ == Phase::kClosed) return;
    if (error) return self->refuse(error);
    self->request_.body = std::move(self->parser_->get().body());
    self->hand_to_worker();
  });
}

void Connection::hand_to_worker() {
  timer_.cancel();
  phase_ = Phase::kAnswering;
  if (host_.requests_in_work >= host_.limits.waiting_requests + static_cast<size_t>(host_.limits.workers)) {
    HttpResponse busy = error_response(503, "too many requests are waiting", request_.wants_html);
    busy.headers.emplace_back("Retry-After", "1");
    return respond(busy);
  }
  ++host_.requests_in_work;
  asio::post(*host_.workers, [self = shared_from_this(), route = route_, request = std::move(request_)]() mutable {
    HttpResponse response = call(*route, request);
    asio::io_context& io = self->host_.io;
    asio::post(io, [self = std::move(self), response = std::move(response)] {
      --self->host_.requests_in_work;
      if (self->phase_ != Phase::kClosed) self->respond(response);
    });
  });
}

void Connection::refuse(Error error) {
  if (timed_out_) return refuse(408, "the request did not come in time");
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return refuse(431, fmt::format("request line and headers: expected at most {} bytes", host_.limits.header_bytes));
  if (error == http::error::body_limit)
    return refuse(413, fmt::format("body: expected at most {} bytes", host_.limits.body_bytes));
  if (error == http::error::bad_version) return refuse(505, "expected HTTP/1.1");
  const bool malformed = error.category() == make_error_code(http::error::bad_method).category();
  if (!malformed || error == http::error::end_of_stream || error == http::error::partial_message) return finish();
  refuse(400, "not an HTTP request: " + error.message());
}

void Connection::refuse(int status, std::string_view message) {
  close_after_ = true;
  respond(error_response(status, message, request_.wants_html));
}

void Connection::respond(const HttpResponse& response) {
  ResponseFraming framing;
  framing.head = parser_->get().method() == http::verb::head;
  framing.keep_alive = !close_after_ && !host_.stopping && parser_->get().keep_alive();
  close_after_ = !framing.keep_alive;
  out_ = serialize(response, framing);
  enter(Phase::kWriting, host_.limits.write_time);
  asio::async_write(socket_, asio::buffer(out_), [self = shared_from_this()](Error error, size_t) {
    if (self->phase_ == Phase::kClosed) return;
    if (error) return self->finish();
    self->close_after_ ? self->linger() : self->wait_for_request();
  });
}

// Closing a socket that has unread bytes makes the system reset the connection, and the client may never see the
// answer.
void Connection::linger() {
  Error error;
  socket_.shutdown(tcp::socket::shutdown_send, error);
  if (error) return finish();
  scratch_.resize(kReadPiece);
  enter(Phase::kLingering, host_.limits.linger_time);
  host_.on_room();
  if (phase_ == Phase::kLingering) discard();
}

void Connection::discard() {
  socket_.async_read_some(asio::buffer(scratch_), [self = shared_from_this()](Error error, size_t bytes) {
    if (self->phase_ == Phase::kClosed) return;
    self->lingered_bytes_ += bytes;
    if (error || self->lingered_bytes_ > kMostLingered) return self->finish();
    self->discard();
  });
}

}  // namespace tessera
