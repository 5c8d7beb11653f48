// The server over real sockets: routes, errors, limits, time, room for connections, the end.
#include "server/http_server.h"

#include <gtest/gtest.h>

#include <csignal>
#include <future>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "server/test_client.h"

namespace tessera {
namespace {

using std::chrono::milliseconds;

Route echo() {
  return {"POST", "/echo", [](const HttpRequest& r) {
            return HttpResponse{200, "text/plain", r.query + "|" + r.body, {}};
          }};
}

// A handler that says when it runs and answers when it may.
struct Gate {
  std::promise<void> entered, opened;
  std::shared_future<void> open = opened.get_future().share();
  std::atomic<bool> seen{false};
  Route route(const std::string& path) {
    return {"GET", path, [this](const HttpRequest&) {
              if (!seen.exchange(true)) entered.set_value();
              open.wait();
              return HttpResponse{200, "text/plain", "late", {}};
            }};
  }
};

TEST(HttpServer, AnswersByMethodAndPath) {
  TestServer server({text_route("/a", "one"), text_route("/b", "two"), echo()});
  TestClient client(server.port());
  const TestResponse a = client.get("/a");
  EXPECT_EQ(a.status, 200);
  EXPECT_EQ(a.body, "one");
  EXPECT_EQ(a.header("Content-Type"), "text/plain");
  EXPECT_EQ(a.header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(a.header("Referrer-Policy"), "no-referrer");
  EXPECT_NE(a.header("Content-Security-Policy").find("default-src 'none'"), std::string::npos);
  EXPECT_NE(a.header("Date").find(" GMT"), std::string::npos);
  EXPECT_EQ(client.get("/%62").body, "two");  // the same connection; %62 is b
  EXPECT_EQ(client.get("http://localhost/a").body, "one");
  const TestResponse none = client.get("/c");
  EXPECT_EQ(none.status, 404);
  const auto error = nlohmann::json::parse(none.body).at("error");
  EXPECT_EQ(error.at("type"), "not_found_error");
  EXPECT_EQ(error.at("code"), 404);
  EXPECT_TRUE(error.at("param").is_null());
  const TestResponse page = client.get("/<c>", "Accept: text/html,*/*\r\n");
  EXPECT_EQ(page.status, 404);
  EXPECT_NE(page.body.find("<!doctype html>"), std::string::npos);
  EXPECT_NE(page.body.find("/&lt;c&gt;"), std::string::npos);
}

TEST(HttpServer, RefusesOtherMethodsAndSaysWhichOnesThereAre) {
  TestServer server({text_route("/a", "one"), {"POST", "/a", echo().handler}, echo()});
  TestClient client(server.port());
  const TestResponse wrong = client.get("/echo");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "POST");
  client.send("DELETE /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const TestResponse both = client.receive();
  EXPECT_EQ(both.status, 405);
  EXPECT_EQ(both.header("Allow"), "GET, HEAD, POST");
  // The connection cannot be used again when a body is left that nobody reads.
  client.send("PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(client.receive().header("Connection"), "close");
  EXPECT_TRUE(client.closed());
}

TEST(HttpServer, HeadIsGetWithoutBody) {
  TestServer server({text_route("/a", "12345")});
  TestClient client(server.port());
  client.send("HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const TestResponse head = client.receive(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), "5");
  client.send("HEAD /none HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.receive(true).status, 404);
  EXPECT_EQ(client.get("/a").body, "12345");  // nothing was left in between
}

TEST(HttpServer, AnswersSeveralRequestsOfOnePacketInOrder) {
  TestServer server({text_route("/a", "one"), text_route("/b", "two"), echo()});
  TestClient client(server.port());
  client.send(
      "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /echo?q HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
      "3\r\n\r\nabc"
      "GET /b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.receive().body, "one");
  EXPECT_EQ(client.receive().body, "q|abc");
  const TestResponse last = client.receive();
  EXPECT_EQ(last.body, "two");
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_TRUE(client.closed());
}

TEST(HttpServer, OldClientsAreClosedAfterTheAnswer) {
  TestServer server({text_route("/a", "one")});
  TestClient client(server.port());
  client.send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.receive().body, "one");
  EXPECT_TRUE(client.closed());
}

TEST(HttpServer, BodiesAreBounded) {
  ServerLimits limits;
  limits.body_bytes = 1000;
  TestServer server({echo()}, limits);
  const std::string start = "POST /echo HTTP/1.1\r\nHost: localhost\r\n";
  {
    TestClient client(server.port());
    client.send(start + "Content-Length: 1000\r\n\r\n" + std::string(1000, 'x'));
    EXPECT_EQ(client.receive().body.size(), 1001u);
    client.send(start + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    EXPECT_EQ(client.receive().body, "|abc");
    client.send(start + "Content-Length: 1001\r\n\r\n");
    const TestResponse refused = client.receive();
    EXPECT_EQ(refused.status, 413);
    EXPECT_NE(refused.body.find("at most 1000 bytes"), std::string::npos);
    EXPECT_TRUE(client.closed());
  }
  TestClient client(server.port());
  client.send(start + "Transfer-Encoding: chunked\r\n\r\n800\r\n" + std::string(0x800, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().status, 413);
}

TEST(HttpServer, ClientsThatAskFirstAreToldToContinue) {
  TestServer server({echo()});
  TestClient client(server.port());
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.receive().status, 100);
  client.send("ok");
  EXPECT_EQ(client.receive().body, "|ok");
}

TEST(HttpServer, OnLoopbackOnlyNamesOfThisMachineAreServed) {
  TestServer server({text_route("/", "home")});
  EXPECT_TRUE((*server).only_loopback());
  const auto status = [&](const std::string& request) {
    TestClient client(server.port());
    client.send(request + "\r\n\r\n");
    return client.receive().status;
  };
  for (const char* host : {"localhost", "LocalHost:80", "127.0.0.1", "127.1.2.3:9", "[::1]:8080"})
    EXPECT_EQ(status(std::string("GET / HTTP/1.1\r\nHost: ") + host), 200) << host;
  for (const char* host :
       {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "", "[::1", "localhost:x"})
    EXPECT_EQ(status(std::string("GET / HTTP/1.1\r\nHost: ") + host), 403) << host;
  EXPECT_EQ(status("GET http://evil.example/ HTTP/1.1\r\nHost: localhost"), 403);
  EXPECT_EQ(status("GET / HTTP/1.1"), 400);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost"), 400);
}

TEST(HttpServer, SlowRequestsAreCutOff) {
  ServerLimits limits;
  limits.header_time = limits.body_time = milliseconds(50);
  TestServer server({echo(), text_route("/a", "one")}, limits);
  TestClient header(server.port()), body(server.port());
  header.send("GET /a HTTP/1.1\r\nHos");
  const TestResponse late = header.receive();
  EXPECT_EQ(late.status, 408);
  EXPECT_EQ(late.header("Connection"), "close");
  EXPECT_TRUE(header.closed());
  body.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf");
  EXPECT_EQ(body.receive().status, 408);
  // A byte now and then does not prolong the time.
  TestClient dripping(server.port());
  int sent = 0;
  while (sent < 100'000 && dripping.send(sent == 0 ? "GET /a HTTP/1.1\r\nX: " : "x")) {
    ++sent;
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_LT(sent, 100'000);
}

// Bytes that arrive as the time runs out are read after the deadline cancelled the reading.
TEST(HttpServer, ABurstAtTheDeadlineDoesNotEscapeIt) {
  ServerLimits limits;
  limits.header_time = milliseconds(5);
  limits.linger_time = milliseconds(100);
  TestServer server({text_route("/a", "one")}, limits);
  for (int round = 0; round < 10; ++round) {
    std::vector<TestClient> clients;
    for (int i = 0; i < 40; ++i) clients.emplace_back(server.port());
    const auto begin = std::chrono::steady_clock::now();
    for (const TestClient& c : clients) c.send("GET /a HTTP/1.1\r\nHost: localhost\r\nX: ");
    std::this_thread::sleep_until(begin + std::chrono::microseconds(4700));
    for (int burst = 0; burst < 20; ++burst) {
      for (const TestClient& c : clients) c.send(std::string(600, 'x'));
    }
    for (TestClient& c : clients) ASSERT_TRUE(c.closed());
  }
}

TEST(HttpServer, SilentConnectionsAreClosedWithoutAWord) {
  ServerLimits limits;
  limits.idle_time = milliseconds(50);
  TestServer server({text_route("/a", "one")}, limits);
  TestClient fresh(server.port()), used(server.port());
  EXPECT_EQ(used.get("/a").status, 200);
  EXPECT_TRUE(used.closed());
  EXPECT_EQ(fresh.receive().status, 0);
}

TEST(HttpServer, ClientsThatDoNotReadAreCutOff) {
  ServerLimits limits;
  limits.write_time = milliseconds(100);
  TestServer server({text_route("/big", std::string(64 << 20, 'x'))}, limits);
  TestClient client(server.port(), 4096);
  client.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  std::this_thread::sleep_for(milliseconds(300));  // longer can only help
  const TestResponse cut = client.receive();
  EXPECT_FALSE(cut.complete);
  EXPECT_EQ(TestClient(server.port()).get("/none").status, 404);
}

TEST(HttpServer, AHandlerThatFailsFailsAlone) {
  TestServer server({{"GET", "/bad", [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("no luck"); }}});
  TestClient client(server.port());
  const TestResponse failed = client.get("/bad");
  EXPECT_EQ(failed.status, 500);
  EXPECT_NE(failed.body.find("server_error"), std::string::npos);
  EXPECT_EQ(client.get("/bad").status, 500);
}

TEST(HttpServer, OneLongRequestDoesNotHoldUpAnother) {
  Gate gate;
  TestServer server({gate.route("/slow"), text_route("/a", "one")});
  TestClient slow(server.port());
  slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  gate.entered.get_future().wait();
  EXPECT_EQ(TestClient(server.port()).get("/a").body, "one");
  gate.opened.set_value();
  EXPECT_EQ(slow.receive().body, "late");
}

TEST(HttpServer, BeyondWhatMayWaitItSaysBusy) {
  Gate gate;
  ServerLimits limits;
  limits.workers = 1;
  limits.waiting_requests = 1;
  TestServer server({gate.route("/slow")}, limits);
  TestClient first(server.port());
  first.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  gate.entered.get_future().wait();
  // Of two more, one waits and one is refused, whichever comes first.
  TestClient a(server.port()), b(server.port());
  a.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  b.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  auto answer_a = std::async(std::launch::async, [&] { return a.receive(); });
  auto answer_b = std::async(std::launch::async, [&] { return b.receive(); });
  while (answer_a.wait_for(milliseconds(1)) != std::future_status::ready &&
         answer_b.wait_for(milliseconds(1)) != std::future_status::ready) {
  }
  gate.opened.set_value();
  const TestResponse ra = answer_a.get(), rb = answer_b.get();
  EXPECT_EQ(ra.status + rb.status, 200 + 503);
  EXPECT_EQ((ra.status == 503 ? ra : rb).header("Retry-After"), "1");
  EXPECT_EQ(first.receive().status, 200);
}

TEST(HttpServer, SilentConnectionsGiveWayToNewOnes) {
  ServerLimits limits;
  limits.connections = 3;
  TestServer server({text_route("/a", "one")}, limits);
  std::vector<TestClient> silent;
  for (int i = 0; i < 10; ++i) silent.emplace_back(server.port());
  EXPECT_EQ(TestClient(server.port()).get("/a").status, 200);
  EXPECT_TRUE(silent.front().closed());
}

TEST(HttpServer, WhereAllAreBusyTheNextConnectionWaits) {
  Gate gate;
  ServerLimits limits;
  limits.connections = 1;
  TestServer server({gate.route("/slow"), text_route("/a", "one")}, limits);
  TestClient busy(server.port());
  busy.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  gate.entered.get_future().wait();
  TestClient next(server.port());
  auto answer = std::async(std::launch::async, [&] { return next.get("/a"); });
  gate.opened.set_value();
  EXPECT_EQ(answer.get().status, 200);
  EXPECT_EQ(busy.receive().body, "late");
}

TEST(HttpServer, StoppingFinishesAnswersInWork) {
  Gate gate;
  TestServer server({gate.route("/slow"), text_route("/a", "one")});
  TestClient slow(server.port()), idle(server.port());
  EXPECT_EQ(idle.get("/a").status, 200);
  slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  gate.entered.get_future().wait();
  (*server).stop();
  EXPECT_TRUE(idle.closed());
  EXPECT_FALSE(TestClient(server.port()).connected());
  gate.opened.set_value();
  const TestResponse last = slow.receive();
  EXPECT_EQ(last.body, "late");
  EXPECT_EQ(last.header("Connection"), "close");
}

TEST(HttpServer, StoppingDoesNotWaitForEver) {
  Gate gate;
  ServerLimits limits;
  limits.stop_time = milliseconds(50);
  TestServer server({gate.route("/slow")}, limits);
  TestClient slow(server.port());
  slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  gate.entered.get_future().wait();
  server.end();
  EXPECT_EQ(slow.receive().status, 0);
  gate.opened.set_value();
}

TEST(HttpServer, EndsAtASignal) {
  Result<HttpServer> server = HttpServer::listen({}, {text_route("/a", "one")});
  ASSERT_TRUE(server.ok());
  std::thread thread([&] { server->run_until_signal(); });
  EXPECT_EQ(TestClient(server->port()).get("/a").status, 200);  // so it runs and listens to signals
  kill(getpid(), SIGTERM);
  thread.join();
  EXPECT_FALSE(TestClient(server->port()).connected());
}

TEST(HttpServerDeathTest, ASecondSignalEndsAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Gate gate;
        Result<HttpServer> server = HttpServer::listen({}, {gate.route("/slow")});
        std::thread client_thread([&] {
          TestClient client(server->port());
          client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
          gate.entered.get_future().wait();
          kill(getpid(), SIGINT);
          client.receive();  // never: the answer stays in work until the second signal
        });
        std::thread second([&] {
          gate.open.wait_for(milliseconds(0));
          while (TestClient(server->port()).connected()) std::this_thread::sleep_for(milliseconds(1));
          kill(getpid(), SIGINT);
        });
        server->run_until_signal();
        client_thread.join();
        second.join();
      },
      testing::ExitedWithCode(130), "");
}

TEST(HttpServer, AnAddressInUseIsOneLine) {
  TestServer server({text_route("/a", "one")});
  const auto second = HttpServer::listen({"127.0.0.1", server.port(), {}}, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(), fmt::format("127.0.0.1:{}: address already in use", server.port()));
  EXPECT_FALSE(HttpServer::listen({"no.such.host.invalid", 0, {}}, {}).ok());
}

TEST(HttpServer, UrlsNameAnAddressThatWorks) {
  TestServer server({text_route("/a", "one")});
  EXPECT_EQ((*server).url(), fmt::format("http://127.0.0.1:{}", server.port()));
  const auto everywhere = HttpServer::listen({"0.0.0.0", 0, {}}, {});
  ASSERT_TRUE(everywhere.ok());
  EXPECT_FALSE(everywhere->only_loopback());
  EXPECT_TRUE(everywhere->url().starts_with("http://127.0.0.1:"));
  if (const auto six = HttpServer::listen({"::1", 0, {}}, {}); six.ok()) {
    EXPECT_TRUE(six->only_loopback());
    EXPECT_TRUE(six->url().starts_with("http://[::1]:"));
  }
}

}  // namespace
}  // namespace tessera
