// The program's command line: verbs, what all of them share (environment twins, llama.cpp's spelling of flags, flags that mean
// nothing here), and the exit code: 0 ok, 1 error, 130 interrupted.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "cli/console.h"
#include "cli/verb.h"
#include "kernels/kernels.h"

namespace tessera {
namespace {

constexpr const char* kVersion = "tessera 0.1.0";

constexpr const char* kFooter = R"(Examples:
  tessera run -p "Once upon a time"             the small model of this repository
  tessera run -m model.gguf -p "..." -n 200     any GGUF file or Hugging Face folder
  tessera inspect -m model.gguf                 what is in it, how much memory it takes
  tessera plan model.gguf                       does it fit, how fast will it be

`tessera VERB --help` says everything about a verb. Every flag has an environment variable TESSERA_<FLAG>;
the command line wins.)";

constexpr std::array kVerbs = {add_run_verb,  add_inspect_verb, add_eval_verb,  add_quantize_verb, add_convert_verb,
                               add_plan_verb, add_bench_verb,   add_probe_verb, add_synth_verb};

// llama.cpp writes some long flags with one dash.
constexpr std::array<std::string_view, 7> kOneDash = {"-ctk", "-ctv", "-pg", "-npl", "-oe", "-sys", "-cnv"};

struct Meaningless {
  std::string_view flag;
  bool takes_value;
  std::string_view why;
};
constexpr std::array kMeaningless = {
    Meaningless{"-ngl", true, "there is no GPU here, all layers run on the CPU"},
    Meaningless{"--n-gpu-layers", true, "there is no GPU here, all layers run on the CPU"},
    Meaningless{"-fa", true, "attention is always tiled"},
    Meaningless{"--flash-attn", true, "attention is always tiled"},
    Meaningless{"-ub", true, "one batch size is enough: -b"},
    Meaningless{"--ubatch-size", true, "one batch size is enough: -b"},
    Meaningless{"--mlock", false, "weights are packed in memory, there is nothing to lock"},
    Meaningless{"--no-mmap", false, "weights are packed in memory, file pages are given back"},
    Meaningless{"-rtr", true, "weights are always repacked"},
    Meaningless{"--jinja", false, "templates are always Jinja"},
};

std::vector<std::string> normalize(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto* m = std::ranges::find(kMeaningless, argument, &Meaningless::flag);
    if (m != kMeaningless.end()) {
      std::fprintf(stderr, "note: %s is ignored: %s\n", argument.c_str(), std::string(m->why).c_str());
      // A value never begins with a dash here, except a negative number.
      if (m->takes_value && i + 1 < argc && (argv[i + 1][0] != '-' || std::isdigit(static_cast<unsigned char>(argv[i + 1][1])))) ++i;
      continue;
    }
    const bool one_dash = std::ranges::find(kOneDash, argument) != kOneDash.end();
    arguments.push_back(one_dash ? "-" + argument : argument);
  }
  std::ranges::reverse(arguments);  // as CLI11 wants them
  return arguments;
}

// --top-k reads TESSERA_TOP_K, in every verb.
void add_environment_twins(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const auto& names = option->get_lnames();
    if (names.empty() || names.front() == "help" || names.front() == "version" || !option->get_envname().empty()) continue;
    std::string variable = "TESSERA_";
    for (char c : names.front()) variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    option->envname(variable);
  }
  for (CLI::App* child : app.get_subcommands([](CLI::App*) { return true; })) add_environment_twins(*child);
}

// The verb that was probably meant, or "".
std::string nearest_verb(CLI::App& app, const std::string& word) {
  std::string best;
  size_t least = 3;
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) {
    const std::string& name = verb->get_name();
    std::vector<size_t> row(name.size() + 1);
    for (size_t j = 0; j <= name.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= name.size(); ++j) {
        const size_t changed = diagonal + (word[i - 1] == name[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < least) {
      least = row.back();
      best = name;
    }
  }
  return best;
}

int report(CLI::App& app, const CLI::ParseError& error, const std::string& verb) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
  std::string message = error.what();
  std::ranges::replace(message, '\n', ' ');
  std::fprintf(stderr, "error: %s\n", message.c_str());
  std::fprintf(stderr, "       `tessera%s --help` lists what there is\n", verb.empty() ? "" : (" " + verb).c_str());
  return 1;
}

}  // namespace

int cli_main(int argc, char** argv) {
  install_interrupt_handler();
  CLI::App app("Tessera runs transformer models fast.", "tessera");
  app.set_version_flag("--version", kVersion);
  app.set_help_all_flag("--help-all", "Help of every verb");
  app.footer(kFooter);
  app.require_subcommand(0, 1);

  int exit_code = 0;
  const VerbRunner runner = [&](const std::function<Status()>& work) {
    Status status = check_kernel_environment();
    if (status.ok()) status = work();
    if (status.ok()) return;
    if (status.code() == StatusCode::kCancelled) {
      exit_code = 130;
      return;
    }
    std::fprintf(stderr, "error: %s\n", status.message().c_str());
    exit_code = 1;
  };
  for (const auto add : kVerbs) add(app, runner);
  add_environment_twins(app);

  const auto verbs = app.get_subcommands([](CLI::App*) { return true; });
  if (argc > 1 && argv[1][0] != '-' && std::ranges::find(verbs, argv[1], [](CLI::App* v) { return v->get_name(); }) == verbs.end()) {
    const std::string suggestion = nearest_verb(app, argv[1]);
    std::fprintf(stderr, "error: no verb '%s'%s\n", argv[1],
                 suggestion.empty() ? "; `tessera --help` lists them" : ("; did you mean '" + suggestion + "'?").c_str());
    return 1;
  }
  try {
    app.parse(normalize(argc, argv));
    if (app.get_subcommands().empty()) std::fputs(app.help().c_str(), stdout);
  } catch (const CLI::ParseError& error) {
    return report(app, error, argc > 1 && argv[1][0] != '-' ? argv[1] : "");
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: out of memory\n");
    return 1;
  }
  return exit_code;
}

}  // namespace tessera
