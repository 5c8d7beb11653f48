// Interpreter: runs a parsed template. The state of one rendering: variables, output, and the budget that a hostile
// template or request cannot exceed: steps, bytes made, depth.
//
// Lists and mappings can refer to each other in circles, so the interpreter keeps every container it made and empties
// them in the end.
#ifndef TESSERA_TOKENIZER_JINJA_INTERPRETER_H_
#define TESSERA_TOKENIZER_JINJA_INTERPRETER_H_

#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/jinja/ast.h"

namespace tessera::jinja {

// What a value costs of the byte budget besides the bytes of its text.
constexpr uint64_t kValueBytes = 64;

struct Limits {
  uint64_t max_steps = 2'000'000;     // nodes evaluated, and 64 bytes looked at or copied
  uint64_t max_bytes = 128ull << 20;  // of all strings and containers made during the rendering
  uint64_t max_output_bytes = 16ull << 20;
  int max_depth = 1000;  // of calls, expressions and nested values
};

struct Scope {
  std::map<std::string, Value, std::less<>> variables;
  std::shared_ptr<Scope> parent;
};

// A macro, a method bound to its object, or a global.
struct Function {
  enum class Kind { kMacro, kMethod, kGlobal };
  Kind kind;
  std::string name;
  Value self;                    // kMethod
  const Stmt* macro = nullptr;   // kMacro; also the body of a call block
  std::shared_ptr<Scope> scope;  // kMacro: where it was defined
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  int line = 0;

  // The argument at `position` or of that name; null when absent.
  const Value* find(size_t position, std::string_view name) const;
  Value get(size_t position, std::string_view name, Value fallback) const;
};

class Interpreter {
 public:
  Interpreter(const Limits& limits, std::time_t now);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void set_global(const std::string& name, Value value) { root_->variables[name] = std::move(value); }
  Text render(const Body& body);

  // For filters, methods and globals.
  Value make_list(std::vector<Value> items, bool tuple = false);
  std::shared_ptr<Dict> make_dict();
  Value call(const Value& callee, const Arguments& args);
  Value apply_filter(const std::string& name, const Value& operand, const Arguments& args);
  bool apply_test(const std::string& name, const Value& operand, const Arguments& args);
  Value attribute(const Value& object, const std::string& name, int line);
  Value index(const Value& object, const Value& key, int line);
  // Elements of a list, keys of a mapping, characters of a string.
  std::vector<Value> iterate(const Value& value, int line);
  // An entry of a mapping by its key; null when absent.
  Value* find_item(Dict& dict, const Value& key, int line);
  void set_item(Dict& dict, const Value& key, Value value, int line);
  // Each charge comes before what it pays for: bytes that are kept, bytes that are only looked at, steps.
  void charge_bytes(uint64_t bytes, int line);
  void charge_work(uint64_t bytes, int line) { charge_steps(bytes / 64, line); }
  void charge_steps(uint64_t steps, int line);
  std::time_t now() const { return now_; }

  // One level deeper for as long as it lives.
  class Deeper {
   public:
    Deeper(Interpreter* interpreter, int line);
    ~Deeper() { --interpreter_->depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Interpreter* interpreter_;
  };

 private:
  enum class Flow { kNext, kBreak, kContinue };

  Flow run(const Body& body);
  Flow run(const Stmt& stmt);
  Flow run_for(const Stmt& stmt);
  void run_set(const Stmt& stmt);
  void run_call(const Stmt& stmt);
  Text capture(const Body& body);
  Flow run_scoped(const Body& body, std::shared_ptr<Scope> scope);
  void assign(const std::vector<std::string>& targets, Value value, int line);
  void set_loop_variable(Dict& loop, const std::vector<Value>& items, size_t i);
  void print(const Value& value, int line);
  void write(const Text& text, int line);

  Value evaluate(const Expr& expr);
  Value evaluate_name(const Expr& expr);
  Value evaluate_binary(const Expr& expr);
  Value evaluate_call(const Expr& expr);
  Value evaluate_filter(const Expr& expr, const Value* operand);
  Value evaluate_slice(const Expr& expr);
  Value call_macro(const Function& macro, const Arguments& args, const Value* caller);
  Arguments arguments(const Expr& expr);
  Value make_function(Function function);
  Value invoke(const Value& callee, const Arguments& args, const Value* caller);

  Limits limits_;
  std::time_t now_;
  std::shared_ptr<Scope> root_;
  std::shared_ptr<Scope> scope_;
  Text* output_ = nullptr;
  uint64_t steps_ = 0;
  uint64_t bytes_ = 0;
  int depth_ = 0;
  std::vector<std::shared_ptr<List>> lists_;
  std::vector<std::shared_ptr<Dict>> dicts_;
  std::vector<std::shared_ptr<Function>> functions_;
};

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_INTERPRETER_H_
