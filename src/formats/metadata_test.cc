#include "formats/metadata.h"

#include <gtest/gtest.h>

#include "formats/text.h"

namespace tessera {
namespace {

Metadata sample() {
  Metadata m;
  m.set("small", MetadataScalar(uint8_t{7}));
  m.set("negative", MetadataScalar(int32_t{-7}));
  m.set("huge", MetadataScalar(~uint64_t{0}));
  m.set("real", MetadataScalar(0.5f));
  m.set("flag", MetadataScalar(true));
  m.set("name", "value");
  m.set("list", MetadataArray(std::vector<int32_t>{1, 2, 3}));
  m.set("texts", MetadataArray(std::vector<std::string>{"a\n", "b"}));
  m.set("flags", MetadataArray(std::vector<bool>{true, false}));
  return m;
}

TEST(Metadata, ReadsAnyIntegerWidthThatFits) {
  const Metadata m = sample();
  EXPECT_EQ(*m.u64("small"), 7u);
  EXPECT_EQ(*m.i64("negative"), -7);
  EXPECT_EQ(*m.number("negative"), -7.0);
  EXPECT_EQ(*m.number("real"), 0.5);
  EXPECT_EQ(m.u64("negative").status().message(), "negative: expected an integer >= 0, found i32 -7");
  EXPECT_FALSE(m.i64("huge").ok());
  EXPECT_EQ(m.u64("flag").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(m.u64("real").status().message(), "real: expected an integer >= 0, found f32 0.5");
}

TEST(Metadata, NamesTheKeyInErrors) {
  const Metadata m = sample();
  EXPECT_EQ(m.text("missing").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(m.text("missing").status().message(), "missing: no such metadata key");
  EXPECT_EQ(m.text("list").status().message(), "list: expected a string, found array of i32 (3) [1, 2, 3]");
  EXPECT_EQ(m.boolean("name").status().message(), "name: expected a bool, found string \"value\"");
}

TEST(Metadata, Arrays) {
  const Metadata m = sample();
  EXPECT_EQ(*m.i64_array("list"), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(*m.number_array("list"), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ((*m.text_array("texts"))->size(), 2u);
  EXPECT_EQ(*m.boolean_array("flags"), (std::vector<bool>{true, false}));
  EXPECT_FALSE(m.i64_array("small").ok());
  EXPECT_FALSE(m.i64_array("texts").ok());
  EXPECT_EQ(*m.i64_per_layer("small", 2), (std::vector<int64_t>{7, 7}));
  EXPECT_EQ(*m.i64_per_layer("list", 3), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(m.i64_per_layer("list", 4).status().message(), "list: expected one value or 4 (one per layer), found 3");
}

TEST(Metadata, ValueOrKeepsTypeErrors) {
  const Metadata m = sample();
  EXPECT_EQ(*Metadata::value_or(m.u64("missing"), uint64_t{9}), 9u);
  EXPECT_FALSE(Metadata::value_or(m.u64("name"), uint64_t{9}).ok());
}

TEST(Text, PrintableHasNoControlCharacters) {
  EXPECT_EQ(printable("caf\u00e9 \U0001f600 ok"), "caf\u00e9 \U0001f600 ok");
  EXPECT_EQ(printable("a\x1b[31m\r\x7f"), "a\\x1b[31m\\x0d\\x7f");
  EXPECT_EQ(printable("\xc2\x9b" "31m"), "\\xc2\\x9b31m");  // CSI in one character
  EXPECT_EQ(printable("\x9b\xff\xe2\x82"), "\\x9b\\xff\\xe2\\x82");
  EXPECT_EQ(printable("a\nb"), "a\\nb");
  EXPECT_EQ(printable_json("{\"caf\u00e9\": \"\x7f \xc2\x9b" "31m\"}\n"), "{\"caf\u00e9\": \"\\u007f \\u009b31m\"}\n");
  EXPECT_EQ(printable("a\n\tb\x1b", NewLines::kKeep), "a\n\tb\\x1b");
  EXPECT_EQ(printable(printable("\x1b\n")), printable("\x1b\n"));
  EXPECT_EQ(quotable("ab\u00e9", 3), "ab...");
}

TEST(Metadata, Describe) {
  const Metadata m = sample();
  EXPECT_EQ(describe_type(*m.find("texts")), "array of string (2)");
  EXPECT_EQ(describe_value(*m.find("texts")), "[\"a\\n\", \"b\"]");
  EXPECT_EQ(describe_value(*m.find("list"), 2), "[1, 2, ...]");
  EXPECT_EQ(describe_type(*m.find("flag")), "bool");
}

}  // namespace
}  // namespace tessera
