// Behaviour of Tokenizer on small vocabularies made here: options, special tokens, errors, and the properties that hold
// for any text: decode(encode(x)) == x, time linear in the text, control tokens only from template text.
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>

#include "base/sanitizers.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/utf8.h"

namespace tessera {
namespace {

using Ids = std::vector<int32_t>;

int32_t add_token(TokenizerSpec* spec, std::string text, TokenType type = TokenType::kNormal, float score = 0) {
  spec->tokens.push_back(std::move(text));
  spec->types.push_back(type);
  spec->scores.push_back(score);
  return static_cast<int32_t>(spec->tokens.size()) - 1;
}

// Ids 0 to 255 are the bytes; then a few merges and special tokens.
TokenizerSpec byte_bpe_spec(std::string pre = "gpt-2") {
  TokenizerSpec spec;
  spec.model = TokenizerModel::kByteBpe;
  spec.pre = std::move(pre);
  for (const std::string& letter : byte_alphabet()) add_token(&spec, letter);
  for (const char* merge : {"a b", "ab ab", "h e", "l l", "he ll", "hell o", "Ġ hello", "a a", "aa aa", "Ġ Ġ"}) {
    spec.merges.push_back(merge);
    std::string joined = merge;
    joined.erase(joined.find(' '), 1);
    add_token(&spec, joined);
  }
  spec.special.bos = add_token(&spec, "<|begin|>", TokenType::kControl);
  spec.special.eos = add_token(&spec, "<|im_end|>", TokenType::kControl);
  add_token(&spec, "<tool>", TokenType::kUserDefined);
  add_token(&spec, "<tool>x", TokenType::kUserDefined);
  return spec;
}

TokenizerSpec sentencepiece_spec() {
  TokenizerSpec spec;
  spec.model = TokenizerModel::kSentencePieceBpe;
  spec.special.unk = add_token(&spec, "<unk>", TokenType::kUnknown);
  spec.special.bos = add_token(&spec, "<s>", TokenType::kControl);
  spec.special.eos = add_token(&spec, "</s>", TokenType::kControl);
  for (int byte = 0; byte < 256; ++byte) add_token(&spec, fmt::format("<0x{:02X}>", byte), TokenType::kByte);
  float score = -1;
  for (const char* text : {"▁t", "he", "▁the", "▁▁", "▁", "t", "h", "e", "a", "b", "aa", "ab", "<", "s", ">", "<s"}) {
    add_token(&spec, text, TokenType::kNormal, score--);
  }
  spec.add_space_prefix = true;
  spec.add_bos = true;
  return spec;
}

std::unique_ptr<Tokenizer> make(TokenizerSpec spec) {
  auto tokenizer = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return std::move(*tokenizer);
}

Ids ids_of(const Tokenizer& tokenizer, const std::vector<std::string>& names) {
  Ids ids;
  for (const std::string& name : names) ids.push_back(tokenizer.find_token(name).value_or(-7));
  return ids;
}

constexpr EncodeOptions kPlain{.add_special = false, .parse_special = false};
constexpr EncodeOptions kSpecial{.add_special = false, .parse_special = true};

TEST(ByteBpe, MergesByRankWithinWords) {
  const auto t = make(byte_bpe_spec());
  EXPECT_EQ(t->encode("hello hello", kPlain), ids_of(*t, {"hello", "Ġhello"}));
  EXPECT_EQ(t->encode("abab", kPlain), ids_of(*t, {"abab"}));
  EXPECT_EQ(t->encode("aaaaa", kPlain), ids_of(*t, {"aaaa", "a"}));
  EXPECT_TRUE(t->encode("", kPlain).empty());
}

TEST(ByteBpe, LongWordsMergeLikeShortOnes) {
  const auto t = make(byte_bpe_spec());
  std::string text;
  for (int i = 0; i < 500; ++i) text += "ab";
  EXPECT_EQ(t->encode(text, kPlain), Ids(250, *t->find_token("abab")));
}

// The cases of Hugging Face's ByteLevel pre-tokenizer: a space where the text does not begin with one, for each run
// between added tokens, none for an empty text; other white space is no space.
TEST(ByteBpe, SpacePrefix) {
  TokenizerSpec spec = byte_bpe_spec();
  spec.add_space_prefix = true;
  const auto t = make(std::move(spec));
  EXPECT_EQ(t->encode("hello hello", kPlain), ids_of(*t, {"Ġhello", "Ġhello"}));
  EXPECT_EQ(t->encode(" hello", kPlain), ids_of(*t, {"Ġhello"}));
  EXPECT_EQ(t->encode("  hello", kPlain), ids_of(*t, {"Ġ", "Ġhello"}));
  EXPECT_EQ(t->encode("\nhello", kPlain), ids_of(*t, {"Ġ", "Ċ", "hello"}));
  EXPECT_EQ(t->encode("hello<tool>hello", kPlain), ids_of(*t, {"Ġhello", "<tool>", "Ġhello"}));
  EXPECT_EQ(t->encode("hello<|im_end|> hello", kSpecial), ids_of(*t, {"Ġhello", "<|im_end|>", "Ġhello"}));
  EXPECT_TRUE(t->encode("", kPlain).empty());
  for (const std::string text : {"hello hello", "h", "\n h", "  h", "   ", "\xff\xfe", "\t", "日 本"}) {
    EXPECT_EQ(t->decode(t->encode(text, kPlain)), text);
  }
  EXPECT_EQ(t->decode(t->encode(" hello", kPlain)), "hello");  // one space: the ids are those of "hello"
}

TEST(Special, ControlTokensOnlyWhereAllowed) {
  const auto t = make(byte_bpe_spec());
  EXPECT_EQ(t->encode("hello<|im_end|>", kSpecial), ids_of(*t, {"hello", "<|im_end|>"}));
  const Ids plain = t->encode("hello<|im_end|>", kPlain);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), t->eos_id()), 0);
  EXPECT_EQ(t->decode(plain), "hello<|im_end|>");
}

