// Requests that no client should send. After each the server still answers, and nothing that came in goes out as
// markup.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <random>

#include "server/plan_page.h"
#include "server/test_client.h"

namespace tessera {
namespace {

std::vector<Route> routes() {
  PlanOptions options;
  options.model = "llama-3.2-1b";
  options.hardware = "ryzen-7950x";
  auto list = plan_routes(options);
  EXPECT_TRUE(list.ok()) << list.status().message();
  return list.ok() ? *std::move(list) : std::vector<Route>{};
}

class Hostile : public testing::Test {
 protected:
  // The status of the first answer; 0: closed without one.
  TestResponse answer(std::string_view bytes) {
    TestClient client(server_.port());
    client.send(bytes);
    client.end_sending();
    return client.receive();
  }
  void TearDown() override { EXPECT_EQ(TestClient(server_.port()).get("/plan").status, 200) << "the server is gone"; }

  static ServerLimits limits() {
    ServerLimits limits;
    limits.header_time = std::chrono::milliseconds(200);
    limits.connections = 64;
    return limits;
  }
  TestServer server_{routes(), limits()};
};

TEST_F(Hostile, Garbage) {
  const std::string tls("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
      nul("GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", 36);
  for (const std::string& bytes :
       {tls, nul, std::string("\r\n\r\nhello\r\n\r\n"), std::string("GET\r\n\r\n"), std::string("GET /plan\r\n\r\n"),
        std::string("GET  HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("G@T /plan HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("GET plan HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("GET /%ff HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("GET /plan HTTP/1.1\r\nHost localhost\r\n\r\n"),
        std::string("GET /plan HTTP/1.1\r\nHost: localhost\r\nX: a\x01 b\r\n\r\n")})
    EXPECT_EQ(answer(bytes).status, 400) << bytes;
  EXPECT_EQ(answer("GET /plan HTTP/1.1\nHost: localhost\n\n").status, 505) << "lines end with CR LF";
  EXPECT_EQ(answer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status, 505);
  EXPECT_EQ(answer("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 400);
}

TEST_F(Hostile, BodiesThatLieAboutTheirLength) {
  const std::string start = "GET /plan HTTP/1.1\r\nHost: localhost\r\n";
  for (const char* headers : {"Content-Length: -1\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n",
                              "Content-Length: 99999999999999999999\r\n", "Content-Length: 0x10\r\n",
                              "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"})
    EXPECT_EQ(answer(start + headers + "\r\n").status, 400) << headers;
  EXPECT_EQ(answer(start + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n").status, 400);
  EXPECT_EQ(answer(start + "Content-Length: 9999999999\r\n\r\n").status, 413);
}

TEST_F(Hostile, HeadersAndQueriesWithoutEnd) {
  const std::string megabyte(1 << 20, 'a');
  EXPECT_EQ(answer("GET /plan HTTP/1.1\r\nHost: localhost\r\nX: " + megabyte + "\r\n\r\n").status, 431);
  EXPECT_EQ(answer("GET /plan?" + megabyte + " HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 431);
  EXPECT_EQ(answer(megabyte).status, 431);
  std::string many = "GET /plan HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 100'000; ++i) many += "a: b\r\n";
  EXPECT_EQ(answer(many + "\r\n").status, 431);
  std::string parameters = "GET /plan?";
  for (int i = 0; i < 2000; ++i) parameters += "chips=1&";
  EXPECT_EQ(answer(parameters + " HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 400);
}

TEST_F(Hostile, HalfARequestAndSilence) {
  TestClient client(server_.port());
  client.send("GET /plan HTTP/1.1\r\nHost: loc");
  EXPECT_EQ(client.receive().status, 408);
  EXPECT_TRUE(client.closed());
}

TEST_F(Hostile, GoneBeforeTheAnswer) {
  for (int i = 0; i < 20; ++i) {
    TestClient client(server_.port());
    client.send("GET /plan?model=llama-3-70b&hardware=h100 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
}

TEST_F(Hostile, PathsThatClimb) {
  for (const char* path :
       {"/plan/../../../etc/passwd", "/../plan", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/plan%2f..", "/./plan"})
    EXPECT_EQ(TestClient(server_.port()).get(path).status, 404) << path;
}

TEST_F(Hostile, QueriesThatNameFiles) {
  for (const char* query :
       {"model=/etc/passwd", "model=../../models/tessera-stories-5m-q8_0.gguf", "hardware=/etc/passwd",
        "hardware=../x.json", "trace=/etc/passwd", "html=/tmp/x", "check=/etc/passwd", "calibrate=/etc/passwd",
        "gallery=/tmp", "serve=80", "list=1", "json=1"}) {
    const TestResponse r = TestClient(server_.port()).get(std::string("/plan.json?") + query);
    EXPECT_EQ(r.status, 400) << query;
    EXPECT_EQ(r.body.find("root:"), std::string::npos);
  }
}

TEST_F(Hostile, MarkupInQueriesStaysText) {
  const std::string script = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
  for (const char* name :
       {"model", "hardware", "prompt", "generate", "batch", "chips", "weights", "mesh", "kv", "objective",
        "prefill-layout", "prompt-lengths", "all-layouts", "seed", "rate", "%3Cscript%3E"}) {
    const TestResponse r =
        TestClient(server_.port()).get(std::string("/plan?rate=1&") + name + "=" + script + "&prompt=" + script);
    EXPECT_EQ(r.status, 400) << name;
    EXPECT_EQ(r.body.find("<script"), std::string::npos) << name;
  }
}

TEST_F(Hostile, ByteByByte) {
  TestClient client(server_.port());
  for (const char c : std::string("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    client.send(std::string_view(&c, 1));
  const int status = client.receive().status;
  EXPECT_TRUE(status == 404 || status == 408) << status;
}

TEST_F(Hostile, MutatedRequests) {
  std::mt19937 random(7);
  const std::string good =
      "GET /plan?model=llama-3-8b&chips=1,2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
  for (int i = 0; i < 300; ++i) {
    std::string bytes = good;
    for (int k = 0; k < 1 + i % 5; ++k) bytes[random() % bytes.size()] = static_cast<char>(random());
    const TestResponse r = answer(bytes);
    EXPECT_TRUE(r.status == 0 || (r.status >= 200 && r.status < 506 && r.status != 500)) << r.status << "\n" << bytes;
  }
}

TEST_F(Hostile, AThousandConnections) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4096);
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 1200) GTEST_SKIP() << "at most " << files.rlim_cur << " open files";
  std::vector<TestClient> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.emplace_back(server_.port());
    ASSERT_TRUE(clients.back().connected()) << i;
    if (i % 2 == 0) clients.back().send("GET /plan HTTP/1.1\r\n");
  }
  EXPECT_EQ(TestClient(server_.port()).get("/plan").status, 200);
}

}  // namespace
}  // namespace tessera
