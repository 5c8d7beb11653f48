#include "server/plan_query.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <variant>

namespace tessera {
namespace {

using Text = std::string PlanOptions::*;
using Whole = int64_t PlanOptions::*;
using Number = double PlanOptions::*;
using Flag = bool PlanOptions::*;
using Seed = uint64_t PlanOptions::*;
using WholeList = std::vector<int64_t> PlanOptions::*;
using TextList = std::vector<std::string> PlanOptions::*;

struct Parameter {
  const char* name;
  std::variant<Text, Whole, Number, Flag, Seed, WholeList, TextList> field;
  int64_t least = 0, most = 0;  // of whole numbers
};

constexpr int64_t kMostTokens = 1 << 30, kMostChips = 256, kMostBatch = 16384;
constexpr double kMostNumber = 1e15;
constexpr size_t kMostOfList = 16, kMostText = 64;

const std::vector<Parameter>& parameters() {
  static const std::vector<Parameter> kList = {
      {"model", &PlanOptions::model},
      {"hardware", &PlanOptions::hardware},
      {"prompt", &PlanOptions::prompt_tokens, 1, kMostTokens},
      {"generate", &PlanOptions::generated_tokens, 0, kMostTokens},
      {"batch", &PlanOptions::batches, 1, kMostBatch},
      {"chips", &PlanOptions::chips, 1, kMostChips},
      {"weights", &PlanOptions::weight_types},
      {"max-chips", &PlanOptions::max_chips, 1, kMostChips},
      {"mesh", &PlanOptions::mesh},
      {"prefill-layout", &PlanOptions::prefill_layout},
      {"decode-layout", &PlanOptions::decode_layout},
      {"all-layouts", &PlanOptions::all_layouts},
      {"kv", &PlanOptions::kv_type},
      {"objective", &PlanOptions::objective},
      {"max-first-token", &PlanOptions::max_prefill_seconds},
      {"max-per-token", &PlanOptions::max_step_seconds},
      {"max-memory", &PlanOptions::max_memory_gib},
      {"max-cost", &PlanOptions::max_cost_per_million},
      {"rate", &PlanOptions::requests_per_second},
      {"requests", &PlanOptions::requests, 1, 100'000},
      {"prompt-lengths", &PlanOptions::prompt_lengths},
      {"output-lengths", &PlanOptions::output_lengths},
      {"replicas", &PlanOptions::replicas, 1, 4096},
      {"prefill-replicas", &PlanOptions::prefill_replicas, 0, 4096},
      {"target-first-token", &PlanOptions::target_ttft_seconds},
      {"target-per-token", &PlanOptions::target_tpot_seconds},
      {"seed", &PlanOptions::seed, 0, INT64_MAX},
  };
  return kList;
}

std::string shortened(const std::string& text) {
  if (text.size() <= kMostText) return text;
  size_t end = kMostText - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside of a character
  return text.substr(0, end) + "...";
}

// 512, or 32k and 1m as on the command line.
Result<int64_t> read_whole(const Parameter& p, const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, value);
  int64_t unit = 1;
  if (error == std::errc() && at + 1 == end && std::string_view("kKmM").find(*at) != std::string_view::npos)
    unit = (*at++ | 0x20) == 'k' ? 1 << 10 : 1 << 20;
  if (error != std::errc() || at != end || value < 0 || value > INT64_MAX / unit || value * unit < p.least ||
      value * unit > p.most)
    return invalid_argument("expected a whole number from {} to {}, found '{}'", p.least, p.most, shortened(text));
  return value * unit;
}

Result<double> read_number(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || !(value >= 0 && value <= kMostNumber))
    return invalid_argument("expected a number from 0 to {:g}, found '{}'", kMostNumber, shortened(text));
  return value;
}

Result<bool> read_flag(const std::string& text) {
  for (const char* yes : {"", "1", "true", "on"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "false", "off"}) {
    if (text == no) return false;
  }
  return invalid_argument("expected true or false, found '{}'", shortened(text));
}

Result<std::string> read_text(const std::string& text) {
  if (text.size() > kMostText)
    return invalid_argument("expected at most {} bytes, found '{}'", kMostText, shortened(text));
  return text;
}

template <class T, class Read>
Status add_to_list(std::vector<T>* list, const std::string& text, Read read) {
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    TESSERA_ASSIGN_OR_RETURN(T value, read(text.substr(at, end - at)));
    if (list->size() == kMostOfList) return invalid_argument("expected at most {} values", kMostOfList);
    list->push_back(std::move(value));
    at = end + 1;
  }
  return Status();
}

// Sets one option. `first`: no parameter of this name came before.
struct Setter {
  const Parameter& p;
  const std::string& text;
  bool first;
  PlanOptions* options;

  template <class Field, class Value>
  Status set(Field field, Result<Value> value) const {
    if (!value.ok()) return value.status();
    options->*field = *std::move(value);
    return Status();
  }
  Status operator()(Text field) const { return set(field, read_text(text)); }
  Status operator()(Whole field) const { return set(field, read_whole(p, text)); }
  Status operator()(Seed field) const { return set(field, read_whole(p, text)); }
  Status operator()(Number field) const { return set(field, read_number(text)); }
  Status operator()(Flag field) const { return set(field, read_flag(text)); }
  Status operator()(WholeList field) const {
    if (first) (options->*field).clear();
    return add_to_list(&(options->*field), text, [this](const std::string& t) { return read_whole(p, t); });
  }
  Status operator()(TextList field) const {
    if (first) (options->*field).clear();
    return add_to_list(&(options->*field), text, read_text);
  }
};

void reset(const Parameter& p, const PlanOptions& given, PlanOptions* options) {
  const bool is_subject = std::string_view(p.name) == "model" || std::string_view(p.name) == "hardware";
  const PlanOptions defaults;
  std::visit([&](auto field) { options->*field = is_subject ? given.*field : defaults.*field; }, p.field);
}

}  // namespace

std::vector<std::string> plan_parameters() {
  std::vector<std::string> names;
  for (const Parameter& p : parameters()) names.emplace_back(p.name);
  return names;
}

Status apply_plan_query(const std::vector<QueryParameter>& query, PlanOptions* options, std::string* parameter) {
  const PlanOptions given = *options;
  std::set<std::string> seen;
  for (const QueryParameter& q : query) {
    *parameter = shortened(q.name);
    const auto p = std::ranges::find_if(parameters(), [&](const Parameter& known) { return q.name == known.name; });
    if (p == parameters().end())
      return invalid_argument("unknown parameter '{}'; known: {}", shortened(q.name),
                              fmt::join(plan_parameters(), ", "));
    const bool first = seen.insert(q.name).second;
    if (q.value.empty() && !std::holds_alternative<Flag>(p->field)) {
      reset(*p, given, options);
      continue;
    }
    const Status status = std::visit(Setter{*p, q.value, first, options}, p->field);
    if (!status.ok()) return status.with_context(p->name);
  }
  parameter->clear();
  return Status();
}

}  // namespace tessera
