#include "tokenizer/jinja/interpreter.h"

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/operations.h"

namespace tessera::jinja {
namespace {

// What looking up a key costs: its bytes are copied and hashed.
uint64_t key_bytes(const Value& key) { return key.is_text() ? key.text().size() : 0; }

}  // namespace

const Value* Arguments::find(size_t position, std::string_view name) const {
  if (position < positional.size()) return &positional[position];
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value Arguments::get(size_t position, std::string_view name, Value fallback) const {
  const Value* found = find(position, name);
  return found != nullptr ? *found : std::move(fallback);
}

Interpreter::Deeper::Deeper(Interpreter* interpreter, int line) : interpreter_(interpreter) {
  if (++interpreter_->depth_ > interpreter_->limits_.max_depth) {
    --interpreter_->depth_;
    throw TemplateError(StatusCode::kResourceExhausted, line,
                        fmt::format("nested deeper than {} levels", interpreter_->limits_.max_depth));
  }
}

Interpreter::Interpreter(const Limits& limits, std::time_t now)
    : limits_(limits), now_(now), root_(std::make_shared<Scope>()), scope_(root_) {}

Interpreter::~Interpreter() {
  for (const auto& function : functions_) {
    function->scope.reset();
    function->self = Value();
  }
  for (const auto& list : lists_) list->items.clear();
  for (const auto& dict : dicts_) dict->clear();
}

void Interpreter::charge_steps(uint64_t steps, int line) {
  steps_ += steps;
  if (steps_ > limits_.max_steps) {
    throw TemplateError(StatusCode::kResourceExhausted, line,
                        fmt::format("more than {} evaluation steps", limits_.max_steps));
  }
}

// Work on bytes counts as steps too, at 64 bytes a step: copying is cheap and not free.
void Interpreter::charge_bytes(uint64_t bytes, int line) {
  bytes_ += bytes;
  charge_work(bytes, line);
  if (bytes_ > limits_.max_bytes) {
    throw TemplateError(StatusCode::kResourceExhausted, line,
                        fmt::format("more than {} bytes of values", limits_.max_bytes));
  }
}

Value Interpreter::make_list(std::vector<Value> items, bool tuple) {
  charge_bytes(kValueBytes * (items.size() + 1), 0);
  lists_.push_back(std::make_shared<List>(List{std::move(items), tuple}));
  return Value(lists_.back());
}

std::shared_ptr<Dict> Interpreter::make_dict() {
  charge_bytes(kValueBytes * 4, 0);
  dicts_.push_back(std::make_shared<Dict>());
  return dicts_.back();
}

Value* Interpreter::find_item(Dict& dict, const Value& key, int line) {
  charge_work(key_bytes(key), line);
  return dict.find(key);
}

void Interpreter::set_item(Dict& dict, const Value& key, Value value, int line) {
  charge_bytes(kValueBytes + key_bytes(key), line);
  dict.set(key, std::move(value));
}

Value Interpreter::make_function(Function function) {
  charge_bytes(kValueBytes * 2 + function.name.size(), 0);
  functions_.push_back(std::make_shared<Function>(std::move(function)));
  return Value(functions_.back());
}

Text Interpreter::render(const Body& body) {
  Text output;
  output_ = &output;
  run(body);
  output_ = nullptr;
  return output;
}

void Interpreter::write(const Text& text, int line) {
  charge_bytes(text.size(), line);
  if (output_->size() + text.size() > limits_.max_output_bytes) {
    throw TemplateError(StatusCode::kResourceExhausted, line,
                        fmt::format("more than {} bytes of output", limits_.max_output_bytes));
  }
  output_->append(text);
}

void Interpreter::print(const Value& value, int line) {
  if (value.is_text()) {
    write(value.text(), line);
  } else if (!value.is_undefined()) {
    write(to_text(this, value, line), line);
  }
}

Text Interpreter::capture(const Body& body) {
  Text captured;
  Text* outer = std::exchange(output_, &captured);
  run_scoped(body, scope_);
  output_ = outer;
  return captured;
}

Interpreter::Flow Interpreter::run_scoped(const Body& body, std::shared_ptr<Scope> parent) {
  auto outer = std::exchange(scope_, std::make_shared<Scope>());
  scope_->parent = std::move(parent);
  const Flow flow = run(body);
  scope_ = std::move(outer);
  return flow;
}

Interpreter::Flow Interpreter::run(const Body& body) {
  for (const auto& stmt : body) {
    const Flow flow = run(*stmt);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const Stmt& stmt) {
  const Deeper deeper(this, stmt.line);
  charge_steps(1, stmt.line);
  switch (stmt.kind) {
    case StmtKind::kText: write(stmt.text, stmt.line); break;
    case StmtKind::kPrint: print(evaluate(*stmt.expr), stmt.line); break;
    case StmtKind::kIf: return run(evaluate(*stmt.expr).truthy() ? stmt.body : stmt.otherwise);
    case StmtKind::kFor: return run_for(stmt);
    case StmtKind::kSet:
    case StmtKind::kSetBlock: run_set(stmt); break;
    case StmtKind::kMacro:
      scope_->variables[stmt.name] = make_function({Function::Kind::kMacro, stmt.name, Value(), &stmt, scope_});
      break;
    case StmtKind::kCall: run_call(stmt); break;
    case StmtKind::kFilter: {
      const Value captured(capture(stmt.body));
      print(evaluate_filter(*stmt.expr, &captured), stmt.line);
      break;
    }
    case StmtKind::kWith: {
      auto scope = std::make_shared<Scope>();
      scope->parent = scope_;
      for (const Parameter& p : stmt.parameters) scope->variables[p.name] = evaluate(*p.fallback);
      return run_scoped(stmt.body, std::move(scope));
    }
    case StmtKind::kScope: return run(stmt.body);
    case StmtKind::kDo: evaluate(*stmt.expr); break;
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
  }
  return Flow::kNext;
}

void Interpreter::run_set(const Stmt& stmt) {
  if (stmt.kind == StmtKind::kSetBlock) {
    Value value(capture(stmt.body));
    if (stmt.expr != nullptr) value = evaluate_filter(*stmt.expr, &value);
    scope_->variables[stmt.targets[0]] = std::move(value);
    return;
  }
  Value value = evaluate(*stmt.expr);
  if (stmt.name.empty()) {
    assign(stmt.targets, std::move(value), stmt.line);
    return;
  }
  Expr name{ExprKind::kName, stmt.line, stmt.name, Value(), {}, {}};
  const Value object = evaluate_name(name);
  if (!object.is_dict() || object.dict().kind != Dict::Kind::kNamespace) {
    fail(stmt.line, "cannot set an attribute of '{}': it is no namespace", stmt.name);
  }
  set_item(object.dict(), text_value(stmt.targets[0]), std::move(value), stmt.line);
}

void Interpreter::assign(const std::vector<std::string>& targets, Value value, int line) {
  if (targets.size() == 1) {
    scope_->variables[targets[0]] = std::move(value);
    return;
  }
  const std::vector<Value> parts = iterate(value, line);
  if (parts.size() != targets.size())
    fail(line, "expected {} values to unpack, found {}", targets.size(), parts.size());
  for (size_t i = 0; i < parts.size(); ++i) scope_->variables[targets[i]] = parts[i];
}

// One mapping for all turns of a loop, as in Jinja: one per turn would hold ten times what it costs of the budget.
void Interpreter::set_loop_variable(Dict& loop, const std::vector<Value>& items, size_t i) {
  const int64_t index = static_cast<int64_t>(i);
  const int64_t length = static_cast<int64_t>(items.size());
  const auto set = [&](const char* name, Value value) { loop.set(text_value(name), std::move(value)); };
  set("index", Value(index + 1));
  set("index0", Value(index));
  set("revindex", Value(length - index));
  set("revindex0", Value(length - index - 1));
  set("first", Value(i == 0));
  set("last", Value(i + 1 == items.size()));
  set("length", Value(length));
  set("depth", Value(int64_t{1}));
  set("depth0", Value(int64_t{0}));
  set("previtem", i > 0 ? items[i - 1] : Value(Undefined{"loop.previtem"}));
  set("nextitem", i + 1 < items.size() ? items[i + 1] : Value(Undefined{"loop.nextitem"}));
}

Interpreter::Flow Interpreter::run_for(const Stmt& stmt) {
  std::vector<Value> items = iterate(evaluate(*stmt.expr), stmt.line);
  const auto outer = scope_;
  const auto fresh_scope = [&] {
    scope_ = std::make_shared<Scope>();
    scope_->parent = outer;
  };
  if (stmt.condition != nullptr) {
    std::vector<Value> kept;
    for (Value& item : items) {
      fresh_scope();
      assign(stmt.targets, item, stmt.line);
      if (evaluate(*stmt.condition).truthy()) kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  Flow flow = Flow::kNext;
  const auto loop = make_dict();
  loop->kind = Dict::Kind::kLoop;
  for (size_t i = 0; i < items.size() && flow != Flow::kBreak; ++i) {
    charge_steps(4, stmt.line);
    fresh_scope();
    assign(stmt.targets, items[i], stmt.line);
    set_loop_variable(*loop, items, i);
    scope_->variables["loop"] = Value(loop);
    flow = run(stmt.body);
  }
  scope_ = outer;
  return items.empty() ? run_scoped(stmt.otherwise, outer) : Flow::kNext;
}

void Interpreter::run_call(const Stmt& stmt) {
  const Expr& call_expr = *stmt.expr;
  const Value callee = evaluate(*call_expr.args[0]);
  const Value caller = make_function({Function::Kind::kMacro, "caller", Value(), &stmt, scope_});
  print(invoke(callee, arguments(call_expr), &caller), stmt.line);
}

Value Interpreter::evaluate(const Expr& expr) {
  const Deeper deeper(this, expr.line);
  charge_steps(1, expr.line);
  switch (expr.kind) {
    case ExprKind::kConstant: return expr.constant;
    case ExprKind::kName: return evaluate_name(expr);
    case ExprKind::kList: {
      std::vector<Value> items;
      for (const ExprPtr& item : expr.args) items.push_back(evaluate(*item));
      return make_list(std::move(items), expr.name == "tuple");
    }
    case ExprKind::kDict: {
      const auto dict = make_dict();
      for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
        const Value key = evaluate(*expr.args[i]);
        set_item(*dict, key, evaluate(*expr.args[i + 1]), expr.line);
      }
      return Value(dict);
    }
    case ExprKind::kAttribute: return attribute(evaluate(*expr.args[0]), expr.name, expr.line);
    case ExprKind::kIndex: {
      const Value object = evaluate(*expr.args[0]);
      return index(object, evaluate(*expr.args[1]), expr.line);
    }
    case ExprKind::kSlice: return evaluate_slice(expr);
    case ExprKind::kCall: return evaluate_call(expr);
    case ExprKind::kFilter: return evaluate_filter(expr, nullptr);
    case ExprKind::kTest: {
      const Value operand = evaluate(*expr.args[0]);
      return Value(apply_test(expr.name, operand, arguments(expr)));
    }
    case ExprKind::kUnary: {
      const Value operand = evaluate(*expr.args[0]);
      if (expr.name == "not") return Value(!operand.truthy());
      if (!operand.is_number())
        fail(expr.line, "expected a number after '{}', found {}", expr.name, operand.type_name());
      if (expr.name == "+") return operand;
      return binary_operation(this, "-", Value(int64_t{0}), operand, expr.line);
    }
    case ExprKind::kBinary: return evaluate_binary(expr);
    case ExprKind::kCondition:
      if (evaluate(*expr.args[1]).truthy()) return evaluate(*expr.args[0]);
      return expr.args[2] != nullptr ? evaluate(*expr.args[2]) : Value(Undefined{"the value of an inline if"});
  }
  return Value();
}

Value Interpreter::evaluate_name(const Expr& expr) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    const auto it = scope->variables.find(expr.name);
    if (it != scope->variables.end()) return it->second;
  }
  if (is_global_function(expr.name)) {
    return make_function({Function::Kind::kGlobal, expr.name, Value(), nullptr, nullptr});
  }
  return Value(Undefined{expr.name});
}

Value Interpreter::evaluate_binary(const Expr& expr) {
  const Value left = evaluate(*expr.args[0]);
  if (expr.name == "and") return left.truthy() ? evaluate(*expr.args[1]) : left;
  if (expr.name == "or") return left.truthy() ? left : evaluate(*expr.args[1]);
  return binary_operation(this, expr.name, left, evaluate(*expr.args[1]), expr.line);
}

Value Interpreter::evaluate_slice(const Expr& expr) {
  const Value object = evaluate(*expr.args[0]);
  Value parts[3];
  for (size_t i = 0; i < 3; ++i) {
    if (expr.args[i + 1] != nullptr) parts[i] = evaluate(*expr.args[i + 1]);
  }
  return slice(this, object, parts[0], parts[1], parts[2], expr.line);
}

Arguments Interpreter::arguments(const Expr& expr) {
  Arguments args;
  args.line = expr.line;
  for (size_t i = 1; i < expr.args.size(); ++i) args.positional.push_back(evaluate(*expr.args[i]));
  for (const auto& [name, value] : expr.named) args.named.emplace_back(name, evaluate(*value));
  return args;
}

Value Interpreter::evaluate_call(const Expr& expr) {
  const Value callee = evaluate(*expr.args[0]);
  return invoke(callee, arguments(expr), nullptr);
}

// A filter block gives its captured text to the innermost filter of the chain.
Value Interpreter::evaluate_filter(const Expr& expr, const Value* operand) {
  const Deeper deeper(this, expr.line);
  Value value;
  if (expr.args[0] == nullptr) {
    value = operand != nullptr ? *operand : Value();
  } else if (operand != nullptr && expr.args[0]->kind == ExprKind::kFilter) {
    value = evaluate_filter(*expr.args[0], operand);
  } else {
    value = evaluate(*expr.args[0]);
  }
  return apply_filter(expr.name, value, arguments(expr));
}

Value Interpreter::call(const Value& callee, const Arguments& args) { return invoke(callee, args, nullptr); }

Value Interpreter::invoke(const Value& callee, const Arguments& args, const Value* caller) {
  const Deeper deeper(this, args.line);
  charge_steps(1, args.line);
  if (callee.is_undefined()) fail(args.line, "'{}' is undefined", callee.undefined_name());
  if (!callee.is_function()) fail(args.line, "expected a function, found {}", callee.type_name());
  const auto function = callee.function();
  switch (function->kind) {
    case Function::Kind::kMacro: return call_macro(*function, args, caller);
    case Function::Kind::kMethod: return call_method(this, function->self, function->name, args);
    case Function::Kind::kGlobal: return call_global(this, function->name, args);
  }
  return Value();
}

Value Interpreter::call_macro(const Function& macro, const Arguments& args, const Value* caller) {
  const std::vector<Parameter>& parameters = macro.macro->parameters;
  if (args.positional.size() > parameters.size()) {
    fail(args.line, "{} takes {} arguments, found {}", macro.name, parameters.size(), args.positional.size());
  }
  const auto outer = std::exchange(scope_, std::make_shared<Scope>());
  scope_->parent = macro.scope;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    const Value* given = args.find(i, p.name);
    Value value = given != nullptr ? *given : p.fallback != nullptr ? evaluate(*p.fallback) : Value(Undefined{p.name});
    scope_->variables[p.name] = std::move(value);
  }
  if (caller != nullptr) scope_->variables["caller"] = *caller;
  Text captured;
  Text* outer_output = std::exchange(output_, &captured);
  run(macro.macro->body);
  output_ = outer_output;
  scope_ = outer;
  return Value(std::move(captured));
}

Value Interpreter::attribute(const Value& object, const std::string& name, int line) {
  if (object.is_undefined())
    fail(line, "'{}' is undefined (asked for its attribute '{}')", object.undefined_name(), name);
  charge_work(name.size(), line);
  if (object.is_dict() && object.dict().kind != Dict::Kind::kPlain) {
    if (Value* found = object.dict().find(text_value(name))) return *found;
  }
  if (has_method(object, name)) return make_function({Function::Kind::kMethod, name, object, nullptr, nullptr});
  if (object.is_dict()) {
    if (Value* found = object.dict().find(text_value(name))) return *found;
  }
  return Value(Undefined{name});
}

Value Interpreter::index(const Value& object, const Value& key, int line) {
  if (object.is_undefined()) fail(line, "'{}' is undefined (asked for an element)", object.undefined_name());
  if (object.is_dict()) {
    if (Value* found = find_item(object.dict(), key, line)) return *found;
  } else if (object.is_list() && key.is_int()) {
    const int64_t size = static_cast<int64_t>(object.items().size());
    const int64_t i = key.as_int() < 0 ? key.as_int() + size : key.as_int();
    if (i >= 0 && i < size) return object.items()[static_cast<size_t>(i)];
    return Value(Undefined{fmt::format("element {}", key.as_int())});
  } else if (object.is_text() && key.is_int()) {
    charge_work(2 * object.text().size(), line);
    const int64_t size = static_cast<int64_t>(character_count(object.text().bytes()));
    const int64_t i = key.as_int() < 0 ? key.as_int() + size : key.as_int();
    if (i < 0 || i >= size) return Value(Undefined{fmt::format("character {}", key.as_int())});
    const size_t begin = character_begin(object.text().bytes(), static_cast<size_t>(i));
    return Value(object.text().substr(begin, character_begin(object.text().bytes().substr(begin, 4), 1)));
  }
  if (key.is_text()) return attribute(object, key.text().bytes(), line);
  return Value(Undefined{"an element"});
}

std::vector<Value> Interpreter::iterate(const Value& value, int line) {
  std::vector<Value> items;
  if (value.is_list()) {
    charge_bytes(value.items().size() * kValueBytes, line);
    return value.items();
  } else if (value.is_dict()) {
    charge_bytes(value.dict().items().size() * kValueBytes, line);
    for (const auto& [key, item] : value.dict().items()) items.push_back(key);
  } else if (value.is_text()) {
    const Text& text = value.text();
    charge_work(text.size(), line);
    charge_bytes(character_count(text.bytes()) * 2 * kValueBytes, line);
    for (size_t i = 0; i < text.size(); i += items.back().text().size()) {
      items.emplace_back(text.substr(i, character_begin(text.bytes().substr(i, 4), 1)));
    }
  } else if (!value.is_undefined()) {
    fail(line, "cannot iterate over {}", value.type_name());
  }
  return items;
}

}  // namespace tessera::jinja
