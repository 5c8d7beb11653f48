#include "tokenizer/jinja/parser.h"

#include "tokenizer/jinja/expression_parser.h"

namespace tessera::jinja {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view source) : t_(tokenize(source)) {}

  Body parse() {
    Body body = parse_body({});
    if (!t_.at(TokenKind::kEnd)) fail(t_.line(), "unexpected {}", t_.describe());
    return body;
  }

 private:
  // Statements up to a tag whose name is one of `ends`; that tag's "{%" and name are taken. *end tells which.
  Body parse_body(std::initializer_list<std::string_view> ends, std::string* end = nullptr) {
    const TokenStream::Nest nest(&t_);
    const int first_line = t_.line();
    Body body;
    while (!t_.at(TokenKind::kEnd)) {
      const int line = t_.line();
      if (t_.at(TokenKind::kData)) {
        auto stmt = make(StmtKind::kText, line);
        stmt->text = Text(t_.next().text);
        body.push_back(std::move(stmt));
      } else if (t_.at(TokenKind::kPrintBegin)) {
        t_.next();
        auto stmt = make(StmtKind::kPrint, line);
        stmt->expr = parse_expression_list(&t_);
        t_.expect(TokenKind::kPrintEnd, "'}}'");
        body.push_back(std::move(stmt));
      } else {
        t_.expect(TokenKind::kBlockBegin, "a tag");
        const std::string name = t_.name("the name of a statement");
        for (const std::string_view candidate : ends) {
          if (name != candidate) continue;
          *end = name;
          return body;
        }
        body.push_back(statement(name, line));
      }
    }
    if (ends.size() > 0) fail(first_line, "expected '{}', found the end of the template", *(ends.end() - 1));
    return body;
  }

  static std::unique_ptr<Stmt> make(StmtKind kind, int line) {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = line;
    return stmt;
  }

  void end_tag() { t_.expect(TokenKind::kBlockEnd, "'%}'"); }

  Body body_until(std::string_view end_name) {
    end_tag();
    std::string end;
    Body body = parse_body({end_name}, &end);
    if (end == "endmacro" && t_.at(TokenKind::kName)) t_.next();  // {% endmacro name %}
    end_tag();
    return body;
  }

  std::unique_ptr<Stmt> statement(const std::string& name, int line) {
    if (name == "if") return if_statement(line);
    if (name == "for") return for_statement(line);
    if (name == "set") return set_statement(line);
    if (name == "macro") return macro_statement(line);
    if (name == "call") return call_statement(line);
    if (name == "filter") return filter_statement(line);
    if (name == "with") return with_statement(line);
    if (name == "generation") {
      auto stmt = make(StmtKind::kScope, line);
      stmt->body = body_until("endgeneration");
      return stmt;
    }
    if (name == "do") {
      auto stmt = make(StmtKind::kDo, line);
      stmt->expr = parse_expression(&t_);
      end_tag();
      return stmt;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) fail(line, "'{}' outside of a loop", name);
      end_tag();
      return make(name == "break" ? StmtKind::kBreak : StmtKind::kContinue, line);
    }
    fail(line, "statement '{}' is not supported here", name.substr(0, 40));
  }

  // The chain of elif is a loop here and nested statements in the tree, so its length counts as depth.
  std::unique_ptr<Stmt> if_statement(int line) {
    const TokenStream::Nest nest(&t_);
    auto stmt = make(StmtKind::kIf, line);
    stmt->expr = parse_expression(&t_);
    end_tag();
    std::string end;
    stmt->body = parse_body({"elif", "else", "endif"}, &end);
    if (end == "elif") {
      stmt->otherwise.push_back(if_statement(t_.line()));
      return stmt;
    }
    end_tag();
    if (end == "else") {
      stmt->otherwise = parse_body({"endif"}, &end);
      end_tag();
    }
    return stmt;
  }

  std::vector<std::string> target_names() {
    std::vector<std::string> names;
    const bool in_brackets = t_.take_operator("(");
    do {
      if (!t_.at(TokenKind::kName)) break;
      names.push_back(t_.next().text);
    } while (t_.take_operator(","));
    if (in_brackets) t_.expect_operator(")");
    if (names.empty()) fail(t_.line(), "expected a name, found {}", t_.describe());
    return names;
  }

  std::unique_ptr<Stmt> for_statement(int line) {
    auto stmt = make(StmtKind::kFor, line);
    stmt->targets = target_names();
    t_.expect_name("in");
    stmt->expr = parse_expression(&t_, false);
    if (t_.take_name("if")) stmt->condition = parse_expression(&t_);
    if (t_.at_name("recursive")) fail(line, "recursive loops are not supported");
    end_tag();
    std::string end;
    ++loops_;
    stmt->body = parse_body({"else", "endfor"}, &end);
    --loops_;
    end_tag();
    if (end == "else") {
      stmt->otherwise = parse_body({"endfor"}, &end);
      end_tag();
    }
    return stmt;
  }

  std::unique_ptr<Stmt> set_statement(int line) {
    auto stmt = make(StmtKind::kSet, line);
    stmt->targets = target_names();
    if (stmt->targets.size() == 1 && t_.take_operator(".")) {
      stmt->name = std::move(stmt->targets[0]);
      stmt->targets[0] = t_.name("an attribute");
    }
    if (t_.take_operator("=")) {
      stmt->expr = parse_expression_list(&t_);
      end_tag();
      return stmt;
    }
    if (!stmt->name.empty() || stmt->targets.size() != 1) fail(line, "expected '=', found {}", t_.describe());
    stmt->kind = StmtKind::kSetBlock;
    if (t_.take_operator("|")) stmt->expr = parse_filter_chain(&t_);
    stmt->body = body_until("endset");
    return stmt;
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> list;
    t_.expect_operator("(");
    while (!t_.take_operator(")")) {
      Parameter parameter{t_.name("a parameter"), nullptr};
      if (t_.take_operator("=")) parameter.fallback = parse_expression(&t_);
      list.push_back(std::move(parameter));
      if (!t_.at_operator(")")) t_.expect_operator(",");
    }
    return list;
  }

  // break and continue do not reach out of a macro into a loop around it.
  Body function_body(std::string_view end_name) {
    const int loops = std::exchange(loops_, 0);
    Body body = body_until(end_name);
    loops_ = loops;
    return body;
  }

  std::unique_ptr<Stmt> macro_statement(int line) {
    auto stmt = make(StmtKind::kMacro, line);
    stmt->name = t_.name("the name of a macro");
    stmt->parameters = parameters();
    stmt->body = function_body("endmacro");
    return stmt;
  }

  std::unique_ptr<Stmt> call_statement(int line) {
    auto stmt = make(StmtKind::kCall, line);
    if (t_.at_operator("(")) stmt->parameters = parameters();
    stmt->expr = parse_expression(&t_);
    if (stmt->expr->kind != ExprKind::kCall) fail(line, "expected a call of a macro");
    stmt->body = function_body("endcall");
    return stmt;
  }

  std::unique_ptr<Stmt> filter_statement(int line) {
    auto stmt = make(StmtKind::kFilter, line);
    stmt->expr = parse_filter_chain(&t_);
    stmt->body = body_until("endfilter");
    return stmt;
  }

  std::unique_ptr<Stmt> with_statement(int line) {
    auto stmt = make(StmtKind::kWith, line);
    while (!t_.at(TokenKind::kBlockEnd)) {
      Parameter parameter{t_.name("a name"), nullptr};
      t_.expect_operator("=");
      parameter.fallback = parse_expression(&t_);
      stmt->parameters.push_back(std::move(parameter));
      if (!t_.at(TokenKind::kBlockEnd)) t_.expect_operator(",");
    }
    stmt->body = body_until("endwith");
    return stmt;
  }

  TokenStream t_;
  int loops_ = 0;
};

}  // namespace

Body parse_template(std::string_view source) { return Parser(source).parse(); }

}  // namespace tessera::jinja
