// Byte-level BPE (tokenizer.ggml.model = "gpt2"): GPT-2, Llama 3, Qwen, Falcon, StarCoder, DeepSeek ... A word from the
// pre-tokenizer starts as single bytes; the adjacent pair with the lowest merge rank is joined, leftmost first, until
// no pair has a rank (Sennrich et al. 2016; Radford et al. 2019 for bytes).
//
// Strings exist only while the tables are built: every string that occurs in a merge gets a symbol number, and a merge
// is an entry (left symbol, right symbol) -> (rank, joined symbol). Short words are merged by repeated scan, which
// beats a heap up to a few dozen symbols; longer ones with a heap in O(n log n), so a "word" of a million letters is no
// attack.
#include <algorithm>
#include <queue>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/flat_map.h"
#include "tokenizer/piece_model.h"
#include "tokenizer/pretokenizer.h"

namespace tessera {
namespace {

constexpr size_t kScanLimit = 32;
constexpr uint32_t kNoRank = ~uint32_t{0};

struct Merge {
  uint32_t rank = kNoRank;
  int32_t joined = -1;
};

// Symbols are numbered from 0; their tokens are looked up at the end.
struct MergeTable {
  FlatMap<Merge> merges;
  std::vector<int32_t> token_of_symbol;
  std::array<int32_t, 256> symbol_of_byte;
  // Merges may join two tokens into a string that is none; such a symbol is written as the tokens of its bytes.
  std::unordered_map<int32_t, std::vector<int32_t>> spelled;