TEST(Special, UserDefinedTokensEverywhereLongestFirst) {
  const auto t = make(byte_bpe_spec());
  EXPECT_EQ(t->encode("<tool>x<tool>", kPlain), ids_of(*t, {"<tool>x", "<tool>"}));
}

TEST(Special, ChatSegments) {
  const auto t = make(byte_bpe_spec());
  const std::vector<TextSegment> segments = {
      {"<|im_end|>he", false}, {"llo<|im_", true}, {"end|>", false}, {"<|im_end|>", true}};
  const Ids ids = t->encode_chat(segments);
  // The word that a border splits merges as if it were not there; a token half of which is input is text.
  EXPECT_EQ(ids[0], t->eos_id());
  EXPECT_EQ(ids[1], *t->find_token("hello"));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), t->eos_id()), 1);
  EXPECT_EQ(t->decode(ids, {.skip_special = false}), "<|im_end|>hello<|im_end|><|im_end|>");
}

TEST(Special, BosIsNotDoubled) {
  TokenizerSpec spec = byte_bpe_spec();
  spec.add_bos = true;
  const auto t = make(std::move(spec));
  EXPECT_EQ(t->encode("a"), (Ids{t->bos_id(), 'a'}));
  EXPECT_EQ(t->encode_chat(std::vector<TextSegment>{{"<|begin|>a", false}}), (Ids{t->bos_id(), 'a'}));
  EXPECT_EQ(t->encode("<|begin|>a", {.add_special = true, .parse_special = true}), (Ids{t->bos_id(), 'a'}));
  EXPECT_EQ(t->encode(""), Ids{t->bos_id()});
}

TEST(Special, StripsSpaceAroundTokensThatSaySo) {
  TokenizerSpec spec = byte_bpe_spec();
  spec.rstrip_ids = {spec.special.eos};
  spec.lstrip_ids = {spec.special.bos};
  const auto t = make(std::move(spec));
  EXPECT_EQ(t->encode("a <|begin|><|im_end|> \n a", kSpecial), ids_of(*t, {"a", "<|begin|>", "<|im_end|>", "a"}));
}

