// The pages behind --help, and --version. Made from the declared flags (declaration.h) instead of by CLI11's formatter:
// grouped headings, 100 columns, defaults and environment twins beside each flag.
#ifndef TESSERA_CLI_HELP_H_
#define TESSERA_CLI_HELP_H_

#include <string>

namespace CLI {
class App;
}

namespace tessera {

std::string help_page(CLI::App& verb);
std::string all_help_pages(CLI::App& app);

// "tessera 0.1.0 (release build, gcc 12.2.0)", and the kernels that this processor gets.
std::string version_text();

}  // namespace tessera

#endif  // TESSERA_CLI_HELP_H_
