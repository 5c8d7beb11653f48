#include "planner/workload.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace tessera {
namespace {

constexpr double kMostTokens = 1e6;

// splitmix64: the same workload on every platform and library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  double uniform() {  // in (0, 1)
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (static_cast<double>((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
  }
  double normal() {  // Box-Muller
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }

 private:
  uint64_t state_;
};

int32_t draw(const LengthDistribution& d, Random* random) {
  double value = d.a;
  if (d.kind == LengthDistribution::Kind::kUniform) value = d.a + (d.b - d.a + 1) * random->uniform() - 0.5;
  if (d.kind == LengthDistribution::Kind::kExponential) value = -d.a * std::log(random->uniform());
  if (d.kind == LengthDistribution::Kind::kLogNormal) value = d.a * std::exp(d.b * random->normal());
  return static_cast<int32_t>(std::lround(std::clamp(value, 1.0, kMostTokens)));
}

// Reads a number and removes it and one separator; false when there is none.
bool take_number(std::string_view* text, double* out) {
  while (!text->empty() && (text->front() == ' ' || text->front() == '\t')) text->remove_prefix(1);
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *out);
  if (error != std::errc() || !std::isfinite(*out)) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  while (!text->empty() && (text->front() == ',' || text->front() == ';' || text->front() == ' ' ||
                            text->front() == '\t' || text->front() == '-'))
    text->remove_prefix(1);
  return true;
}

}  // namespace

Result<LengthDistribution> parse_length_distribution(std::string_view text) {
  LengthDistribution d;
  const Status wrong =
      invalid_argument("length '{}': expected 128, uniform:16-512, exp:200 or lognormal:300,0.8", text);
  std::string_view rest = text;
  const size_t colon = text.find(':');
  bool two = false;
  if (colon != std::string_view::npos) {
    const std::string_view name = text.substr(0, colon);
    rest = text.substr(colon + 1);
    two = name == "uniform" || name == "lognormal";
    if (name == "uniform") {
      d.kind = LengthDistribution::Kind::kUniform;
    } else if (name == "exp") {
      d.kind = LengthDistribution::Kind::kExponential;
    } else if (name == "lognormal") {
      d.kind = LengthDistribution::Kind::kLogNormal;
    } else {
      return wrong;
    }
  }
  if (!take_number(&rest, &d.a) || (two && !take_number(&rest, &d.b)) || !rest.empty()) return wrong;
  if (d.a < 1 || d.a > kMostTokens || d.b < 0 || d.b > kMostTokens) return wrong;
  if (d.kind == LengthDistribution::Kind::kUniform && d.b < d.a) return wrong;
  if (d.kind == LengthDistribution::Kind::kLogNormal && d.b > 10) return wrong;
  return d;
}

std::vector<RequestSpec> poisson_workload(const WorkloadSpec& spec) {
  Random random(spec.seed);
  std::vector<RequestSpec> requests;
  requests.reserve(static_cast<size_t>(spec.requests));
  double now = 0;
  for (int64_t i = 0; i < spec.requests; ++i) {
    now -= std::log(random.uniform()) / spec.requests_per_second;
    const int32_t prompt = draw(spec.prompt, &random);
    requests.push_back({now, prompt, draw(spec.output, &random)});
  }
  return requests;
}

Result<std::vector<RequestSpec>> parse_trace(std::string_view text, std::string_view where) {
  std::vector<RequestSpec> requests;
  int64_t line_number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++line_number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::string_view whole = line;
    double values[3];
    const bool good =
        take_number(&line, &values[0]) && take_number(&line, &values[1]) && take_number(&line, &values[2]);
    if (!good && requests.empty() && line_number == 1) continue;  // a header
    if (!good || values[0] < 0 || values[1] < 1 || values[2] < 1 || values[1] > kMostTokens || values[2] > kMostTokens)
      return invalid_argument("{} line {}: expected 'seconds,prompt,output', found '{}'", where, line_number,
                              whole.substr(0, 60));
    requests.push_back({values[0], static_cast<int32_t>(values[1]), static_cast<int32_t>(values[2])});
  }
  if (requests.empty()) return invalid_argument("{}: no requests", where);
  std::stable_sort(requests.begin(), requests.end(),
                   [](const auto& a, const auto& b) { return a.arrival < b.arrival; });
  return requests;
}

}  // namespace tessera
