#include "tokenizer/stream.h"

#include <gtest/gtest.h>

#include <random>

namespace tessera {
namespace {

std::unique_ptr<Tokenizer> byte_tokenizer() {
  TokenizerSpec spec;
  spec.model = TokenizerModel::kSentencePieceBpe;
  for (int byte = 0; byte < 256; ++byte) {
    spec.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    spec.types.push_back(TokenType::kByte);
  }
  spec.tokens.push_back("</s>");
  spec.types.push_back(TokenType::kControl);
  spec.special.eos = 256;
  spec.scores.assign(spec.tokens.size(), 0);
  return std::move(*Tokenizer::create(std::move(spec)));
}

TEST(TextStream, HoldsBackIncompleteCharacters) {
  const auto tokenizer = byte_tokenizer();
  TextStream stream(*tokenizer);
  EXPECT_EQ(stream.push('a'), "a");
  EXPECT_EQ(stream.push(0xf0), "");
  EXPECT_EQ(stream.push(0x9f), "");
  EXPECT_EQ(stream.push(0x98), "");
  EXPECT_EQ(stream.push(256), "");  // a control token between the bytes changes nothing
  EXPECT_EQ(stream.push(0x80), "😀");
  EXPECT_EQ(stream.push(0xe2), "");
  EXPECT_EQ(stream.push('b'),
            "\xef\xbf\xbd"
            "b");
  EXPECT_EQ(stream.push(0xe2), "");
  EXPECT_EQ(stream.flush(), "\xef\xbf\xbd");
  EXPECT_EQ(stream.flush(), "");
}

TEST(TextStream, ByteByByteIsTheWholeTextWithReplacements) {
  const auto tokenizer = byte_tokenizer();
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    TextStream bytewise(*tokenizer), at_once(*tokenizer);
    std::string bytes, text;
    for (int i = 0; i < 40; ++i) {
      bytes.push_back("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff"[random() % 11]);
      text += bytewise.push(static_cast<uint8_t>(bytes.back()));
    }
    text += bytewise.flush();
    std::string expected = at_once.push_bytes(bytes);
    expected += at_once.flush();
    EXPECT_EQ(text, expected);
  }
}

TEST(StopMatcher, HoldsBackWhatMayBecomeAStop) {
  StopMatcher stop({"END", "\n\n"});
  EXPECT_EQ(stop.push("hello E"), "hello ");
  EXPECT_EQ(stop.push("N"), "");
  EXPECT_EQ(stop.push("EN"), "EN");
  EXPECT_EQ(stop.push("Dx"), "");
  EXPECT_TRUE(stop.stopped());
  EXPECT_EQ(stop.matched(), "END");
  EXPECT_EQ(stop.push("more"), "");
  EXPECT_EQ(stop.flush(), "");
}

TEST(StopMatcher, FlushGivesTheRest) {
  StopMatcher stop({"END"});
  EXPECT_EQ(stop.push("aEN"), "a");
  EXPECT_EQ(stop.flush(), "EN");
  EXPECT_FALSE(stop.stopped());
}

TEST(StopMatcher, AgreesWithASearchOfTheWholeText) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::string text, pattern, out;
    for (int i = 0; i < 30; ++i) text.push_back("ab"[random() % 2]);
    for (size_t i = 0; i < 2 + random() % 5; ++i) pattern.push_back("ab"[random() % 2]);
    StopMatcher stop({pattern, ""});
    for (size_t i = 0; i < text.size();) {
      const size_t size = 1 + random() % 4;
      out += stop.push(text.substr(i, size));
      i += size;
    }
    out += stop.flush();
    ASSERT_EQ(out, text.substr(0, text.find(pattern))) << text << " " << pattern;
  }
}

}  // namespace
}  // namespace tessera