  Merge find(int32_t left, int32_t right) const {
    const Merge* merge = merges.find(uint64_t(uint32_t(left)) << 32 | uint32_t(right));
    return merge == nullptr ? Merge{} : *merge;
  }
};

Result<MergeTable> build_merge_table(const TokenizerSpec& spec, const TextTokens& tokens) {
  MergeTable table{
      .merges = FlatMap<Merge>(spec.merges.size()), .token_of_symbol = {}, .symbol_of_byte = {}, .spelled = {}};
  std::unordered_map<std::string, int32_t> symbols;
  symbols.reserve(spec.merges.size() + 256);
  const auto intern = [&](std::string text) {
    const auto [it, added] = symbols.try_emplace(std::move(text), static_cast<int32_t>(symbols.size()));
    if (added) table.token_of_symbol.push_back(tokens.find(it->first));
    return it->second;
  };
  for (size_t byte = 0; byte < 256; ++byte) table.symbol_of_byte[byte] = intern(byte_alphabet()[byte]);
  for (size_t i = 0; i < spec.merges.size(); ++i) {
    const std::string_view merge = spec.merges[i];
    // The alphabet has no space, so the first one separates; a merge of added tokens may begin with one.
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      return invalid_argument("tokenizer.ggml.merges: entry {}: expected two parts, found \"{}\"", i, merge);
    }
    const int32_t left = intern(std::string(merge.substr(0, space)));
    const int32_t right = intern(std::string(merge.substr(space + 1)));
    const int32_t joined = intern(std::string(merge.substr(0, space)) += merge.substr(space + 1));
    table.merges.insert(uint64_t(uint32_t(left)) << 32 | uint32_t(right), {static_cast<uint32_t>(i), joined});
  }
  for (const auto& [text, symbol] : symbols) {
    if (table.token_of_symbol[static_cast<size_t>(symbol)] != kNoToken) continue;
    std::vector<int32_t>& ids = table.spelled[symbol];
    for (const char c : bytes_from_alphabet(text).value_or("")) {
      const int32_t id = table.token_of_symbol[static_cast<size_t>(table.symbol_of_byte[static_cast<uint8_t>(c)])];
      ids.push_back(id != kNoToken ? id : spec.special.unk);
    }
    std::erase(ids, kNoToken);
  }
  return table;
}

// Joins `symbols` in place. Quadratic, for few symbols.
void merge_by_scan(const MergeTable& table, std::vector<int32_t>* symbols) {
  std::array<Merge, kScanLimit> pairs;  // pairs[i]: symbols i and i + 1
  size_t count = symbols->size();
  int32_t* s = symbols->data();
  for (size_t i = 0; i + 1 < count; ++i) pairs[i] = table.find(s[i], s[i + 1]);
  while (count > 1) {
    const auto best = std::min_element(pairs.begin(), pairs.begin() + static_cast<ptrdiff_t>(count - 1),
                                       [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (best->rank == kNoRank) break;
    const size_t at = static_cast<size_t>(best - pairs.begin());
    s[at] = best->joined;
    std::copy(s + at + 2, s + count, s + at + 1);
    --count;
    if (at + 1 < count) {
      std::copy(pairs.begin() + at + 2, pairs.begin() + count, pairs.begin() + at + 1);
      pairs[at] = table.find(s[at], s[at + 1]);
    }
    if (at > 0) pairs[at - 1] = table.find(s[at - 1], s[at]);
  }
  symbols->resize(count);
}

struct Node {
  int32_t symbol;  // -1: joined to its left neighbour
  int32_t previous;
  int32_t next;
};

struct Candidate {
  uint32_t rank;
  int32_t left;
  int32_t left_symbol, right_symbol;  // the entry is stale when the nodes hold others by now

  bool operator<(const Candidate& other) const {
    return rank > other.rank || (rank == other.rank && left > other.left);
  }
};

void merge_by_heap(const MergeTable& table, std::vector<int32_t>* symbols) {
  std::vector<Node> nodes;
  nodes.reserve(symbols->size());
  const int32_t count = static_cast<int32_t>(symbols->size());
  for (int32_t i = 0; i < count; ++i) {
    nodes.push_back({(*symbols)[static_cast<size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
  }
  std::priority_queue<Candidate> queue;
  const auto add = [&](int32_t left) {
    if (left < 0) return;
    const Node& node = nodes[static_cast<size_t>(left)];
    if (node.next < 0) return;
    const int32_t right_symbol = nodes[static_cast<size_t>(node.next)].symbol;
    const Merge merge = table.find(node.symbol, right_symbol);
    if (merge.rank != kNoRank) queue.push({merge.rank, left, node.symbol, right_symbol});
  };
  for (int32_t i = 0; i + 1 < count; ++i) add(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Node& left = nodes[static_cast<size_t>(best.left)];
    if (left.symbol != best.left_symbol || left.next < 0) continue;
    Node& right = nodes[static_cast<size_t>(left.next)];
    if (right.symbol != best.right_symbol) continue;
    left.symbol = table.find(best.left_symbol, best.right_symbol).joined;
    right.symbol = -1;
    left.next = right.next;
    if (right.next >= 0) nodes[static_cast<size_t>(right.next)].previous = best.left;
    add(left.previous);
    add(best.left);
  }
  symbols->clear();
  for (int32_t i = 0; i >= 0; i = nodes[static_cast<size_t>(i)].next) {
    symbols->push_back(nodes[static_cast<size_t>(i)].symbol);
  }
}

class ByteBpe : public PieceModel {
 public:
  ByteBpe(const TokenizerSpec& spec, TextTokens tokens, MergeTable table, PreTokenizer pre)
      : spec_(spec), tokens_(std::move(tokens)), table_(std::move(table)), pre_(std::move(pre)) {
    if (spec.ignore_merges || pre_.ignore_merges()) index_whole_words();
  }

  void encode(std::string_view text, std::vector<int32_t>* ids) const override {
    std::vector<int32_t> symbols;
    pre_.split(text, [&](std::string_view word) { encode_word(word, &symbols, ids); });
  }

  std::string bytes_of(int32_t id) const override {
    const std::string& text = spec_.tokens[static_cast<size_t>(id)];
    if (spec_.types[static_cast<size_t>(id)] == TokenType::kUserDefined) return text;
    return bytes_from_alphabet(text).value_or(text);
  }

 private:
  // Bytes of a word -> token, so that whole words need no translation into the alphabet.
  void index_whole_words() {
    whole_words_.reserve(spec_.tokens.size());
    for (size_t i = 0; i < spec_.tokens.size(); ++i) {
      if (tokens_.find(spec_.tokens[i]) != static_cast<int32_t>(i)) continue;
      if (auto bytes = bytes_from_alphabet(spec_.tokens[i])) whole_words_.emplace(*bytes, static_cast<int32_t>(i));
    }
  }

  void encode_word(std::string_view word, std::vector<int32_t>* symbols, std::vector<int32_t>* ids) const {
    if (word.size() <= tokens_.max_bytes() && !whole_words_.empty()) {
      if (const auto it = whole_words_.find(std::string(word)); it != whole_words_.end()) {
        ids->push_back(it->second);
        return;
      }
    }
    symbols->clear();
    for (const char c : word) symbols->push_back(table_.symbol_of_byte[static_cast<uint8_t>(c)]);
    if (symbols->size() <= kScanLimit) {
      merge_by_scan(table_, symbols);
    } else {
      merge_by_heap(table_, symbols);
    }
    for (const int32_t symbol : *symbols) append(symbol, ids);
  }

  void append(int32_t symbol, std::vector<int32_t>* ids) const {
    const int32_t id = table_.token_of_symbol[static_cast<size_t>(symbol)];
    if (id != kNoToken) {
      ids->push_back(id);
    } else {
      const std::vector<int32_t>& spelled = table_.spelled.at(symbol);
      ids->insert(ids->end(), spelled.begin(), spelled.end());
    }
  }

  const TokenizerSpec& spec_;
  TextTokens tokens_;
  MergeTable table_;
  PreTokenizer pre_;
  std::unordered_map<std::string, int32_t> whole_words_;
};

}  // namespace

Result<std::unique_ptr<PieceModel>> make_byte_bpe(const TokenizerSpec& spec) {
  TextTokens tokens(spec);
  TESSERA_ASSIGN_OR_RETURN(PreTokenizer pre, PreTokenizer::create(spec.pre));
  TESSERA_ASSIGN_OR_RETURN(MergeTable table, build_merge_table(spec, tokens));
  return std::unique_ptr<PieceModel>(
      std::make_unique<ByteBpe>(spec, std::move(tokens), std::move(table), std::move(pre)));
}

}  // namespace tessera
