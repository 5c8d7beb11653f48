// Unigram language model (tokenizer.ggml.model = "t5"): T5, UL2, XLM-R. Every token has a log probability; the
// segmentation of the text with the largest sum is chosen by dynamic programming (Viterbi) over byte positions (Kudo
// 2018).
//
// Scores are summed in double: sums over a whole text would lose in float what separates two close segmentations.
#include <algorithm>
#include <limits>

#include "tokenizer/flat_map.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/piece_model.h"
#include "tokenizer/utf8.h"

namespace tessera {
namespace {

// An unknown character costs this much more than the worst token (SentencePiece's constant).
constexpr double kUnknownPenalty = 10.0;
// Bounds the work at one position. Real vocabularies have tokens of up to 48 bytes or so.
constexpr size_t kMaxUnigramBytes = 512;

class TokenTrie {
 public:
  TokenTrie() : token_at_(1, kNoToken) {}

  void add(std::string_view text, int32_t id) {
    int32_t node = 0;
    for (const char c : text) {
      const int32_t fresh = static_cast<int32_t>(token_at_.size());
      node = edges_.insert(key(node, c), fresh);
      if (node == fresh) token_at_.push_back(kNoToken);
    }
    if (token_at_[static_cast<size_t>(node)] == kNoToken) token_at_[static_cast<size_t>(node)] = id;
  }

  // Calls visit(length, id) for every token that is a prefix of `text`, shortest first.
  template <class Visit>
  void for_each_prefix(std::string_view text, Visit visit) const {
    int32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const int32_t* next = edges_.find(key(node, text[i]));
      if (next == nullptr) return;
      node = *next;
      if (token_at_[static_cast<size_t>(node)] != kNoToken) visit(i + 1, token_at_[static_cast<size_t>(node)]);
    }
  }

 private:
  static uint64_t key(int32_t node, char c) { return uint64_t(uint32_t(node)) << 8 | static_cast<uint8_t>(c); }

  FlatMap<int32_t> edges_;
  std::vector<int32_t> token_at_;
};

// The best segmentation of the text before a position ends with this token.
struct Best {
  double score = -std::numeric_limits<double>::infinity();
  int32_t id = kNoToken;  // kNoToken: one unknown character
  uint32_t begin = 0;
};

class Unigram : public PieceModel {
 public:
  Unigram(const TokenizerSpec& spec, Normalizer normalizer)
      : spec_(spec), normalizer_(std::move(normalizer)), bytes_(byte_token_ids(spec)) {
    double worst = 0;
    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      const TokenType type = spec.types[i];
      if (type == TokenType::kNormal) worst = std::min(worst, double{spec.scores[i]});
      const bool is_text = type == TokenType::kNormal || type == TokenType::kUserDefined || type == TokenType::kUnused;
      if (is_text && !spec.tokens[i].empty() && spec.tokens[i].size() <= kMaxUnigramBytes) {
        trie_.add(spec.tokens[i], static_cast<int32_t>(i));
      }
    }
    unknown_score_ = worst - kUnknownPenalty;
    has_byte_fallback_ = std::find(bytes_.begin(), bytes_.end(), kNoToken) == bytes_.end();
  }

  void encode(std::string_view text, std::vector<int32_t>* ids) const override {
    const std::string normalized = normalizer_.apply(text);
    if (normalized.empty()) return;
    append_path(normalized, best_path(normalized), ids);
  }

  std::string bytes_of(int32_t id) const override {
    const std::string& text = spec_.tokens[static_cast<size_t>(id)];
    if (spec_.types[static_cast<size_t>(id)] == TokenType::kByte) {
      const int byte = byte_of_token_text(text);
      if (byte >= 0) return std::string(1, static_cast<char>(byte));
    }
    return replace_all(text, kSpaceMark, " ");
  }

 private:
  double score_of(int32_t id) const {
    const size_t i = static_cast<size_t>(id);
    return spec_.types[i] == TokenType::kUserDefined ? 0.0 : double{spec_.scores[i]};
  }

  std::vector<Best> best_path(std::string_view text) const {
    std::vector<Best> best(text.size() + 1);
    best[0].score = 0;
    for (size_t begin = 0; begin < text.size();) {
      const double score = best[begin].score;
      const auto offer = [&](size_t end, int32_t id, double step) {
        if (score + step > best[end].score) best[end] = {score + step, id, static_cast<uint32_t>(begin)};
      };
      const size_t char_bytes = decode_utf8(text, begin).bytes;
      bool known_char = false;
      trie_.for_each_prefix(text.substr(begin), [&](size_t bytes, int32_t id) {
        known_char = known_char || bytes == char_bytes;
        offer(begin + bytes, id, score_of(id));
      });
      if (!known_char) offer(begin + char_bytes, kNoToken, unknown_score_);
      begin += char_bytes;
    }
    return best;
  }

  // A run of unknown characters is one unknown token, or the tokens of its bytes where the vocabulary has them.
  void append_path(std::string_view text, const std::vector<Best>& best, std::vector<int32_t>* ids) const {
    const ptrdiff_t first = static_cast<ptrdiff_t>(ids->size());
    bool after_unknown = false;
    for (size_t end = text.size(); end > 0; end = best[end].begin) {
      const bool unknown = best[end].id == kNoToken;
      if (!unknown) {
        ids->push_back(best[end].id);
      } else if (has_byte_fallback_) {
        for (size_t i = end; i > best[end].begin; --i) ids->push_back(bytes_[static_cast<uint8_t>(text[i - 1])]);
      } else if (!after_unknown && spec_.special.unk != kNoToken) {
        ids->push_back(spec_.special.unk);
      }
      after_unknown = unknown;
    }
    std::reverse(ids->begin() + first, ids->end());
  }

  const TokenizerSpec& spec_;
  Normalizer normalizer_;
  std::array<int32_t, 256> bytes_;
  TokenTrie trie_;
  double unknown_score_ = 0;
  bool has_byte_fallback_ = false;
};

}  // namespace

Result<std::unique_ptr<PieceModel>> make_unigram(const TokenizerSpec& spec) {
  TESSERA_ASSIGN_OR_RETURN(Normalizer normalizer, Normalizer::create(spec));
  return std::unique_ptr<PieceModel>(std::make_unique<Unigram>(spec, std::move(normalizer)));
}

}  // namespace tessera
