// What the tests that span folders share: opening a model with given options, running tokens through it in chosen pieces,
// greedy generation, and where the data is.
#ifndef TESSERA_TESTS_SUPPORT_ENGINE_FIXTURE_H_
#define TESSERA_TESTS_SUPPORT_ENGINE_FIXTURE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/engine.h"

namespace tessera::testing {

std::filesystem::path source_dir();
// ../shared/data beside the project: real models that are not part of it. Empty when absent.
std::filesystem::path shared_data();
// The model in models/.
std::string shipped_model();

// Ends the test program with the error when the model cannot be opened: nothing else can be tested then.
std::unique_ptr<Engine> open_engine(const std::string& path, const EngineOptions& options);

// The same of a checkpoint that was changed after opening.
std::unique_ptr<Engine> open_engine(Checkpoint checkpoint, const EngineOptions& options);

// f32 cache, two threads, context as trained.
EngineOptions exact_options();

// Logits after every token of `tokens` in a new sequence, fed in pieces of `chunk` tokens. [tokens.size()][vocab]
std::vector<std::vector<float>> all_logits(Engine& engine, std::span<const int32_t> tokens, int64_t chunk);

// Token ids of greedy generation; the end token, if any, is included.
std::vector<int32_t> greedy(Engine& engine, std::vector<int32_t> prompt, int64_t tokens);

// Sum of -ln p over the second to the last token, each given those before it (a new sequence).
double negative_log_likelihood(Engine& engine, std::span<const int32_t> tokens);

int64_t argmax(std::span<const float> row);
// max |a - b| / max |b|
double relative_error(std::span<const float> a, std::span<const float> b);

std::vector<float> read_f32_file(const std::filesystem::path& path);

}  // namespace tessera::testing

#endif  // TESSERA_TESTS_SUPPORT_ENGINE_FIXTURE_H_
