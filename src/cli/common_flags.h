// Flags that several verbs have, and opening the model that they name.
#ifndef TESSERA_CLI_COMMON_FLAGS_H_
#define TESSERA_CLI_COMMON_FLAGS_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "compress/retyped_weights.h"
#include "formats/checkpoint.h"
#include "runtime/engine.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tessera {

struct ModelFlags {
  std::string model;                   // empty: the model that ships with the program
  std::vector<std::string> overrides;  // KEY=TYPE:VALUE
  std::string weights = "stored";      // the type in memory: parse_weights()
  bool unpacked = false;               // those as f32, exactly: the same numbers without int8 arithmetic
};

struct EngineFlags {
  EngineOptions options;
  std::string k_type = "bf16", v_type = "bf16";  // f32, f16, bf16 or q8_0
};

void add_model_flags(CLI::App& app, ModelFlags* flags);
void add_weights_flag(CLI::App& app, ModelFlags* flags);   // for verbs that run the model
void add_override_flag(CLI::App& app, ModelFlags* flags);  // part of add_model_flags
void add_threads_flag(CLI::App& app, int* threads);        // part of add_engine_flags
void add_engine_flags(CLI::App& app, EngineFlags* flags);
// 32k is 32768, 1m is 1048576; from `least` to a billion.
CLI::Option* add_count(CLI::App& app, const std::string& names, int64_t* value, const std::string& help, int64_t least = 0);

// The path of the shipped model: models/ beside or above the executable, or share/tessera/models of an installation.
Result<std::string> default_model_path();

// "stored", "w8", "bf16" or "f32"; kInvalidArgument names the flag.
Result<WeightChoice> parse_weights(std::string_view name);

// With the weights in the wanted type.
Result<Checkpoint> open_model(const ModelFlags& flags, const OpenOptions& options = {});
// Opens, shows progress, loads.
Result<std::unique_ptr<Engine>> load_engine(const ModelFlags& model, const EngineFlags& flags);

}  // namespace tessera

#endif  // TESSERA_CLI_COMMON_FLAGS_H_
