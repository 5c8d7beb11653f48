// Fuzz target: a vocabulary and a text out of the same bytes, and the precompiled character map of a hostile file. Byte
// 0 chooses the model, byte 1 flags, then the vocabulary as lines, a zero byte, the text. Beyond not crashing: ids lie
// in the vocabulary, the text of byte-level models survives, and a control token appears only where it is allowed.
#include <cstdlib>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/stream.h"
#include "tokenizer/tokenizer.h"

namespace tessera {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void add(TokenizerSpec* spec, std::string text, TokenType type, float score) {
  spec->tokens.push_back(std::move(text));
  spec->types.push_back(type);
  spec->scores.push_back(score);
}

TokenizerSpec spec_from(uint8_t model, uint8_t flags, std::string_view lines) {
  TokenizerSpec spec;
  spec.model = static_cast<TokenizerModel>(model % 4);
  const auto names = pre_tokenizer_names();
  spec.pre = names[model / 4 % names.size()];
  add(&spec, "<unk>", TokenType::kUnknown, 0);
  add(&spec, "<s>", TokenType::kControl, 0);
  spec.special.unk = 0;
  spec.special.bos = 1;
  const bool byte_level = spec.model == TokenizerModel::kByteBpe;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte_level)
      add(&spec, byte_alphabet()[static_cast<size_t>(byte)], TokenType::kNormal, 0);
    else if (flags & 1)
      add(&spec, fmt::format("<0x{:02X}>", byte), TokenType::kByte, 0);
  }
  spec.add_space_prefix = flags & 2;
  spec.remove_extra_whitespaces = flags & 4;
  spec.nfc = flags & 8;
  spec.add_bos = flags & 16;
  spec.lowercase = flags & 32;
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    std::string line(lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.empty()) continue;
    const uint8_t first = static_cast<uint8_t>(line[0]);
    const bool is_merge = byte_level && line.find(' ', 1) != std::string::npos;
    if (is_merge) {
      spec.merges.push_back(line);
      line.erase(line.find(' ', 1), 1);
      add(&spec, line, TokenType::kNormal, 0);
    } else {
      add(&spec, line.substr(1), static_cast<TokenType>(first % 7), -static_cast<float>(first));
    }
  }
  if (flags & 64 && spec.tokens.size() > 4) spec.rstrip_ids = {1, static_cast<int32_t>(spec.tokens.size()) - 1};
  if (flags & 128) spec.charsmap = spec.tokens.back();
  return spec;
}

void check_charsmap(std::string_view bytes) {
  const auto map = Charsmap::parse(bytes);
  if (!map.ok()) return;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto match = map->longest_prefix(bytes.substr(i));
    require(match.bytes <= bytes.size() - i);
  }
}

void check_tokenizer(const Tokenizer& tokenizer, std::string_view text, bool lossless) {
  TextStream stream(tokenizer);
  StopMatcher stop({"ab", "</s>"});
  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer.encode(text, {.add_special = false, .parse_special = parse_special});
    for (const int32_t id : ids) {
      require(id >= 0 && id < tokenizer.vocab_size());
      require(parse_special || tokenizer.token_type(id) != TokenType::kControl);
      stop.push(stream.push(id));
    }
    const std::string decoded = tokenizer.decode(ids);
    if (lossless && !parse_special) require(decoded == text);
  }
  const size_t half = text.size() / 2;
  const std::vector<TextSegment> segments = {{std::string(text.substr(0, half)), true},
                                             {std::string(text.substr(half)), false}};
  tokenizer.encode_chat(segments);
  stop.push(stream.flush());
  stop.flush();
}

}  // namespace
}  // namespace tessera

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tessera;
  if (size < 2 || size > 20000) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_charsmap(bytes.substr(2));
  const size_t zero = std::min(bytes.find('\0', 2), size);
  const std::string_view text = bytes.substr(std::min(zero + 1, size));
  TokenizerSpec spec = spec_from(data[0], data[1], bytes.substr(2, zero - 2));
  // Without tokens of the file's own nothing can be lost.
  const bool same_ids = spec.add_space_prefix && text.starts_with(' ') && !text.starts_with("  ");  // as without it
  const bool lossless =
      spec.model == TokenizerModel::kByteBpe && spec.tokens.size() == 258 && !spec.nfc && !same_ids;
  auto tokenizer = Tokenizer::create(std::move(spec));
  if (tokenizer.ok()) check_tokenizer(**tokenizer, text, lossless);
  return 0;
}
