#include "cli/declaration.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

namespace tessera {
namespace {

constexpr int kManyValues = 1 << 20;  // CLI11 gives vectors about 2^29

std::string upper(std::string_view name) {
  std::string text;
  for (char c : name) text += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// "{a,b,c}" in a CLI11 type name.
std::vector<std::string> choices_in(std::string_view type) {
  const size_t open = type.find('{'), close = type.rfind('}');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
  std::vector<std::string> choices;
  for (const std::string& choice : CLI::detail::split(std::string(type.substr(open + 1, close - open - 1)), ','))
    choices.push_back(choice);
  return choices;
}

// " from 1 to 1024" for "INT in [1 - 1024]".
std::string range_in(std::string_view type) {
  constexpr std::string_view kIn = " in [";
  const size_t begin = type.find(kIn);
  if (begin == std::string_view::npos) return "";
  std::string range(type.substr(begin + kIn.size(), type.find(']', begin) - begin - kIn.size()));
  if (const size_t dash = range.find(" - "); dash != std::string::npos) range.replace(dash, 3, " to ");
  return " from " + range;
}

std::string join_or(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  return text;
}

// Kind, placeholder, choices and expectation, from CLI11's type name: a C++ type or our own word, then what the
// validators say.
void describe_value(Flag* flag) {
  const CLI::Option& option = *flag->option;
  if (option.get_items_expected_max() == 0) {
    flag->expected = "true or false";
    return;
  }
  const std::string type = option.get_type_name();
  // What the validators say follows a colon; our KEY=TYPE:VALUE and [HOST:]PORT have none and are all name.
  const bool all_name = type.find('=') < type.find(':') || type.starts_with("[HOST:]");
  const std::string base = all_name ? type : type.substr(0, type.find(':'));
  flag->choices = choices_in(type);
  flag->placeholder = base == "INT" || base == "UINT" ? "N" : base == "FLOAT" ? "X" : base;
  if (!flag->choices.empty()) {
    flag->kind = ValueKind::kChoice;
    flag->expected = join_or(flag->choices);
    if (base == "TEXT") flag->placeholder = upper(flag->names.empty() ? "choice" : flag->names.back().substr(2));
  } else if (base == "INT" || base == "UINT") {
    flag->kind = ValueKind::kWhole;
    const bool suffixes = type.find("INT [") != std::string::npos;
    flag->expected = "a whole number" + range_in(type) + (suffixes ? " such as 512 or 32k" : "");
  } else if (base == "FLOAT") {
    flag->kind = ValueKind::kNumber;
    flag->expected = "a number" + range_in(type);
  } else {
    flag->kind = base == "FILE" || base == "MODEL" || base == "FOLDER" ? ValueKind::kFile : ValueKind::kText;
    flag->expected = flag->kind == ValueKind::kFile ? "a file" : "a text";
  }
}

// "EVAL_" of `eval kl`; "" of the program itself.
std::string verb_prefix(const CLI::App& verb) {
  if (verb.get_parent() == nullptr) return "";
  return verb.get_parent()->get_parent() == nullptr ? upper(verb.get_name()) + "_" : verb_prefix(*verb.get_parent());
}

// A variable that is set once is there for every verb, so it must mean the same to each: what does not has the verb in its name.
std::string environment_of(const std::string& name, const CLI::App& verb) {
  // Modes of one call; and TESSERA_KERNELS is taken.
  constexpr std::array<std::string_view, 6> kNoTwin = {"help", "help-all", "version", "kernels", "list", "state"};
  constexpr std::array<std::string_view, 6> kOfOneVerb = {"file", "force", "output", "prompt", "type", "weights"};
  if (std::ranges::find(kNoTwin, name) != kNoTwin.end()) return "";
  const bool of_one = std::ranges::find(kOfOneVerb, name) != kOfOneVerb.end();
  return "TESSERA_" + (of_one ? verb_prefix(verb) : "") + upper(name);
}

Flag describe(CLI::Option* option, const std::string& heading, const CLI::App& verb) {
  Flag flag;
  flag.option = option;
  flag.heading = option->get_group() == "Options" && !heading.empty() ? heading : option->get_group();
  for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
  if (option->get_positional()) flag.position = upper(option->get_name(true));
  if (!option->get_lnames().empty()) flag.environment = environment_of(option->get_lnames().front(), verb);
  flag.repeatable = option->get_items_expected_max() >= kManyValues;
  describe_value(&flag);
  return flag;
}

void collect(CLI::App& app, const std::string& heading, const CLI::App& verb, std::vector<Flag>* flags) {
  for (CLI::Option* option : app.get_options()) {
    if (option == app.get_help_ptr() || option == app.get_help_all_ptr() || option->get_group().empty()) continue;
    flags->push_back(describe(option, heading, verb));
  }
  for (CLI::App* group : app.get_subcommands([](CLI::App* a) { return a->get_name().empty(); })) {
    collect(*group, group->get_group(), verb, flags);
  }
}

// CLI11 would read 010 as 8 and 0x10 as 16.
std::string read_as_decimal(std::string& text) {
  const size_t begin = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  const size_t digit = std::min(text.find_first_not_of('0', begin), text.size());
  const bool prefixed = digit > begin && digit < text.size() && std::isalpha(static_cast<unsigned char>(text[digit])) != 0;
  if (prefixed && std::tolower(text[digit]) != 'k' && std::tolower(text[digit]) != 'm') return "no decimal number";
  const bool number = digit < text.size() && std::isdigit(static_cast<unsigned char>(text[digit])) != 0;
  if (number) text.erase(begin, digit - begin);
  return "";
}

std::string_view without_dashes(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of('-'), text.size()));
  return text;
}

// Insertions, deletions, changes and swaps of neighbours that lead from a to b.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(above, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1), above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

std::vector<Flag> flags_of(CLI::App& verb) {
  std::vector<Flag> flags;
  collect(verb, "", verb, &flags);
  return flags;
}

std::vector<CLI::App*> verbs_of(CLI::App& app) {
  return app.get_subcommands([](CLI::App* a) { return !a->get_name().empty() && !a->get_group().empty(); });
}

CLI::App* verb_named(CLI::App& app, std::string_view name) {
  for (CLI::App* verb : verbs_of(app)) {
    if (verb->get_name() == name) return verb;
  }
  return nullptr;
}

std::string full_name(const CLI::App& verb) {
  return verb.get_parent() == nullptr ? verb.get_name() : full_name(*verb.get_parent()) + " " + verb.get_name();
}

void apply_conventions(CLI::App& app) {
  for (const Flag& flag : flags_of(app)) {
    if (flag.kind == ValueKind::kWhole) flag.option->transform(CLI::Validator(read_as_decimal, ""));
    if (flag.repeatable) {
      flag.option->allow_extra_args(false);
    } else if (flag.kind != ValueKind::kNone) {
      flag.option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
  }
  for (CLI::App* verb : verbs_of(app)) apply_conventions(*verb);
}

void enable_environment(CLI::App& verb) {
  for (const Flag& flag : flags_of(verb)) {
    if (!flag.environment.empty()) flag.option->envname(flag.environment);
  }
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string_view wanted = without_dashes(word);
  if (wanted.empty()) return "";
  std::string best;
  size_t least = wanted.size() <= 2 ? 2 : wanted.size() <= 6 ? 3 : 4;  // fewer than this many changes
  for (const std::string& candidate : candidates) {
    const std::string_view name = without_dashes(candidate);
    // The beginning of a name is as good as the name with one letter wrong.
    const size_t d = wanted.size() >= 3 && name.starts_with(wanted) ? 1 : distance(wanted, name);
    if (d < least && d < std::max(wanted.size(), name.size())) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

}  // namespace tessera