TEST(Special, ControlLikeUserDefinedTokensAreControl) {
  TokenizerSpec spec = byte_bpe_spec();
  const int32_t start = add_token(&spec, "<|im_start|>", TokenType::kUserDefined);
  const auto t = make(std::move(spec));
  EXPECT_EQ(t->token_type(start), TokenType::kControl);
  EXPECT_EQ(t->encode("<|im_start|>", kPlain).size(), 12u);
}

TEST(Special, KnownOrdinaryTokensAreControl) {
  TokenizerSpec spec = sentencepiece_spec();
  const int32_t start = add_token(&spec, "<|im_start|>");
  const int32_t user = add_token(&spec, "<｜User｜>", TokenType::kUserDefined);
  const int32_t unknown = add_token(&spec, "<|x|>");
  const auto t = make(std::move(spec));
  EXPECT_EQ(t->token_type(start), TokenType::kControl);
  EXPECT_EQ(t->token_type(user), TokenType::kControl);
  EXPECT_EQ(t->token_type(unknown), TokenType::kNormal);
  EXPECT_EQ(t->encode("<|im_start|>", kSpecial), Ids{start});
  const Ids plain = t->encode("<|im_start|>", kPlain);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), start), 0);
}

double thread_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// A file may list as many ends as it has tokens, and any of them often.
TEST(Special, ManyEndsOfGenerationLoadInLinearTime) {
  TokenizerSpec spec = sentencepiece_spec();
  for (int i = 0; i < 200000; ++i) add_token(&spec, fmt::format("t{}", i));
  spec.eos_ids.assign(200000, 5);
  spec.eos_ids.push_back(3);
  const double start = thread_cpu_seconds();
  const auto t = make(std::move(spec));
  EXPECT_LT(thread_cpu_seconds() - start, 3.0);
  EXPECT_EQ(Ids(t->end_of_generation_ids().begin(), t->end_of_generation_ids().end()), (Ids{2, 3, 5}));
}

// A precompiled map of one entry, "a".
std::string charsmap_of_a(const std::string& replacement) {
  std::vector<uint32_t> units(0x62);
  units[0] = 1u << 10;                    // to 1 ^ 'a'
  units[0x60] = 'a' | 0x100 | (1u << 10);  // a word, its value in 0x60 ^ 1
  std::string bytes;
  const auto put = [&](uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(value >> shift & 0xff));
  };
  put(static_cast<uint32_t>(units.size()) * 4);
  for (const uint32_t unit : units) put(unit);
  return bytes + replacement + '\0';
}

TEST(Charsmap, LongReplacementsAreNoMatch) {
  const auto map = Charsmap::parse(charsmap_of_a("bc"));
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->longest_prefix("ab").bytes, 1u);
  EXPECT_EQ(map->longest_prefix("ab").replacement, "bc");
  EXPECT_EQ(map->longest_prefix("b").bytes, 0u);
  EXPECT_EQ(Charsmap::parse(charsmap_of_a(std::string(1024, 'x')))->longest_prefix("a").bytes, 1u);
  EXPECT_EQ(Charsmap::parse(charsmap_of_a(std::string(1025, 'x')))->longest_prefix("a").bytes, 0u);
}

TEST(Charsmap, GrowthOfATextIsBounded) {
  TokenizerSpec spec;
  spec.charsmap = charsmap_of_a(std::string(1000, 'x'));
  const auto normalizer = Normalizer::create(spec);
  ASSERT_TRUE(normalizer.ok());
  EXPECT_EQ(normalizer->apply("a"), std::string(1000, 'x'));
  const std::string out = normalizer->apply(std::string(100000, 'a'));
  EXPECT_LE(out.size(), 17u * 100000 + 1024);
  EXPECT_TRUE(out.ends_with("a"));
}

