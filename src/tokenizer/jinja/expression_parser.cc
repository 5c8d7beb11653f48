#include "tokenizer/jinja/expression_parser.h"

#include <charconv>
#include <cstdlib>

namespace tessera::jinja {
namespace {

// A chain of operators nests to the left, and the tree is walked and destroyed recursively.
constexpr int kMaxChain = 400;

ExprPtr node(ExprKind kind, int line, std::string name = {}) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  expr->name = std::move(name);
  return expr;
}

template <class... Args>
ExprPtr node_of(ExprKind kind, int line, std::string name, Args... args) {
  ExprPtr expr = node(kind, line, std::move(name));
  (expr->args.push_back(std::move(args)), ...);
  return expr;
}

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream* tokens) : t_(*tokens) {}

  ExprPtr condition() {
    const TokenStream::Nest nest(&t_);
    ExprPtr value = disjunction();
    while (t_.at_name("if")) {
      const int line = t_.next().line;
      count_link();
      ExprPtr test = disjunction();
      ExprPtr otherwise = t_.take_name("else") ? condition() : nullptr;
      value = node_of(ExprKind::kCondition, line, "", std::move(value), std::move(test), std::move(otherwise));
    }
    return value;
  }

  ExprPtr disjunction() {
    return binary_names("or", [this] { return conjunction(); });
  }

  ExprPtr list() {
    const int line = t_.line();
    ExprPtr first = condition();
    if (!t_.at_operator(",")) return first;
    ExprPtr list = node(ExprKind::kList, line, "tuple");
    list->args.push_back(std::move(first));
    while (t_.take_operator(",")) {
      if (t_.at(TokenKind::kBlockEnd) || t_.at(TokenKind::kPrintEnd) || t_.at_operator(")")) break;
      list->args.push_back(condition());
    }
    return list;
  }

  ExprPtr filters_after(ExprPtr value, bool first_without_bar) {
    while (first_without_bar || t_.take_operator("|")) {
      first_without_bar = false;
      count_link();
      const int line = t_.line();
      std::string name = t_.name("the name of a filter");
      ExprPtr filter = node_of(ExprKind::kFilter, line, std::move(name), std::move(value));
      if (t_.take_operator("(")) arguments(filter.get());
      value = std::move(filter);
    }
    return value;
  }

 private:
  void count_link() {
    if (++links_ > kMaxChain) fail(t_.line(), "expression with more than {} operators", kMaxChain);
  }

  template <class Operand>
  ExprPtr binary_names(const char* name, Operand operand) {
    ExprPtr left = operand();
    while (t_.at_name(name)) {
      const int line = t_.next().line;
      count_link();
      ExprPtr right = operand();
      left = node_of(ExprKind::kBinary, line, name, std::move(left), std::move(right));
    }
    return left;
  }

  template <class Operand>
  ExprPtr binary_operators(std::initializer_list<std::string_view> names, Operand operand) {
    ExprPtr left = operand();
    while (true) {
      std::string found;
      for (const std::string_view name : names) {
        if (t_.at_operator(name)) found = name;
      }
      if (found.empty()) return left;
      const int line = t_.next().line;
      count_link();
      ExprPtr right = operand();
      left = node_of(ExprKind::kBinary, line, std::move(found), std::move(left), std::move(right));
    }
  }

  ExprPtr conjunction() {
    return binary_names("and", [this] { return negation(); });
  }

  ExprPtr negation() {
    if (!t_.at_name("not")) return comparison();
    const TokenStream::Nest nest(&t_);
    const int line = t_.next().line;
    return node_of(ExprKind::kUnary, line, "not", negation());
  }

  // a < b < c means a < b and b < c; b is evaluated twice, which only shows in templates that nobody writes.
  ExprPtr comparison() {
    ExprPtr left = sum();
    while (true) {
      const int line = t_.line();
      std::string op;
      if (t_.at(TokenKind::kOperator)) {
        for (const std::string_view name : {"==", "!=", "<", ">", "<=", ">="}) {
          if (t_.at_operator(name)) op = name;
        }
        if (op.empty()) return left;
        t_.next();
      } else if (t_.take_name("in")) {
        op = "in";
      } else if (t_.at_name("not")) {
        t_.next();
        t_.expect_name("in");
        op = "not in";
      } else {
        return left;
      }
      count_link();
      ExprPtr right = sum();
      left = node_of(ExprKind::kBinary, line, std::move(op), std::move(left), std::move(right));
    }
  }

  ExprPtr sum() {
    return binary_operators({"+", "-"}, [this] { return concatenation(); });
  }
  ExprPtr concatenation() {
    return binary_operators({"~"}, [this] { return product(); });
  }
  ExprPtr product() {
    return binary_operators({"*", "/", "//", "%"}, [this] { return power(); });
  }
  ExprPtr power() {
    return binary_operators({"**"}, [this] { return unary(true); });
  }

  ExprPtr unary(bool with_filters) {
    const TokenStream::Nest nest(&t_);
    const int line = t_.line();
    ExprPtr value;
    if (t_.at_operator("-") || t_.at_operator("+")) {
      std::string op = t_.next().text;
      value = node_of(ExprKind::kUnary, line, std::move(op), unary(false));
    } else {
      value = postfix(primary());
    }
    return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
  }

  ExprPtr filters_and_tests(ExprPtr value) {
    while (true) {
      if (t_.at_operator("|")) {
        value = filters_after(std::move(value), false);
      } else if (t_.at_name("is")) {
        count_link();
        value = test(std::move(value));
      } else {
        return value;
      }
    }
  }

  ExprPtr test(ExprPtr value) {
    const int line = t_.next().line;
    const bool negated = t_.take_name("not");
    std::string name = t_.name("the name of a test");
    ExprPtr expr = node_of(ExprKind::kTest, line, std::move(name), std::move(value));
    if (t_.take_operator("(")) {
      arguments(expr.get());
    } else if (begins_operand()) {
      expr->args.push_back(postfix(primary()));
    }
    return negated ? node_of(ExprKind::kUnary, line, "not", std::move(expr)) : std::move(expr);
  }

  bool begins_operand() const {
    switch (t_.peek().kind) {
      case TokenKind::kString:
      case TokenKind::kInteger:
      case TokenKind::kFloat: return true;
      case TokenKind::kOperator: return t_.at_operator("[") || t_.at_operator("{");
      case TokenKind::kName:
        for (const std::string_view word : {"else", "or", "and", "is", "if", "not", "in"}) {
          if (t_.at_name(word)) return false;
        }
        return true;
      default: return false;
    }
  }

  ExprPtr postfix(ExprPtr value) {
    while (t_.at(TokenKind::kOperator)) {
      const int line = t_.line();
      if (t_.take_operator(".")) {
        count_link();
        if (t_.at(TokenKind::kInteger)) {
          value = node_of(ExprKind::kIndex, line, "", std::move(value), number());
        } else {
          value = node_of(ExprKind::kAttribute, line, t_.name("an attribute"), std::move(value));
        }
      } else if (t_.take_operator("[")) {
        count_link();
        value = subscript(std::move(value), line);
      } else if (t_.take_operator("(")) {
        count_link();
        value = node_of(ExprKind::kCall, line, "", std::move(value));
        arguments(value.get());
      } else {
        break;
      }
    }
    return value;
  }

  ExprPtr subscript(ExprPtr value, int line) {
    ExprPtr parts[3];
    int colons = 0;
    while (!t_.at_operator("]")) {
      if (t_.take_operator(":")) {
        if (++colons > 2) fail(line, "slice with more than three parts");
      } else if (parts[colons] == nullptr) {
        parts[colons] = condition();
      } else {
        break;
      }
    }
    t_.expect_operator("]");
    if (colons > 0) {
      return node_of(ExprKind::kSlice, line, "", std::move(value), std::move(parts[0]), std::move(parts[1]),
                     std::move(parts[2]));
    }
    if (parts[0] == nullptr) fail(line, "expected an index, found ']'");
    return node_of(ExprKind::kIndex, line, "", std::move(value), std::move(parts[0]));
  }

  // After "(": positional arguments go to args, the others to named.
  void arguments(Expr* call) {
    while (!t_.take_operator(")")) {
      ExprPtr value = condition();
      if (value->kind == ExprKind::kName && t_.take_operator("=")) {
        std::string name = std::move(value->name);
        call->named.emplace_back(std::move(name), condition());
      } else if (!call->named.empty()) {
        fail(call->line, "positional argument after a named one");
      } else {
        call->args.push_back(std::move(value));
      }
      if (!t_.at_operator(")")) t_.expect_operator(",");
    }
  }

  ExprPtr constant(Value value, int line) {
    ExprPtr expr = node(ExprKind::kConstant, line);
    expr->constant = std::move(value);
    return expr;
  }

  ExprPtr number() {
    const Token& token = t_.next();
    if (token.kind == TokenKind::kFloat) return constant(Value(std::strtod(token.text.c_str(), nullptr)), token.line);
    int64_t value = 0;
    const char* end = token.text.data() + token.text.size();
    if (std::from_chars(token.text.data(), end, value).ec != std::errc()) fail(token.line, "number too large");
    return constant(Value(value), token.line);
  }

  ExprPtr primary() {
    const int line = t_.line();
    switch (t_.peek().kind) {
      case TokenKind::kInteger:
      case TokenKind::kFloat: return number();
      case TokenKind::kString: {
        std::string text;
        while (t_.at(TokenKind::kString)) text += t_.next().text;
        return constant(text_value(std::move(text)), line);
      }
      case TokenKind::kName: return name_or_literal();
      default: break;
    }
    if (t_.take_operator("(")) {
      if (t_.take_operator(")")) return node(ExprKind::kList, line, "tuple");
      ExprPtr inner = list();
      t_.expect_operator(")");
      return inner;
    }
    if (t_.take_operator("[")) return list_literal(line);
    if (t_.take_operator("{")) return dict_literal(line);
    fail(line, "expected an expression, found {}", t_.describe());
  }

  ExprPtr name_or_literal() {
    const int line = t_.line();
    std::string name = t_.next().text;
    if (name == "true" || name == "True") return constant(Value(true), line);
    if (name == "false" || name == "False") return constant(Value(false), line);
    if (name == "none" || name == "None") return constant(Value(), line);
    return node(ExprKind::kName, line, std::move(name));
  }

  ExprPtr list_literal(int line) {
    ExprPtr list = node(ExprKind::kList, line);
    while (!t_.take_operator("]")) {
      list->args.push_back(condition());
      if (!t_.at_operator("]")) t_.expect_operator(",");
    }
    return list;
  }

  ExprPtr dict_literal(int line) {
    ExprPtr dict = node(ExprKind::kDict, line);
    while (!t_.take_operator("}")) {
      dict->args.push_back(condition());
      t_.expect_operator(":");
      dict->args.push_back(condition());
      if (!t_.at_operator("}")) t_.expect_operator(",");
    }
    return dict;
  }

  TokenStream& t_;
  int links_ = 0;
};

}  // namespace

ExprPtr parse_expression(TokenStream* tokens, bool with_condition) {
  ExpressionParser parser(tokens);
  return with_condition ? parser.condition() : parser.disjunction();
}

ExprPtr parse_expression_list(TokenStream* tokens) { return ExpressionParser(tokens).list(); }

ExprPtr parse_filter_chain(TokenStream* tokens) { return ExpressionParser(tokens).filters_after(nullptr, true); }

}  // namespace tessera::jinja
