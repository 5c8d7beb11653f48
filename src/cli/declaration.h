// What a verb declared to CLI11, in the terms in which users see it: names, kind of value, choices, heading,
// environment twin. Help pages, error lines and shell completion are made from this one view, so that none of them can
// fall behind the parser.
#ifndef TESSERA_CLI_DECLARATION_H_
#define TESSERA_CLI_DECLARATION_H_

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tessera {

enum class ValueKind { kNone, kWhole, kNumber, kText, kFile, kChoice };

struct Flag {
  CLI::Option* option = nullptr;
  std::string heading;  // "Sampling"
  std::vector<std::string>
      names;             // "-n", "--predict"; the last is the long one. Empty: only an argument without a name
  std::string position;  // "MODEL" when it may also stand without its name
  ValueKind kind = ValueKind::kNone;
  std::string placeholder;  // "N"
  std::vector<std::string> choices;
  std::string expected;     // "a whole number from 1 to 1024"
  std::string environment;  // "TESSERA_PREDICT", "TESSERA_RUN_PROMPT"; empty: no twin
  bool repeatable = false;
};

// Of the verb and its option groups, in order of declaration, without --help and hidden ones.
std::vector<Flag> flags_of(CLI::App& verb);

std::vector<CLI::App*> verbs_of(CLI::App& app);              // the named ones
CLI::App* verb_named(CLI::App& app, std::string_view name);  // or nullptr
std::string full_name(const CLI::App& verb);                 // "tessera eval kl"

// What holds for all verbs: the last of a repeated flag wins, a flag that may be repeated takes one value each time.
void apply_conventions(CLI::App& app);

// Environment twins take effect only in the verb that runs.
void enable_environment(CLI::App& verb);

// The candidate that was probably meant by `word`, or "". Leading dashes do not count.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tessera

#endif  // TESSERA_CLI_DECLARATION_H_
