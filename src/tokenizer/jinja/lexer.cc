#include "tokenizer/jinja/lexer.h"

#include <algorithm>

#include "tokenizer/jinja/error.h"
#include "tokenizer/utf8.h"

namespace tessera::jinja {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name(char c) { return is_name_start(c) || is_digit(c); }

// Looking up a name is one step of the interpreter, so it has to be cheap.
constexpr size_t kMaxNameBytes = 256;

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {
    // Jinja drops one newline at the end of a template.
    if (source_.ends_with('\n')) source_.remove_suffix(1);
    if (source_.ends_with('\r')) source_.remove_suffix(1);
  }

  std::vector<Token> run() {
    while (position_ < source_.size()) {
      const size_t tag = find_tag();
      lex_data(tag);
      if (tag >= source_.size()) break;
      position_ = tag;
      switch (source_[tag + 1]) {
        case '#': lex_comment(); break;
        case '{': lex_tag(TokenKind::kPrintBegin, TokenKind::kPrintEnd, "}}"); break;
        default: lex_block(); break;
      }
    }
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  size_t find_tag() const {
    for (size_t i = position_; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    }
    return source_.size();
  }

  // The text from here to `tag`, less what the tag before and the tag after strip from it.
  void lex_data(size_t tag) {
    const std::string_view raw = source_.substr(position_, tag - position_);
    std::string_view text = raw;
    const size_t lines_in_text = static_cast<size_t>(std::count(raw.begin(), raw.end(), '\n'));
    bool at_line_start = position_ == 0 || source_[position_ - 1] == '\n';
    if (strip_next_) {
      while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    } else if (trim_newline_) {
      if (text.starts_with('\r') && text.size() > 1 && text[1] == '\n') text.remove_prefix(1);
      if (text.starts_with('\n')) {
        text.remove_prefix(1);
        at_line_start = true;
      }
    }
    strip_next_ = trim_newline_ = false;
    if (tag < source_.size()) text = strip_before_tag(text, tag, at_line_start);
    if (!text.empty()) push(TokenKind::kData, std::string(text));
    line_ += static_cast<int>(lines_in_text);
    position_ = tag;
  }

  std::string_view strip_before_tag(std::string_view text, size_t tag, bool at_line_start) const {
    const char modifier = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    if (modifier == '-') {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    } else if (source_[tag + 1] != '{' && modifier != '+') {
      size_t end = text.size();
      while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == '\t')) --end;
      const bool only_space = end == 0 ? at_line_start : text[end - 1] == '\n';
      if (only_space) text = text.substr(0, end);
    }
    return text;
  }

  void lex_comment() {
    const size_t close = source_.find("#}", position_ + 2);
    if (close == std::string_view::npos) fail(line_, "comment without end");
    const bool strip = close > position_ + 2 && source_[close - 1] == '-';
    const std::string_view body = source_.substr(position_, close - position_);
    line_ += static_cast<int>(std::count(body.begin(), body.end(), '\n'));
    position_ = close + 2;
    strip_next_ = strip;
    trim_newline_ = !strip;
  }

  void lex_block() {
    const size_t first = tokens_.size();
    lex_tag(TokenKind::kBlockBegin, TokenKind::kBlockEnd, "%}");
    const bool is_raw =
        tokens_.size() == first + 3 && tokens_[first + 1].kind == TokenKind::kName && tokens_[first + 1].text == "raw";
    if (is_raw) {
      tokens_.resize(first);
      lex_raw();
    }
  }

  // Everything up to {% endraw %} is text.
  void lex_raw() {
    for (size_t open = source_.find("{%", position_); open != std::string_view::npos;
         open = source_.find("{%", open + 2)) {
      size_t name = open + 2;
      if (name < source_.size() && (source_[name] == '-' || source_[name] == '+')) ++name;
      while (name < source_.size() && is_space(source_[name])) ++name;
      if (source_.substr(name, 6) != "endraw") continue;
      lex_data(open);
      const size_t first = tokens_.size();
      lex_tag(TokenKind::kBlockBegin, TokenKind::kBlockEnd, "%}");
      tokens_.resize(first);
      return;
    }
    fail(line_, "raw block without endraw");
  }

  void lex_tag(TokenKind begin, TokenKind end, std::string_view close) {
    push(begin, "");
    position_ += 2;
    if (position_ < source_.size() && (source_[position_] == '-' || source_[position_] == '+')) ++position_;
    std::string brackets;
    while (true) {
      skip_space();
      if (position_ >= source_.size()) fail(line_, "tag without end");
      if (brackets.empty() && at_close(close)) break;
      lex_token(&brackets);
    }
    push(end, "");
    const char modifier = source_[position_];
    position_ += 2 + (modifier == '-' || modifier == '+');
    strip_next_ = modifier == '-';
    trim_newline_ = end == TokenKind::kBlockEnd && modifier != '-' && modifier != '+';
  }

  bool at_close(std::string_view close) const {
    const std::string_view rest = source_.substr(position_);
    if (rest.starts_with(close)) return true;
    return !rest.empty() && (rest[0] == '-' || rest[0] == '+') && rest.substr(1).starts_with(close);
  }

  void skip_space() {
    while (position_ < source_.size() && is_space(source_[position_])) line_ += source_[position_++] == '\n';
  }

  void lex_token(std::string* brackets) {
    const char c = source_[position_];
    if (is_name_start(c)) {
      const size_t begin = position_;
      while (position_ < source_.size() && is_name(source_[position_])) ++position_;
      if (position_ - begin > kMaxNameBytes) fail(line_, "name longer than {} bytes", kMaxNameBytes);
      push(TokenKind::kName, std::string(source_.substr(begin, position_ - begin)));
    } else if (is_digit(c)) {
      lex_number();
    } else if (c == '"' || c == '\'') {
      lex_string(c);
    } else {
      lex_operator(brackets);
    }
  }

  void lex_number() {
    const size_t begin = position_;
    const auto digits = [&] {
      while (position_ < source_.size() && (is_digit(source_[position_]) || source_[position_] == '_')) ++position_;
    };
    digits();
    TokenKind kind = TokenKind::kInteger;
    if (position_ + 1 < source_.size() && source_[position_] == '.' && is_digit(source_[position_ + 1])) {
      kind = TokenKind::kFloat;
      ++position_;
      digits();
    }
    if (position_ + 1 < source_.size() && (source_[position_] == 'e' || source_[position_] == 'E')) {
      size_t exponent = position_ + 1;
      if (source_[exponent] == '+' || source_[exponent] == '-') ++exponent;
      if (exponent < source_.size() && is_digit(source_[exponent])) {
        kind = TokenKind::kFloat;
        position_ = exponent;
        digits();
      }
    }
    std::string text(source_.substr(begin, position_ - begin));
    std::erase(text, '_');
    push(kind, std::move(text));
  }

  int hex_escape(size_t digits) {
    if (position_ + digits >= source_.size()) fail(line_, "string without end");
    int value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char c = source_[++position_];
      const int digit = is_digit(c)            ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail(line_, "bad escape in a string");
      value = value * 16 + digit;
    }
    return value;
  }

  void lex_escape(std::string* text) {
    const char c = source_[position_];
    switch (c) {
      case 'n': *text += '\n'; break;
      case 't': *text += '\t'; break;
      case 'r': *text += '\r'; break;
      case 'b': *text += '\b'; break;
      case 'f': *text += '\f'; break;
      case '0': *text += '\0'; break;
      case '\n': ++line_; break;  // a continued line
      case '\\':
      case '\'':
      case '"': *text += c; break;
      case 'x': append_utf8(static_cast<char32_t>(hex_escape(2)), text); break;
      case 'u': {
        const int code = hex_escape(4);
        append_utf8(code >= 0xd800 && code <= 0xdfff ? kReplacementCharacter : static_cast<char32_t>(code), text);
        break;
      }
      default: *text += {'\\', c};
    }
    ++position_;
  }

  void lex_string(char quote) {
    const int line = line_;
    std::string text;
    ++position_;
    while (position_ < source_.size() && source_[position_] != quote) {
      const char c = source_[position_++];
      line_ += c == '\n';
      if (c != '\\' || position_ >= source_.size()) {
        text += c;
      } else {
        lex_escape(&text);
      }
    }
    if (position_ >= source_.size()) fail(line, "string without end");
    ++position_;
    push(TokenKind::kString, std::move(text));
  }

  void lex_operator(std::string* brackets) {
    static constexpr std::string_view kTwo[] = {"==", "!=", "<=", ">=", "//", "**"};
    const std::string_view rest = source_.substr(position_);
    for (const std::string_view op : kTwo) {
      if (!rest.starts_with(op)) continue;
      position_ += 2;
      push(TokenKind::kOperator, std::string(op));
      return;
    }
    const char c = rest[0];
    if (std::string_view("+-*/%~<>=.,:|()[]{}").find(c) == std::string_view::npos) {
      fail(line_, "unexpected character '{}'", is_name(c) || (c > ' ' && c < 0x7f) ? std::string(1, c) : "?");
    }
    // Inside brackets "}}" is two closing braces.
    if (c == '(' || c == '[' || c == '{') brackets->push_back(c);
    if (c == ')' || c == ']' || c == '}') {
      const char open = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (brackets->empty() || brackets->back() != open) fail(line_, "'{}' without its opening bracket", c);
      brackets->pop_back();
    }
    ++position_;
    push(TokenKind::kOperator, std::string(1, c));
  }

  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  std::string_view source_;
  size_t position_ = 0;
  int line_ = 1;
  bool strip_next_ = false;    // the tag before ended with "-%}"
  bool trim_newline_ = false;  // ... with "%}": the newline after it goes
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace tessera::jinja
