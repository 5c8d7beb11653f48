#include "runtime/text_stream.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(TextStream, NeverShowsHalfACharacter) {
  TextStream stream;
  EXPECT_EQ(stream.push("a\xe2"), "a");
  EXPECT_EQ(stream.push("\x82"), "");
  EXPECT_EQ(stream.push("\xac!"), "\xe2\x82\xac!");
  EXPECT_EQ(stream.push("\xf0\x9f\x98"), "");
  EXPECT_EQ(stream.flush(), "\xef\xbf\xbd");
}

TEST(TextStream, ReplacesWhatCannotBecomeACharacter) {
  TextStream stream;
  EXPECT_EQ(stream.push("x\x80y"), "x\xef\xbf\xbdy");
  EXPECT_EQ(stream.push("\xff"), "\xef\xbf\xbd");
}

TEST(TextStream, HoldsBackWhatMayBecomeAStopString) {
  TextStream stream({"STOP", "\n\n"});
  EXPECT_EQ(stream.push("a ST"), "a ");
  EXPECT_EQ(stream.push("ART"), "START");
  EXPECT_EQ(stream.push("\n"), "");
  EXPECT_EQ(stream.push("b S"), "\nb ");
  EXPECT_EQ(stream.push("TOP and more"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.push("c"), "");
  EXPECT_EQ(stream.flush(), "");
}

TEST(TextStream, EndsBeforeTheFirstOfSeveral) {
  TextStream stream({"b", "ab"});
  EXPECT_EQ(stream.push("xxabyy"), "xx");
  EXPECT_TRUE(stream.stopped());
}

TEST(TextStream, FlushGivesAnUnfinishedStopString) {
  TextStream stream({"STOP"});
  EXPECT_EQ(stream.push("ST"), "");
  EXPECT_EQ(stream.flush(), "ST");
}

}  // namespace
}  // namespace tessera
