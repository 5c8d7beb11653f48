// A tokenizer.model file (protobuf): what parses has one score and one type per piece, and ids that are pieces.
#include <cstdint>
#include <span>

#include "formats/sentencepiece.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto model = parse_sentencepiece(std::as_bytes(std::span(data, size)));
  if (!model.ok()) return 0;
  const size_t count = model->pieces.size();
  TESSERA_CHECK(count > 0 && model->scores.size() == count && model->types.size() == count, "{} pieces", count);
  for (const int64_t id : {model->unk_id, model->bos_id, model->eos_id, model->pad_id}) {
    TESSERA_CHECK(id >= -1 && id < static_cast<int64_t>(count), "id {} of {} pieces", id, count);
  }
  return 0;
}
