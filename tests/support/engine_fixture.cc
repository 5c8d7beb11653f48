#include "support/engine_fixture.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "formats/checkpoint.h"

namespace tessera::testing {

namespace fs = std::filesystem;

fs::path source_dir() { return TESSERA_SOURCE_DIR; }

fs::path shared_data() {
  const fs::path path = source_dir() / ".." / "shared" / "data";
  return fs::exists(path) ? path : fs::path();
}

std::string shipped_model() {
  for (const auto& entry : fs::directory_iterator(source_dir() / "models")) {
    if (entry.path().extension() == ".gguf") return entry.path().string();
  }
  std::fprintf(stderr, "no .gguf file in models/\n");
  std::exit(1);
}

EngineOptions exact_options() {
  EngineOptions options;
  options.threads = 2;
  options.k_dtype = DType::kF32;
  options.v_dtype = DType::kF32;
  return options;
}

namespace {

[[noreturn]] void fail(const std::string& path, const Status& status) {
  std::fprintf(stderr, "%s: %s\n", path.c_str(), status.message().c_str());
  std::exit(1);
}

}  // namespace

std::unique_ptr<Engine> open_engine(const std::string& path, const EngineOptions& options) {
  auto checkpoint = open_checkpoint(path);
  if (!checkpoint.ok()) fail(path, checkpoint.status());
  return open_engine(*std::move(checkpoint), options);
}

std::unique_ptr<Engine> open_engine(Checkpoint checkpoint, const EngineOptions& options) {
  const std::string path = checkpoint.path;
  auto engine = Engine::create(std::move(checkpoint), options, [](uint64_t, uint64_t) { return true; });
  if (!engine.ok()) fail(path, engine.status());
  return *std::move(engine);
}

std::vector<std::vector<float>> all_logits(Engine& engine, std::span<const int32_t> tokens, int64_t chunk) {
  std::vector<std::vector<float>> rows;
  const SequenceId sequence = engine.states().create_sequence();
  for (size_t begin = 0; begin < tokens.size(); begin += static_cast<size_t>(chunk)) {
    const Engine::Append item{sequence, tokens.subspan(begin, std::min(static_cast<size_t>(chunk), tokens.size() - begin)), true};
    const Status status = engine.append({&item, 1}, [&](int64_t, int64_t, std::span<float> logits) {
      rows.emplace_back(logits.begin(), logits.end());
    });
    TESSERA_CHECK(status.ok(), "{}", status.message());
  }
  engine.states().free_sequence(sequence);
  return rows;
}

std::vector<int32_t> greedy(Engine& engine, std::vector<int32_t> prompt, int64_t tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = tokens;
  request.sampling.temperature = 0;
  const auto id = engine.submit(std::move(request));
  TESSERA_CHECK(id.ok(), "{}", id.status().message());
  std::vector<int32_t> ids;
  while (!engine.idle()) {
    for (const TokenEvent& event : engine.step()) {
      if (event.sampled) ids.push_back(event.sampled->token);
    }
  }
  return ids;
}

double negative_log_likelihood(Engine& engine, std::span<const int32_t> tokens) {
  double nll = 0;
  size_t scored = 1;
  for (const auto& row : all_logits(engine, tokens.first(tokens.size() - 1), engine.options().batch_tokens)) {
    const float top = *std::ranges::max_element(row);
    double sum = 0;
    for (float l : row) sum += std::exp(static_cast<double>(l) - top);
    nll -= row[static_cast<size_t>(tokens[scored++])] - top - std::log(sum);
  }
  return nll;
}

int64_t argmax(std::span<const float> row) { return std::ranges::max_element(row) - row.begin(); }

double relative_error(std::span<const float> a, std::span<const float> b) {
  TESSERA_CHECK(a.size() == b.size(), "{} and {}", a.size(), b.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - b[i]));
    size = std::max(size, std::abs(static_cast<double>(b[i])));
  }
  return difference / size;
}

std::vector<float> read_f32_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values(fs::file_size(path) / sizeof(float));
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

}  // namespace tessera::testing
