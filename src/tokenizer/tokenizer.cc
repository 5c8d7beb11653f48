#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "tokenizer/piece_model.h"
#include "tokenizer/special_matcher.h"
#include "tokenizer/unicode_normalize.h"
#include "tokenizer/utf8.h"

namespace tessera {
namespace {

Result<std::unique_ptr<PieceModel>> make_piece_model(const TokenizerSpec& spec) {
  switch (spec.model) {
    case TokenizerModel::kSentencePieceBpe: return make_sentencepiece_bpe(spec);
    case TokenizerModel::kByteBpe: return make_byte_bpe(spec);
    case TokenizerModel::kUnigram: return make_unigram(spec);
    case TokenizerModel::kWordPiece: return make_wordpiece(spec);
  }
  return unsupported("tokenizer.ggml.model: unknown value {}", static_cast<int>(spec.model));
}

bool has_text(TokenType type) { return type != TokenType::kControl && type != TokenType::kUnknown; }

// Bytes of the first run to hand to the piece model: all, or up to a character border near the limit.
size_t run_bytes(std::string_view text) {
  if (text.size() <= kMaxRunBytes) return text.size();
  size_t end = kMaxRunBytes;
  while (end > kMaxRunBytes - 4 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return end;
}

}  // namespace

class Tokenizer::Impl {
 public:
  static Result<std::unique_ptr<Impl>> create(TokenizerSpec spec) {
    TESSERA_RETURN_IF_ERROR(complete_tokenizer_spec(&spec));
    auto impl = std::make_unique<Impl>(std::move(spec));
    TESSERA_ASSIGN_OR_RETURN(impl->model_, make_piece_model(impl->spec_));
    impl->build_tables();
    return impl;
  }

  explicit Impl(TokenizerSpec spec) : spec_(std::move(spec)), specials_(spec_) {}

  std::vector<int32_t> encode(std::string_view text, TextRanges control_allowed, bool add_special) const {
    std::vector<int32_t> ids;
    for (const SpecialMatcher::Part& part : specials_.split(text, std::move(control_allowed))) {
      if (part.id != kNoToken) {
        ids.push_back(part.id);
      } else {
        encode_run(part.text, &ids);
      }
    }
    if (add_special) add_special_tokens(&ids);
    return ids;
  }

  std::string decode(std::span<const int32_t> ids, DecodeOptions options) const {
    std::string text;
    size_t first = std::string::npos;  // where text that is no control token begins
    for (const int32_t id : ids) {
      if (!contains(id)) continue;
      const std::string& piece = pieces_[static_cast<size_t>(id)];
      if (!has_text(spec_.types[static_cast<size_t>(id)])) {
        if (!options.skip_special) text += spec_.tokens[static_cast<size_t>(id)];
        continue;
      }
      if (first == std::string::npos) first = text.size();
      text += piece;
    }
    if (strips_leading_space() && first < text.size() && text[first] == ' ' && !has_own_spaces(text, first)) {
      text.erase(first, 1);
    }
    return text;
  }

  bool contains(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < spec_.tokens.size(); }

  bool strips_leading_space() const { return spec_.add_space_prefix || spec_.model == TokenizerModel::kWordPiece; }

  const TokenizerSpec& spec() const { return spec_; }
  std::string_view piece(int32_t id) const {
    return contains(id) ? std::string_view(pieces_[static_cast<size_t>(id)]) : std::string_view();
  }
  std::optional<int32_t> find(std::string_view text) const {
    const auto it = by_text_.find(text);
    if (it == by_text_.end()) return std::nullopt;
    return it->second;
  }
  const std::vector<int32_t>& end_ids() const { return end_ids_; }

 private:
  // Byte-level models put a space only before text without one: two spaces are the text's own.
  bool has_own_spaces(std::string_view text, size_t first) const {
    return spec_.model == TokenizerModel::kByteBpe && text.substr(first + 1).starts_with(' ');
  }

  void build_tables() {
    const size_t vocab = spec_.tokens.size();
    pieces_.resize(vocab);
    by_text_.reserve(vocab);
    const SpecialIds& special = spec_.special;
    std::vector<bool> ends(vocab);
    for (const int32_t id : spec_.eos_ids) ends[static_cast<size_t>(id)] = true;
    for (const int32_t id : {special.eos, special.eot, special.eom}) {
      if (id != kNoToken) ends[static_cast<size_t>(id)] = true;
    }
    for (size_t i = 0; i < vocab; ++i) {
      const int32_t id = static_cast<int32_t>(i);
      by_text_.emplace(spec_.tokens[i], id);
      if (has_text(spec_.types[i])) pieces_[i] = model_->bytes_of(id);
      if (ends[i] || is_end_of_generation_name(spec_.tokens[i])) end_ids_.push_back(id);
    }
  }

