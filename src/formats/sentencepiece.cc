#include "formats/sentencepiece.h"

#include <bit>
#include <cmath>

#include "formats/byte_reader.h"

namespace tessera {
namespace {

constexpr uint64_t kMaxPieces = 1u << 22;

// One field of a message: its number and its value, which is an integer, a 32-bit pattern or bytes by wire type.
struct Field {
  uint32_t number = 0;
  uint32_t wire = 0;
  uint64_t integer = 0;
  std::span<const std::byte> bytes;

  int64_t signed_integer() const { return static_cast<int32_t>(static_cast<uint32_t>(integer)); }
  float real() const { return std::bit_cast<float>(static_cast<uint32_t>(integer)); }
  std::string text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};

constexpr uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

class MessageReader {
 public:
  MessageReader(std::span<const std::byte> bytes, std::string_view what) : reader_(bytes), what_(what) {}

  bool done() const { return reader_.remaining() == 0; }

  Result<Field> next() {
    Field field;
    TESSERA_ASSIGN_OR_RETURN(const uint64_t tag, varint());
    field.wire = static_cast<uint32_t>(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return invalid_argument("{}: field number {}", what_, tag >> 3);
    field.number = static_cast<uint32_t>(tag >> 3);
    switch (field.wire) {
      case kVarint: {
        TESSERA_ASSIGN_OR_RETURN(field.integer, varint());
        return field;
      }
      case kFixed64: field.integer = reader_.number<uint64_t>(); break;
      case kFixed32: field.integer = reader_.number<uint32_t>(); break;
      case kBytes: {
        TESSERA_ASSIGN_OR_RETURN(const uint64_t length, varint());
        if (length > reader_.remaining()) {
          return invalid_argument("{}: field {} of {} bytes, but {} bytes follow", what_, field.number, length,
                                  reader_.remaining());
        }
        field.bytes = reader_.take(length);
        break;
      }
      default: return invalid_argument("{}: field {}: wire type {}", what_, field.number, field.wire);
    }
    if (!reader_.ok()) return invalid_argument("{}: field {}: the file ends inside it", what_, field.number);
    return field;
  }

 private:
  Result<uint64_t> varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = reader_.number<uint8_t>();
      if (!reader_.ok()) return invalid_argument("{}: the file ends inside a number", what_);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return invalid_argument("{}: a number is longer than 10 bytes", what_);
  }

  ByteReader reader_;
  std::string_view what_;
};

// Calls take(field) for each field of the message. Fields of another wire type than expected are for take to refuse.
template <class Function>
Status each_field(std::span<const std::byte> bytes, std::string_view what, Function take) {
  MessageReader reader(bytes, what);
  while (!reader.done()) {
    TESSERA_ASSIGN_OR_RETURN(const Field field, reader.next());
    TESSERA_RETURN_IF_ERROR(take(field));
  }
  return {};
}

Status expect_wire(const Field& field, uint32_t wire, std::string_view name) {
  if (field.wire == wire) return {};
  return invalid_argument("{}: expected wire type {}, found {}", name, wire, field.wire);
}

Status parse_piece(std::span<const std::byte> bytes, SentencePieceModel* model) {
  if (model->pieces.size() == kMaxPieces) return resource_exhausted("pieces: more than {}", kMaxPieces);
  std::string piece;
  float score = 0;
  int32_t type = 1;
  const Status status = each_field(bytes, "piece", [&](const Field& field) -> Status {
    if (field.number == 1) {
      TESSERA_RETURN_IF_ERROR(expect_wire(field, kBytes, "piece"));
      piece = field.text();
    } else if (field.number == 2) {
      TESSERA_RETURN_IF_ERROR(expect_wire(field, kFixed32, "score"));
      score = field.real();
    } else if (field.number == 3) {
      TESSERA_RETURN_IF_ERROR(expect_wire(field, kVarint, "type"));
      if (field.integer < 1 || field.integer > 6) {
        return invalid_argument("piece {}: type: expected 1 to 6, found {}", model->pieces.size(), field.integer);
      }
      type = static_cast<int32_t>(field.integer);
    }
    return {};
  });
  if (!status.ok()) return status;
  if (!std::isfinite(score)) return invalid_argument("piece {}: score: not a finite number", model->pieces.size());
  model->pieces.push_back(std::move(piece));
  model->scores.push_back(score);
  model->types.push_back(type);
  return {};
}

Status parse_trainer(std::span<const std::byte> bytes, SentencePieceModel* model) {
  return each_field(bytes, "trainer_spec", [&](const Field& field) -> Status {
    switch (field.number) {
      case 3:
        if (field.wire != kVarint || field.integer < 1 || field.integer > 4) {
          return invalid_argument("trainer_spec: model_type: expected 1 to 4, found {}", field.integer);
        }
        model->kind = static_cast<SentencePieceKind>(field.integer);
        return {};
      case 40: model->unk_id = field.signed_integer(); return expect_wire(field, kVarint, "unk_id");
      case 41: model->bos_id = field.signed_integer(); return expect_wire(field, kVarint, "bos_id");
      case 42: model->eos_id = field.signed_integer(); return expect_wire(field, kVarint, "eos_id");
      case 43: model->pad_id = field.signed_integer(); return expect_wire(field, kVarint, "pad_id");
      default: return {};
    }
  });
}

Status parse_normalizer(std::span<const std::byte> bytes, SentencePieceModel* model) {
  return each_field(bytes, "normalizer_spec", [&](const Field& field) -> Status {
    switch (field.number) {
      case 2: model->charsmap = field.text(); return expect_wire(field, kBytes, "precompiled_charsmap");
      case 3: model->add_dummy_prefix = field.integer != 0; return expect_wire(field, kVarint, "add_dummy_prefix");
      case 4:
        model->remove_extra_whitespaces = field.integer != 0;
        return expect_wire(field, kVarint, "remove_extra_whitespaces");
      default: return {};
    }
  });
}

}  // namespace

Result<SentencePieceModel> parse_sentencepiece(std::span<const std::byte> bytes) {
  SentencePieceModel model;
  const Status status = each_field(bytes, "SentencePiece model", [&](const Field& field) -> Status {
    if (field.number < 1 || field.number > 3) return {};
    TESSERA_RETURN_IF_ERROR(expect_wire(field, kBytes, "SentencePiece model"));
    if (field.number == 1) return parse_piece(field.bytes, &model);
    return field.number == 2 ? parse_trainer(field.bytes, &model) : parse_normalizer(field.bytes, &model);
  });
  if (!status.ok()) return status;
  if (model.pieces.empty()) return invalid_argument("SentencePiece model: no pieces");
  const auto count = static_cast<int64_t>(model.pieces.size());
  for (const int64_t id : {model.unk_id, model.bos_id, model.eos_id, model.pad_id}) {
    if (id < -1 || id >= count) return invalid_argument("trainer_spec: id {} of a model with {} pieces", id, count);
  }
  return model;
}

}  // namespace tessera
