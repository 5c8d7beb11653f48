// One line for what is wrong with a command line: the flag as users know it, what was expected, what was found.
//   tessera run: --temp: expected a number, found "abc"
//   tessera run: unknown flag --tpo-k; did you mean --top-k? (tessera run --help)
#ifndef TESSERA_CLI_USAGE_ERROR_H_
#define TESSERA_CLI_USAGE_ERROR_H_

#include <string>
#include <vector>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace tessera {

// arguments: as given to the parser, to tell a flag from its environment twin.
std::string usage_error(CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& arguments);

}  // namespace tessera

#endif  // TESSERA_CLI_USAGE_ERROR_H_