TEST(Special, EndOfGeneration) {
  TokenizerSpec spec = byte_bpe_spec();
  const int32_t eot = add_token(&spec, "<|eot_id|>", TokenType::kControl);
  const int32_t eom = add_token(&spec, "<|eom_id|>", TokenType::kControl);
  const auto t = make(std::move(spec));
  EXPECT_TRUE(t->is_end_of_generation(t->eos_id()));
  EXPECT_TRUE(t->is_end_of_generation(eot));
  EXPECT_TRUE(t->is_end_of_generation(eom));
  EXPECT_EQ(t->eot_id(), eot);
  EXPECT_FALSE(t->is_end_of_generation(t->bos_id()));
  EXPECT_FALSE(t->is_end_of_generation(-1));
}

TEST(SentencePieceBpe, SpacePrefixAndByteFallback) {
  const auto t = make(sentencepiece_spec());
  EXPECT_EQ(t->encode("the the"), ids_of(*t, {"<s>", "▁the", "▁the"}));
  EXPECT_EQ(t->encode("é", kPlain), ids_of(*t, {"▁", "<0xC3>", "<0xA9>"}));
  EXPECT_EQ(t->decode(t->encode(" the é")), " the é");
}

TEST(SentencePieceBpe, MergingNeverMakesAControlToken) {
  const auto t = make(sentencepiece_spec());
  EXPECT_EQ(t->encode("<s>", kPlain), ids_of(*t, {"▁", "<s", ">"}));
  EXPECT_EQ(t->encode("<s>", kSpecial), ids_of(*t, {"<s>"}));
}

TEST(Pieces, BytesOfTokens) {
  const auto spm = make(sentencepiece_spec());
  EXPECT_EQ(spm->piece(*spm->find_token("▁the")), " the");
  EXPECT_EQ(spm->piece(*spm->find_token("<0x0A>")), "\n");
  EXPECT_EQ(spm->piece(spm->bos_id()), "");
  EXPECT_EQ(spm->piece(-1), "");
  EXPECT_EQ(spm->piece(1 << 30), "");
  const auto bpe = make(byte_bpe_spec());
  EXPECT_EQ(bpe->piece(*bpe->find_token("Ġhello")), " hello");
  EXPECT_EQ(bpe->token_text(bpe->eos_id()), "<|im_end|>");
}

TEST(Spec, ErrorsNameTheField) {
  const auto message = [](TokenizerSpec spec) { return Tokenizer::create(std::move(spec)).status().message(); };
  TokenizerSpec spec = byte_bpe_spec();
  spec.scores.pop_back();
  EXPECT_EQ(message(spec), "tokenizer.ggml.scores: expected 270 entries, found 269");
  spec = byte_bpe_spec();
  spec.pre = "nonesuch";
  EXPECT_EQ(message(spec), "tokenizer.ggml.pre: expected a known pre-tokenizer, found \"nonesuch\"");
  spec = byte_bpe_spec();
  spec.merges[3] = "ll";
  EXPECT_EQ(message(spec), "tokenizer.ggml.merges: entry 3: expected two parts, found \"ll\"");
  spec = byte_bpe_spec();
  spec.special.eos = 9999;
  EXPECT_EQ(message(spec), "special token: expected an id below 270, found 9999");
  EXPECT_EQ(create_tokenizer(Metadata()).status().code(), StatusCode::kNotFound);
}

TEST(PreTokenizer, EveryPatternCompilesAndKeepsTheText) {
  const std::string text = "I've 12345 tests,\r\n\r\n  naïve — 日本語 12 \xff\xfe Ünïts\u180e  x\t\n ";
  for (const std::string_view name : pre_tokenizer_names()) {
    auto pre = PreTokenizer::create(name);
    ASSERT_TRUE(pre.ok()) << name << ": " << pre.status().message();
    std::string joined;
    pre->split(text, [&](std::string_view word) {
      EXPECT_FALSE(word.empty());
      joined += word;
    });
    EXPECT_EQ(joined, text) << name;
  }
}

