#include "server/uri.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(Uri, TargetsAreTakenApartAndDecodedOnce) {
  const auto target = parse_target("/a%20b%2525?x=%31&y");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->path, "/a b%25");
  EXPECT_EQ(target->query, "x=%31&y");
  EXPECT_EQ(target->authority, "");
  const auto absolute = parse_target("http://host:80?q");
  ASSERT_TRUE(absolute.ok());
  EXPECT_EQ(absolute->authority, "host:80");
  EXPECT_EQ(absolute->path, "/");
  EXPECT_EQ(absolute->query, "q");
  for (const char* wrong :
       {"", "a", "*", "host:80", "/%", "/%1", "/%1g", "/%00", "/%0a", "/%c0%80", "/%ed%a0%80", "/%ff", "http:///x"})
    EXPECT_FALSE(parse_target(wrong).ok()) << wrong;
}

TEST(Uri, QueriesAreListsOfDecodedPairs) {
  const auto query = parse_query("a=1&&b=x+y%2B%26&c&=d&e==");
  ASSERT_TRUE(query.ok());
  ASSERT_EQ(query->size(), 5u);
  EXPECT_EQ((*query)[1].value, "x y+&");
  EXPECT_EQ((*query)[2].name, "c");
  EXPECT_EQ((*query)[2].value, "");
  EXPECT_EQ((*query)[3].name, "");
  EXPECT_EQ((*query)[4].value, "=");
  const auto again = parse_query(encode_query(*query));
  ASSERT_TRUE(again.ok());
  for (size_t i = 0; i < again->size(); ++i) EXPECT_EQ((*again)[i].value, (*query)[i].value);
  EXPECT_FALSE(parse_query("a=%").ok());
  EXPECT_FALSE(parse_query("a=%f").ok());
  EXPECT_FALSE(parse_query("%ff=1").ok());
  std::string many;
  for (size_t i = 0; i <= kMostQueryParameters; ++i) many += "a=1&";
  EXPECT_FALSE(parse_query(many).ok());
}

TEST(Uri, NamesOfThisMachine) {
  for (const char* name :
       {"localhost", "LOCALHOST:1", "127.0.0.1", "127.255.0.1:65535", "[::1]", "[0:0:0:0:0:0:0:1]:80", "localhost:"})
    EXPECT_TRUE(names_this_machine(name)) << name;
  for (const char* name :
       {"", "a", "localhost.", "localhost.a", "127.0.0.1.a", "127.1", "128.0.0.1", "0.0.0.0", "::1", "[::2]", "[::1",
        "[::1]x", "[::ffff:8.8.8.8]", "localhost:99999", "localhost:80:80", "localhost@evil"})
    EXPECT_FALSE(names_this_machine(name)) << name;
  EXPECT_FALSE(names_this_machine(std::string_view("127.0.0.1\0.evil", 15)));
}

TEST(Uri, WhereToListen) {
  const auto at = [](const char* text) {
    const auto where = parse_host_port(text, "127.0.0.1");
    return where.ok() ? fmt::format("{} {}", where->host, where->port) : "-";
  };
  EXPECT_EQ(at("8080"), "127.0.0.1 8080");
  EXPECT_EQ(at(":8080"), "127.0.0.1 8080");
  EXPECT_EQ(at("0.0.0.0:0"), "0.0.0.0 0");
  EXPECT_EQ(at("[::1]:80"), "::1 80");
  for (const char* wrong : {"", "a", "a:", "a:b", "70000", "-1", "80 ", "::1", "[::1]", "[::1]80", "1:2:3"})
    EXPECT_EQ(at(wrong), "-") << wrong;
}

}  // namespace
}  // namespace tessera
