#include "cli/foreign_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <string_view>

#include "cli/declaration.h"
#include "formats/text.h"

namespace tessera {
namespace {

struct Foreign {
  std::string_view flag;
  bool takes_value;
  bool refused;  // the output would differ from what was asked for
  std::string_view why;
};

constexpr std::string_view kNoGpu = "there is no GPU here, all layers run on the CPU";
constexpr std::string_view kPacked = "weights are packed in memory, file pages are given back";
constexpr std::string_view kNoDownload = "nothing is downloaded here; fetch the file and name it with -m";
constexpr std::string_view kNoGrammar = "output cannot be constrained yet";

constexpr Foreign kForeign[] = {
    {"-ngl", true, false, kNoGpu},
    {"--n-gpu-layers", true, false, kNoGpu},
    {"--gpu-layers", true, false, kNoGpu},
    {"-sm", true, false, kNoGpu},
    {"--split-mode", true, false, kNoGpu},
    {"-mg", true, false, kNoGpu},
    {"--main-gpu", true, false, kNoGpu},
    {"-ts", true, false, kNoGpu},
    {"--tensor-split", true, false, kNoGpu},
    {"-fa", true, false, "attention is always tiled"},
    {"--flash-attn", true, false, "attention is always tiled"},
    {"-ub", true, false, "one batch size is enough: -b"},
    {"--ubatch-size", true, false, "one batch size is enough: -b"},
    {"-tb", true, false, "one number of threads is enough: -t"},
    {"--threads-batch", true, false, "one number of threads is enough: -t"},
    {"--mlock", false, false, "weights are packed in memory, there is nothing to lock"},
    {"--no-mmap", false, false, kPacked},
    {"-mmp", true, false, kPacked},
    {"--mmap", true, false, kPacked},
    {"-rtr", false, false, "weights are always repacked"},
    {"--jinja", false, false, "templates are always Jinja"},
    {"--no-warmup", false, false, "there is no warm-up"},
    {"--color", false, false, "prompt and text look the same"},
    {"--simple-io", false, false, "input and output are always simple"},
    {"-hf", true, true, kNoDownload},
    {"--hf-repo", true, true, kNoDownload},
    {"--hf-file", true, true, kNoDownload},
    {"-mu", true, true, kNoDownload},
    {"--model-url", true, true, kNoDownload},
    {"--grammar", true, true, kNoGrammar},
    {"--grammar-file", true, true, kNoGrammar},
    {"--json-schema", true, true, kNoGrammar},
    {"-j", true, true, kNoGrammar},
    {"--lora", true, true, "adapters cannot be loaded yet"},
};

bool is_number(std::string_view text) {
  return text.size() > 1 && std::isdigit(static_cast<unsigned char>(text[1])) != 0;
}

// Every spelling of the verb's own flags, and whether a value follows it.
std::map<std::string, bool> names_of(CLI::App& verb) {
  std::map<std::string, bool> names;
  for (const Flag& flag : flags_of(verb)) {
    for (const std::string& name : flag.names) names[name] = flag.kind != ValueKind::kNone;
  }
  return names;
}

}  // namespace

CLI::App& leading_verb(CLI::App& app, const std::vector<std::string>& arguments) {
  CLI::App* verb = &app;
  for (const std::string& word : arguments) {
    CLI::App* next = verb_named(*verb, word);
    if (next == nullptr) break;
    verb = next;
  }
  return *verb;
}

Result<std::vector<std::string>> translate_arguments(CLI::App& app, std::vector<std::string> arguments) {
  if (!arguments.empty() && arguments.front() == "help") {
    arguments.erase(arguments.begin());
    arguments.push_back("--help");
  }
  const std::map<std::string, bool> names = names_of(leading_verb(app, arguments));
  std::vector<std::string> translated;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const std::string name = argument.substr(0, argument.find('='));
    const auto* foreign = std::ranges::find(kForeign, name, &Foreign::flag);
    if (foreign != std::end(kForeign) && !names.contains(name)) {
      if (foreign->refused) return invalid_argument("{}: {}", foreign->flag, foreign->why);
      std::fprintf(stderr, "note: %s is ignored: %s\n", printable(name).c_str(), foreign->why.data());
      // A value never begins with a dash here, except a negative number.
      const bool has_next = i + 1 < arguments.size() && name == argument;
      if (foreign->takes_value && has_next && (!arguments[i + 1].starts_with('-') || is_number(arguments[i + 1]))) ++i;
      continue;
    }
    // -ctk q8_0, -cnv, -temp 0
    const bool one_dash = name.size() > 2 && name[0] == '-' && name[1] != '-' && names.contains("-" + name);
    translated.push_back(one_dash ? "-" + argument : argument);
    // Its value is nobody's flag: `-p --color` is a prompt.
    const auto own = names.find(one_dash ? "-" + name : name);
    if (own != names.end() && own->second && name == argument && i + 1 < arguments.size()) {
      translated.push_back(arguments[++i]);
    }
  }
  return translated;
}

}  // namespace tessera
