// tokenizer.model: the ModelProto message of SentencePiece (sentencepiece_model.proto), in protobuf's wire format. A
// reader of our own, because only a few fields of one message are needed and the file is not trusted: no allocation
// exceeds what the bytes themselves contain.
#ifndef TESSERA_FORMATS_SENTENCEPIECE_H_
#define TESSERA_FORMATS_SENTENCEPIECE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace tessera {

enum class SentencePieceKind : uint8_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

struct SentencePieceModel {
  SentencePieceKind kind = SentencePieceKind::kUnigram;
  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<int32_t> types;  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte: GGUF's numbers too
  int64_t unk_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;  // -1: none
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string charsmap;
};

Result<SentencePieceModel> parse_sentencepiece(std::span<const std::byte> bytes);

}  // namespace tessera

#endif  // TESSERA_FORMATS_SENTENCEPIECE_H_
