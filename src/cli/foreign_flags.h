// The command line as users of llama.cpp type it: long flags with one dash, flags that mean nothing here, `help VERB`.
#ifndef TESSERA_CLI_FOREIGN_FLAGS_H_
#define TESSERA_CLI_FOREIGN_FLAGS_H_

#include <string>
#include <vector>

#include "base/status.h"

namespace CLI {
class App;
}

namespace tessera {

// The verb that the leading words name: app itself, `run`, `kl` of `eval kl`.
CLI::App& leading_verb(CLI::App& app, const std::vector<std::string>& arguments);

// Arguments for the parser. Says on stderr which flags it leaves out; an error for a flag whose result would not be
// what was asked for. A flag that the verb has is never touched.
Result<std::vector<std::string>> translate_arguments(CLI::App& app, std::vector<std::string> arguments);

}  // namespace tessera

#endif  // TESSERA_CLI_FOREIGN_FLAGS_H_
