// WordPiece (tokenizer.ggml.model = "bert"): BERT and its embedding models. Text is cleaned, lower-cased and stripped
// of accents, cut at white space, around punctuation and around CJK characters; each word is covered from the left by
// the longest tokens that fit, or becomes one unknown token (Devlin et al. 2019; Wu et al. 2016).
//
// The GGUF convention for the vocabulary: a token that begins a word has "▁" before it, one that continues a word has
// nothing (BERT's own files write "##" on the latter instead).
#include <utf8proc.h>

#include <array>

#include "tokenizer/piece_model.h"
#include "tokenizer/utf8.h"

namespace tessera {
namespace {

// Longer words are unknown (the original's limit); it also bounds the work per word.
constexpr size_t kMaxWordChars = 100;

bool is_chinese(char32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_white_space(char32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || category(c) == UTF8PROC_CATEGORY_ZS || c == 0x2028 ||
         c == 0x2029;
}

bool is_control(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_CO ||
         kind == UTF8PROC_CATEGORY_CS;
}

bool is_punctuation(char32_t c) {
  // ASCII symbols such as $ and + count as punctuation although Unicode says otherwise.
  if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) return true;
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

// Calls `visit` for the canonical decomposition of one character. Order among combining marks is not established: the
// caller drops them.
template <class Visit>
void decompose(char32_t c, Visit visit) {
  std::array<utf8proc_int32_t, 32> out;
  int boundary = 0;
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), out.data(), out.size(), UTF8PROC_DECOMPOSE, &boundary);
  if (count <= 0 || static_cast<size_t>(count) > out.size()) {
    visit(c);
    return;
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) visit(static_cast<char32_t>(out[static_cast<size_t>(i)]));
}

class WordPiece : public PieceModel {
 public:
  explicit WordPiece(const TokenizerSpec& spec) : spec_(spec), tokens_(spec) {}

  void encode(std::string_view text, std::vector<int32_t>* ids) const override {
    std::string word;
    const auto finish = [&] {
      if (!word.empty()) encode_word(word, ids);
      word.clear();
    };
    for (size_t position = 0; position < text.size();) {
      const Utf8Char c = decode_utf8(text, position);
      position += c.bytes;
      if (!c.valid || c.code_point == 0 || c.code_point == kReplacementCharacter) continue;
      if (is_white_space(c.code_point)) {
        finish();
      } else if (!is_control(c.code_point)) {
        append_char(c.code_point, &word, finish);
      }
    }
    finish();
  }

  std::string bytes_of(int32_t id) const override {
    return replace_all(spec_.tokens[static_cast<size_t>(id)], kSpaceMark, " ");
  }

 private:
  template <class Finish>
  void append_char(char32_t c, std::string* word, Finish finish) const {
    const auto append = [&](char32_t part) {
      if (spec_.lowercase && category(part) == UTF8PROC_CATEGORY_MN) return;
      const char32_t lower =
          spec_.lowercase ? static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(part))) : part;
      if (is_punctuation(part) || is_chinese(part)) {
        finish();
        append_utf8(lower, word);
        finish();
      } else {
        append_utf8(lower, word);
      }
    };
    if (spec_.lowercase) {
      decompose(c, append);
    } else {
      append(c);
    }
  }

  void encode_word(const std::string& word, std::vector<int32_t>* ids) const {
    const size_t first = ids->size();
    size_t chars = 0;
    for (const char c : word) chars += (static_cast<uint8_t>(c) & 0xc0) != 0x80;
    const std::string marked = std::string(kSpaceMark) += word;
    size_t begin = 0;
    while (chars <= kMaxWordChars && begin < marked.size()) {
      const size_t bytes = longest_token(std::string_view(marked).substr(begin), ids);
      if (bytes == 0) break;
      begin += bytes;
    }
    if (begin == marked.size()) return;
    ids->resize(first);
    if (spec_.special.unk != kNoToken) ids->push_back(spec_.special.unk);
  }

  // Appends the longest token that is a prefix of `text`; returns its length, 0 if there is none.
  size_t longest_token(std::string_view text, std::vector<int32_t>* ids) const {
    for (size_t bytes = std::min(text.size(), tokens_.max_bytes()); bytes > 0; --bytes) {
      const int32_t id = tokens_.find(text.substr(0, bytes));
      if (id == kNoToken) continue;
      ids->push_back(id);
      return bytes;
    }
    return 0;
  }

  const TokenizerSpec& spec_;
  TextTokens tokens_;
};

}  // namespace

Result<std::unique_ptr<PieceModel>> make_wordpiece(const TokenizerSpec& spec) {
  return std::unique_ptr<PieceModel>(std::make_unique<WordPiece>(spec));
}

}  // namespace tessera