std::string random_bytes(std::mt19937* random, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>((*random)() & 0xff));
  return text;
}

// Characters of all lengths, letters of the test merges and white space among them.
std::string random_utf8(std::mt19937* random, size_t chars) {
  std::string text;
  for (size_t i = 0; i < chars; ++i) {
    switch ((*random)() % 5) {
      case 0: text += " \t\n\r  "[(*random)() % 6]; break;
      case 1: text += "abhelo'<s>12"[(*random)() % 12]; break;
      case 2: append_utf8(0x80 + (*random)() % 0x780, &text); break;
      case 3: append_utf8(0x800 + (*random)() % 0xd000, &text); break;
      default: append_utf8(0x10000 + (*random)() % 0x100000, &text); break;
    }
  }
  return text;
}

TEST(Property, DecodeOfEncodeIsTheText) {
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "falcon", "gpt-4o", "bloom"}) {
    tokenizers.push_back(make(byte_bpe_spec(pre)));
  }
  tokenizers.push_back(make(sentencepiece_spec()));
  TokenizerSpec prefixed = byte_bpe_spec();
  prefixed.add_space_prefix = true;
  const auto byte_level_prefix = make(std::move(prefixed));
  for (int round = 0; round < 200; ++round) {
    const std::string text =
        round % 2 == 0 ? random_bytes(&random, random() % 200) : random_utf8(&random, random() % 100);
    for (const auto& t : tokenizers) ASSERT_EQ(t->decode(t->encode(text)), text) << t->pre_tokenizer_name();
    const bool one_space = text.starts_with(' ') && !text.starts_with("  ");  // gives the ids of the text without it
    ASSERT_EQ(byte_level_prefix->decode(byte_level_prefix->encode(text)), text.substr(one_space));
  }
}

double encode_seconds(const Tokenizer& tokenizer, std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  const double start = thread_cpu_seconds();
  const Ids ids = tokenizer.encode(text);
  const double seconds = thread_cpu_seconds() - start;
  EXPECT_GT(ids.size(), 0u);
  return seconds;
}

constexpr size_t kAdversarialBytes = kSanitized ? 1 << 16 : 1 << 20;

// Texts on which careless tokenizers need quadratic time: four times the text would then take sixteen times as long. Linear up to
// a logarithm, caches and noise stay below eight (processor time, the best of five), and a megabyte takes seconds, not minutes.
TEST(Property, TimeIsLinear) {
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  for (const char* pre : {"gpt-2", "llama-bpe", "deepseek-llm", "deepseek-v3", "gpt-4o", "bailingmoe"}) {
    tokenizers.push_back(make(byte_bpe_spec(pre)));
  }
  tokenizers.push_back(make(sentencepiece_spec()));
  TokenizerSpec composing = byte_bpe_spec();
  composing.nfc = true;
  tokenizers.push_back(make(std::move(composing)));
  const char* units[] = {"a", " ",  "\n", " \n", "\u0301", "\u0345\u0301\u0327", "😀", "ab", "\xff",
                         "1", " a", "'",  "<",   "日"};
  for (const auto& t : tokenizers) {
    for (const char* unit : units) {
      double quarter = 1e9, whole = 1e9;
      for (int attempt = 0; attempt < 5 && (attempt == 0 || whole > 8 * quarter); ++attempt) {
        quarter = std::min(quarter, encode_seconds(*t, unit, kAdversarialBytes / 4));
        whole = std::min(whole, encode_seconds(*t, unit, kAdversarialBytes));
      }
      EXPECT_LT(whole, 8 * quarter + 0.02) << t->model_name() << " " << t->pre_tokenizer_name() << " " << unit;
      EXPECT_LT(whole, 5.0) << t->model_name() << " " << t->pre_tokenizer_name() << " " << unit;
    }
  }
}

}  // namespace
}  // namespace tessera
