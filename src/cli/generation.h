// One answer of a model as the command line sees it: a request goes into the engine, text comes out as it becomes showable,
// stop strings and Ctrl-C end it.
#ifndef TESSERA_CLI_GENERATION_H_
#define TESSERA_CLI_GENERATION_H_

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "runtime/engine.h"

namespace tessera {

// Everything that happened between the prompt and the end.
struct Generation {
  std::string text;
  std::vector<SampledToken> tokens;
  std::string finish;  // to_string(FinishReason), "interrupted" or "closed" (nobody reads the output any more)
  RequestTimings timings;
  SequenceId sequence = 0;  // alive when the request keeps it
};

struct GenerationOptions {
  std::vector<std::string> stop;  // texts that end the answer and are not part of it
  // The output continues nothing, so a space that the tokenizer puts before a text is none.
  bool starts_text = false;
};

// show: called with text as it becomes showable; false: nobody is listening any more.
using ShowText = std::function<bool(const std::string&)>;

Result<Generation> generate(Engine& engine, Request request, const GenerationOptions& options, const ShowText& show);

// To standard output, at once, to a terminal without control characters; false when it is closed.
bool write_out(const std::string& text);

// One line on stderr: load, prompt and generation, speed, memory.
void print_summary(const Generation& generation, double load_seconds);
// One object: prompt, text, finish_reason, tokens, logprobs where asked for, timings, peak memory.
std::string to_json(const Engine& engine, const Generation& generation, const std::string& prompt, double load_seconds,
                    bool logprobs);

}  // namespace tessera

#endif  // TESSERA_CLI_GENERATION_H_
