// The program's command line: the list of verbs, what they share, and the exit code: 0 done, 1 failed, 2 wrong command
// line, 130 interrupted.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/declaration.h"
#include "cli/foreign_flags.h"
#include "cli/help.h"
#include "cli/usage_error.h"
#include "cli/verb.h"
#include "formats/text.h"
#include "kernels/kernels.h"

namespace tessera {
namespace {

constexpr const char* kFooter = R"(Examples:
  tessera run -p "Once upon a time"             the small model of this repository
  tessera run -m model.gguf -p "..." -n 200     any GGUF file or Hugging Face folder
  tessera inspect model.gguf                    what is in it, how much memory it takes
  tessera plan model.gguf                       does it fit, how fast will it be

Flags have environment variables, which --help names; the command line wins.
Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.)";

constexpr std::array kVerbs = {add_run_verb,  add_inspect_verb, add_eval_verb,  add_quantize_verb, add_convert_verb,
                               add_plan_verb, add_bench_verb,   add_probe_verb, add_synth_verb,  add_completion_verb};

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2, kInterrupted = 130 };

// The exit code of a verb's work; prints its error.
int report(const Status& status, const std::string& verb) {
  if (status.ok()) return kDone;
  if (status.code() == StatusCode::kCancelled) return kInterrupted;
  // Names of tensors, keys and files are in it.
  std::fprintf(stderr, "%s: %s\n", verb.c_str(), printable(status.message()).c_str());
  // A message about a value that the parser let through begins with its flag.
  const bool is_usage = status.code() == StatusCode::kInvalidArgument && status.message().starts_with('-');
  return is_usage ? kUsage : kFailed;
}

int parse_and_run(CLI::App& app, std::vector<std::string> arguments, const int& exit_code) {
  CLI::App& verb = leading_verb(app, arguments);
  auto translated = translate_arguments(app, std::move(arguments));
  if (!translated.ok()) return report(translated.status(), full_name(verb));
  CLI::App& chosen = leading_verb(app, *translated);
  enable_environment(chosen);
  try {
    app.parse(std::vector<std::string>(translated->rbegin(), translated->rend()));  // CLI11 takes them from the end
  } catch (const CLI::CallForHelp& help) {
    const auto rest = chosen.remaining();
    if (!verbs_of(chosen).empty() && !rest.empty() && !rest.front().starts_with('-')) {  // help rnu
      std::fprintf(stderr, "%s\n", usage_error(app, help, *translated).c_str());
      return kUsage;
    }
    std::fputs(help_page(chosen).c_str(), stdout);
    return kDone;
  } catch (const CLI::CallForAllHelp&) {
    std::fputs(all_help_pages(app).c_str(), stdout);
    return kDone;
  } catch (const CLI::CallForVersion&) {
    std::puts(version_text().c_str());
    return kDone;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s\n", usage_error(app, error, *translated).c_str());
    return kUsage;
  }
  if (app.get_subcommands().empty()) std::fputs(help_page(app).c_str(), stdout);
  return exit_code;
}

// Whether something that was printed could not be written. A reader that left early (head) is no failure.
bool output_lost() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return false;
  pollfd reader{STDOUT_FILENO, POLLOUT, 0};
  return ::poll(&reader, 1, 0) != 1 || (reader.revents & POLLERR) == 0;
}

}  // namespace

int cli_main(int argc, char** argv) {
  install_interrupt_handler();
  CLI::App app("runs transformer models fast", "tessera");
  app.set_version_flag("--version", version_text, "Version, build and kernels");
  app.set_help_all_flag("--help-all", "Help of every verb");
  app.require_subcommand(0, 1);

  int exit_code = kDone;
  std::string verb_name = "tessera";
  const VerbRunner runner = [&](const std::function<Status()>& work) {
    Status status = check_kernel_environment();
    if (status.ok()) status = work();
    exit_code = report(status, verb_name);
  };
  for (const auto add : kVerbs) add(app, runner);
  app.footer(kFooter);
  apply_conventions(app);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  verb_name = full_name(leading_verb(app, arguments));
  try {
    const int code = parse_and_run(app, std::move(arguments), exit_code);
    if (!output_lost()) return code;
    std::fprintf(stderr, "%s: standard output: cannot write\n", verb_name.c_str());
    return kFailed;
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "tessera: %s\n", printable(error.what()).c_str());
    return kFailed;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory\n", verb_name.c_str());
    return kFailed;
  }
}

}  // namespace tessera
