// The alphabet of byte-level BPE (Radford et al. 2019): every byte has a printable character, so that vocabularies are
// text files. Printable ASCII and Latin-1 stand for themselves, the other 68 bytes take U+0100 and up: "Ġ" is the
// space.
#ifndef TESSERA_TOKENIZER_BYTE_ALPHABET_H_
#define TESSERA_TOKENIZER_BYTE_ALPHABET_H_

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

// The UTF-8 spelling of each byte.
const std::array<std::string, 256>& byte_alphabet();
// The bytes that a token spelled in the alphabet stands for; nothing if it contains any other character.
std::optional<std::string> bytes_from_alphabet(std::string_view token);

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_BYTE_ALPHABET_H_
