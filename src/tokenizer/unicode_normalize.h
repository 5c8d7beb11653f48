// Unicode normalization over utf8proc, with two things the library does not promise: bytes that are no UTF-8 pass
// unchanged, and the time is linear (its canonical ordering is quadratic in a run of combining marks, so longer runs
// are cut, as Unicode's stream-safe format does: UAX 15, section 13).
#ifndef TESSERA_TOKENIZER_UNICODE_NORMALIZE_H_
#define TESSERA_TOKENIZER_UNICODE_NORMALIZE_H_

#include <string>
#include <string_view>

namespace tessera {

std::string compose_nfc(std::string_view text);

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_UNICODE_NORMALIZE_H_
