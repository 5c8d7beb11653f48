// The parsed template. Plain structs: one kind of node for expressions, one for statements; what the fields hold is
// said at each kind.
#ifndef TESSERA_TOKENIZER_JINJA_AST_H_
#define TESSERA_TOKENIZER_JINJA_AST_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/jinja/value.h"

namespace tessera::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class ExprKind {
  kConstant,   // constant
  kName,       // name
  kList,       // args; name is "tuple" where it was written as one
  kDict,       // args: key, value, key, value ...
  kAttribute,  // args[0] . name
  kIndex,      // args[0] [ args[1] ]
  kSlice,      // args[0] [ args[1] : args[2] : args[3] ], any of them null
  kCall,       // args[0] ( args[1...], named )
  kFilter,     // args[0] | name ( args[1...], named ); args[0] is null in a filter block
  kTest,       // args[0] is name ( args[1...] )
  kUnary,      // name args[0]:  not + -
  kBinary,     // args[0] name args[1]
  kCondition,  // args[0] if args[1] else args[2]; the last may be null
};

struct Expr {
  ExprKind kind;
  int line = 0;
  std::string name;
  Value constant;
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> named;
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

struct Parameter {
  std::string name;
  ExprPtr fallback;  // null: undefined when not given
};

enum class StmtKind {
  kText,      // text
  kPrint,     // expr
  kIf,        // expr, body, otherwise
  kFor,       // targets in expr [if condition]: body, otherwise when there was nothing
  kSet,       // targets = expr; with name set: name.targets[0] = expr (a namespace)
  kSetBlock,  // targets[0] = body, through the filter expr if there is one
  kMacro,     // name(parameters): body
  kCall,      // expr is a call of a macro, body its caller()
  kFilter,    // expr, a filter without operand, applied to body
  kWith,      // parameters as names with values, body
  kScope,     // body (generation)
  kDo,        // expr, for its effect
  kBreak,
  kContinue,
};

struct Stmt {
  StmtKind kind;
  int line = 0;
  Text text;
  std::string name;
  std::vector<std::string> targets;
  ExprPtr expr;
  ExprPtr condition;
  std::vector<Parameter> parameters;
  Body body;
  Body otherwise;
};

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_AST_H_
