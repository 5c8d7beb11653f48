#include "cli/usage_error.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "cli/declaration.h"
#include "formats/text.h"

namespace tessera {
namespace {

// The verb whose flags were being read: the deepest one that was named.
CLI::App& selected(CLI::App& app) {
  for (CLI::App* verb : app.get_subcommands()) {
    if (!verb->get_name().empty()) return selected(*verb);
  }
  return app;
}

std::string verb_list(CLI::App& verb) {
  std::string names;
  for (CLI::App* child : verbs_of(verb)) names += (names.empty() ? "" : ", ") + child->get_name();
  return names;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string guess = nearest(word, candidates);
  return guess.empty() ? "" : fmt::format("; did you mean {}?", guess);
}

// What the parser could not place.
std::string unexpected(CLI::App& verb, std::string word) {
  const std::string help = " (" + full_name(verb) + " --help)";
  if (word.size() > 1 && word[0] == '-') {
    word = word.substr(0, word.find('='));
    std::vector<std::string> names = {"--help"};
    for (const Flag& flag : flags_of(verb)) names.insert(names.end(), flag.names.begin(), flag.names.end());
    return "unknown flag " + word + did_you_mean(word, names) + help;
  }
  if (!verbs_of(verb).empty()) {
    std::vector<std::string> names;
    for (CLI::App* child : verbs_of(verb)) names.push_back(child->get_name());
    return fmt::format("no verb \"{}\"{}{}", word, did_you_mean(word, names), help);
  }
  return fmt::format("unexpected argument \"{}\"{}", word, help);
}

bool names_option(std::string_view message, const std::string& name) {
  constexpr std::string_view kConvert = "Could not convert: ";
  if (message.starts_with(kConvert)) message.remove_prefix(kConvert.size());
  return message.starts_with(name) &&
         (message.size() == name.size() || message[name.size()] == ':' || message[name.size()] == ' ');
}

// The flag as it stands on the command line (the last time), and its value there.
struct Given {
  std::string name, value;
};

Given find_given(const Flag& flag, const std::vector<std::string>& arguments) {
  for (size_t i = arguments.size(); i-- > 0;) {
    const std::string& argument = arguments[i];
    for (const std::string& name : flag.names) {
      if (argument == name) return {name, i + 1 < arguments.size() ? arguments[i + 1] : ""};
      if (argument.starts_with(name + "=")) return {name, argument.substr(name.size() + 1)};
      if (name.size() == 2 && argument.starts_with(name)) return {name, argument.substr(2)};
    }
  }
  // Not there: an argument without a name, or the variable that stands in for the flag.
  const auto& results = flag.option->results();
  const char* variable = flag.environment.empty() ? nullptr : std::getenv(flag.environment.c_str());
  if (variable != nullptr && flag.position.empty()) return {flag.environment, variable};
  return {flag.position.empty() ? flag.names.back() : flag.position, results.empty() ? "" : results.back()};
}

template <class E>
bool is(const CLI::ParseError& error) {
  return dynamic_cast<const E*>(&error) != nullptr;
}

std::string bad_flag(const Flag& flag, const CLI::ParseError& error, const std::vector<std::string>& arguments) {
  if (is<CLI::RequiredError>(error)) {
    const std::string name = flag.names.empty() ? flag.position : flag.names.back();
    const std::string text = flag.option->get_description();
    return fmt::format("{} is required: {}", name, text.substr(0, text.find(';')));
  }
  const Given given = find_given(flag, arguments);
  if (is<CLI::ArgumentMismatch>(error)) return fmt::format("{}: expected {}, found nothing", given.name, flag.expected);
  if (!is<CLI::ConversionError>(error) && !is<CLI::ValidationError>(error)) return error.what();
  std::string guess;
  if (const std::string near = nearest(given.value, flag.choices); !near.empty())
    guess = fmt::format("; did you mean {}?", near);
  return fmt::format("{}: expected {}, found \"{}\"{}", given.name, flag.expected, given.value, guess);
}

std::string message_of(CLI::App& verb, const CLI::ParseError& error, const std::vector<std::string>& arguments) {
  // What nobody knows comes first: a misspelled flag also makes others missing.
  if (const auto rest = verb.remaining(); !rest.empty()) {
    const auto flag =
        std::ranges::find_if(rest, [](const std::string& word) { return word.size() > 1 && word[0] == '-'; });
    const bool is_verb = !verbs_of(verb).empty() && rest.front()[0] != '-';
    return unexpected(verb, flag == rest.end() || is_verb ? rest.front() : *flag);
  }
  if (is<CLI::RequiredError>(error) && verb.get_require_subcommand_min() > 0) {
    return fmt::format("expected one of {} ({} --help)", verb_list(verb), full_name(verb));
  }
  for (const Flag& flag : flags_of(verb)) {
    if (names_option(error.what(), flag.option->get_name())) return bad_flag(flag, error, arguments);
  }
  return error.what();
}

}  // namespace

std::string usage_error(CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& arguments) {
  CLI::App& verb = selected(app);
  std::string line = full_name(verb) + ": " + message_of(verb, error, arguments);
  std::ranges::replace(line, '\n', ' ');
  return printable(line);
}

}  // namespace tessera