  void encode_run(std::string_view text, std::vector<int32_t>* ids) const {
    std::string composed;
    if (spec_.nfc) {
      composed = compose_nfc(text);
      text = composed;
    }
    // The other models' normalizer does this. Here, before the run is cut: a piece in the middle gets no space.
    std::string prefixed;
    if (spec_.model == TokenizerModel::kByteBpe && spec_.add_space_prefix && !text.starts_with(' ')) {
      prefixed.reserve(text.size() + 1);
      prefixed.append(" ").append(text);
      text = prefixed;
    }
    while (!text.empty()) {
      const size_t bytes = run_bytes(text);
      model_->encode(text.substr(0, bytes), ids);
      text.remove_prefix(bytes);
    }
  }

  void add_special_tokens(std::vector<int32_t>* ids) const {
    const SpecialIds& special = spec_.special;
    const int32_t first = special.bos != kNoToken ? special.bos : special.cls;
    if (spec_.add_bos && (ids->empty() || ids->front() != first)) ids->insert(ids->begin(), first);
    if (spec_.add_sep) ids->push_back(special.sep);
    if (spec_.add_eos && (ids->empty() || ids->back() != special.eos)) ids->push_back(special.eos);
  }

  TokenizerSpec spec_;
  SpecialMatcher specials_;
  std::unique_ptr<PieceModel> model_;
  std::vector<std::string> pieces_;
  std::unordered_map<std::string_view, int32_t> by_text_;
  std::vector<int32_t> end_ids_;  // ascending
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::create(TokenizerSpec spec) {
  TESSERA_ASSIGN_OR_RETURN(auto impl, Impl::create(std::move(spec)));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
}

Result<std::unique_ptr<Tokenizer>> create_tokenizer(const Metadata& metadata) {
  TESSERA_ASSIGN_OR_RETURN(TokenizerSpec spec, tokenizer_spec_from_metadata(metadata));
  return Tokenizer::create(std::move(spec));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  return impl_->encode(text, options.parse_special ? TextRanges::all(text.size()) : TextRanges(), options.add_special);
}

std::vector<int32_t> Tokenizer::encode_chat(std::span<const TextSegment> segments, bool add_special) const {
  std::string text;
  TextRanges template_text;
  for (const TextSegment& segment : segments) {
    if (!segment.from_input) template_text.add(text.size(), text.size() + segment.text.size());
    text += segment.text;
  }
  return impl_->encode(text, std::move(template_text), add_special);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, DecodeOptions options) const {
  return impl_->decode(ids, options);
}

std::string_view Tokenizer::piece(int32_t id) const { return impl_->piece(id); }

std::string_view Tokenizer::token_text(int32_t id) const {
  return impl_->contains(id) ? std::string_view(impl_->spec().tokens[static_cast<size_t>(id)]) : std::string_view();
}

std::optional<int32_t> Tokenizer::find_token(std::string_view text) const { return impl_->find(text); }

TokenType Tokenizer::token_type(int32_t id) const {
  return impl_->contains(id) ? impl_->spec().types[static_cast<size_t>(id)] : TokenType::kUndefined;
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(impl_->spec().tokens.size()); }
const SpecialIds& Tokenizer::special() const { return impl_->spec().special; }

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return std::binary_search(impl_->end_ids().begin(), impl_->end_ids().end(), id);
}

std::span<const int32_t> Tokenizer::end_of_generation_ids() const { return impl_->end_ids(); }
bool Tokenizer::adds_bos() const { return impl_->spec().add_bos; }
bool Tokenizer::adds_eos() const { return impl_->spec().add_eos; }
bool Tokenizer::strips_leading_space() const { return impl_->strips_leading_space(); }

std::string_view Tokenizer::model_name() const {
  switch (impl_->spec().model) {
    case TokenizerModel::kSentencePieceBpe: return "llama";
    case TokenizerModel::kByteBpe: return "gpt2";
    case TokenizerModel::kUnigram: return "t5";
    case TokenizerModel::kWordPiece: return "bert";
  }
  return "";
}

std::string_view Tokenizer::pre_tokenizer_name() const { return impl_->spec().pre; }

}  // namespace tessera
