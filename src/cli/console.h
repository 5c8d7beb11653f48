// What verbs show and hear: progress on a terminal, Ctrl-C, peak memory, text from files.
#ifndef TESSERA_CLI_CONSOLE_H_
#define TESSERA_CLI_CONSOLE_H_

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"

namespace tessera {

// The first Ctrl-C asks the verb to end (interrupted()); the second ends the process.
void install_interrupt_handler();
bool interrupted();
Status not_interrupted();  // kCancelled once interrupted()
void clear_interrupt();  // what was to end has ended; the next Ctrl-C is a first one again

// A bar on stderr, redrawn at most ten times a second; nothing when stderr is no terminal. Cleared when it goes.
class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  ~ProgressBar();
  // note: shown after the bar. False once Ctrl-C was pressed.
  bool update(uint64_t done, uint64_t total, const std::string& note = "");

 private:
  std::string title_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point begin_, last_;
};

uint64_t peak_memory_bytes();        // of this process so far
std::string human_bytes(double bytes);  // "1.10 GB"
Result<std::string> read_text_file(const std::string& path);  // "-": standard input

// What verbs print as JSON; names and texts of a file may be in it: bytes that are no UTF-8 are replaced, control characters spelled
// out. indent: -1 for one line.
std::string json_text(const nlohmann::ordered_json& json, int indent);

}  // namespace tessera

#endif  // TESSERA_CLI_CONSOLE_H_
