#include "cli/bench_model.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "formats/text.h"

namespace tessera {

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

namespace {

std::string parameter_text(int64_t parameters) {
  const auto p = static_cast<double>(parameters);
  return p >= 1e9 ? fmt::format("{:.1f}B", p * 1e-9) : fmt::format("{:.1f}M", p * 1e-6);
}

// general.file_type of published files; mixes have no single tensor type.
std::string file_type_name(const Metadata& metadata, DType main_dtype) {
  static const std::map<uint64_t, const char*> kNames = {{12, "Q3_K - Medium"}, {13, "Q3_K - Large"}, {11, "Q3_K - Small"},
                                                         {14, "Q4_K - Small"},  {15, "Q4_K - Medium"}, {16, "Q5_K - Small"},
                                                         {17, "Q5_K - Medium"}};
  if (const auto id = metadata.u64("general.file_type"); id.ok()) {
    if (const auto it = kNames.find(*id); it != kNames.end()) return it->second;
  }
  return upper(to_string(main_dtype));
}

class Fnv1a {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) hash_ = (hash_ ^ static_cast<uint64_t>(b)) * 0x100000001b3u;
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace

DType dominant_dtype(const WeightSource& weights) {
  std::map<DType, uint64_t> bytes;
  const bool tied = weights.find("output.weight") == nullptr;  // the embedding is a matrix, then
  for (const WeightInfo& w : weights.weights()) {
    if (tied || w.name != "token_embd.weight") bytes[w.dtype] += w.bytes;
  }
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most == bytes.end() ? DType::kF32 : most->first;
}

uint64_t model_fingerprint(const WeightSource& weights) {
  constexpr size_t kMostBytes = 4096;  // of one row
  Fnv1a hash;
  for (const WeightInfo& w : weights.weights()) {
    hash.add(fmt::format("{} {} {};", w.name, to_string(w.dtype), w.shape.to_string()));
    const int64_t rows = w.shape.rows();
    if (rows == 0) continue;
    for (const int64_t row : {int64_t{0}, rows / 2, rows - 1}) {
      const WeightBytes read = weights.read_rows(w, row, row + 1);
      hash.add(read.bytes.first(std::min(kMostBytes, read.bytes.size())));
    }
  }
  return hash.value();
}

BenchModelInfo describe_model(const Checkpoint& checkpoint) {
  BenchModelInfo info;
  info.path = checkpoint.path;
  for (const WeightInfo& w : checkpoint.weights->weights()) {
    info.size_bytes += w.bytes;
    info.parameters += w.shape.elements();
  }
  const auto architecture = checkpoint.metadata.text("general.architecture");
  info.type = fmt::format("{} {} {}", architecture.ok() ? quotable(*architecture) : "unknown", parameter_text(info.parameters),
                          file_type_name(checkpoint.metadata, dominant_dtype(*checkpoint.weights)));
  info.fingerprint = model_fingerprint(*checkpoint.weights);
  return info;
}

}  // namespace tessera
