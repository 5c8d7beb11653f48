#include "planner/layout.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace tessera {
namespace {

constexpr struct {
  FfnLayout layout;
  std::string_view name, key;
} kFfnNames[] = {
    {FfnLayout::kWs1d, "WS 1D", "ws1d"}, {FfnLayout::kWs2d, "WS 2D", "ws2d"},    {FfnLayout::kWgX, "WG X", "wgx"},
    {FfnLayout::kWgXy, "WG XY", "wgxy"}, {FfnLayout::kWgXyz, "WG XYZ", "wgxyz"},
};

// Slices whose shape is published; others are factored as evenly as possible.
constexpr Mesh kTorusShapes[] = {{1, 1, 1}, {1, 2, 1}, {2, 1, 2}, {2, 2, 2}, {2, 4, 2}, {4, 2, 4},
                                 {4, 4, 4}, {8, 4, 4}, {4, 8, 8}, {8, 8, 8}, {8, 8, 16}};

}  // namespace

std::string_view to_string(FfnLayout layout) {
  for (const auto& entry : kFfnNames) {
    if (entry.layout == layout) return entry.name;
  }
  return "?";
}

std::string_view to_string(AttentionLayout layout) { return layout == AttentionLayout::kHeads ? "heads" : "batch"; }

std::string to_string(const Mesh& mesh) { return fmt::format("{}x{}x{}", mesh.x, mesh.y, mesh.z); }

std::string to_string(const Partition& p) {
  if (p.chips() == 1) return "alone";
  std::string text =
      fmt::format("{}, {}, attention over {}", to_string(p.mesh), to_string(p.ffn), to_string(p.attention));
  if (p.expert_parallel) text += ", experts split";
  if (p.pipeline_stages > 1) text += fmt::format(", {} pipeline stages", p.pipeline_stages);
  return text;
}

Result<Mesh> parse_mesh(std::string_view text) {
  int64_t sides[3] = {1, 1, 1};
  int count = 0;
  std::string_view rest = text;
  while (count < 3) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), sides[count]);
    if (error != std::errc() || sides[count] < 1 || sides[count] > 65536) break;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    ++count;
    if (rest.empty()) return Mesh{sides[0], sides[1], sides[2]};
    if (rest[0] != 'x') break;
    rest.remove_prefix(1);
  }
  return invalid_argument("mesh '{}': expected XxYxZ such as 4x4x4", text);
}

Result<FfnLayout> parse_ffn_layout(std::string_view text) {
  std::string key;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      key += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  for (const auto& entry : kFfnNames) {
    if (entry.key == key) return entry.layout;
  }
  return invalid_argument("layout '{}': expected ws1d, ws2d, wgx, wgxy or wgxyz", text);
}

std::vector<Mesh> candidate_meshes(const HardwareSpec& hardware, int64_t chips) {
  std::vector<Mesh> meshes;
  if (hardware.network.kind == NetworkKind::kTorus) {
    for (const Mesh& shape : kTorusShapes) {
      if (shape.size() == chips) return {shape};
    }
  }
  for (int64_t x = 1; x <= chips; ++x) {
    // x = chips > 1 would be 1 x chips with the names of the axes changed.
    if (chips % x == 0 && (x < chips || chips == 1)) meshes.push_back({x, chips / x, 1});
  }
  if (hardware.network.kind != NetworkKind::kTorus) return meshes;
  // An unpublished slice: the most even X x YZ.
  return {*std::min_element(meshes.begin(), meshes.end(),
                            [](const Mesh& a, const Mesh& b) { return std::max(a.x, a.y) < std::max(b.x, b.y); })};
}

}  // namespace tessera
