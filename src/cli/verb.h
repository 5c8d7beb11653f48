// The list of verbs. Adding one: its file with an add_NAME_verb(), declared here, and its line in the list of cli.cc.
#ifndef TESSERA_CLI_VERB_H_
#define TESSERA_CLI_VERB_H_

#include <functional>
#include <string>

#include "base/status.h"

namespace CLI {
class App;
}

namespace tessera {

// Called from a verb's callback with the verb's work; reports its Status in one line and sets the exit code.
using VerbRunner = std::function<void(const std::function<Status()>&)>;

void add_run_verb(CLI::App& app, VerbRunner run);
void add_inspect_verb(CLI::App& app, VerbRunner run);
void add_eval_verb(CLI::App& app, VerbRunner run);
void add_quantize_verb(CLI::App& app, VerbRunner run);
void add_convert_verb(CLI::App& app, VerbRunner run);
void add_plan_verb(CLI::App& app, VerbRunner run);
void add_bench_verb(CLI::App& app, VerbRunner run);
void add_probe_verb(CLI::App& app, VerbRunner run);
void add_synth_verb(CLI::App& app, VerbRunner run);
void add_completion_verb(CLI::App& app, VerbRunner run);

int cli_main(int argc, char** argv);

}  // namespace tessera

#endif  // TESSERA_CLI_VERB_H_
