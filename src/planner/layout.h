// How a model is split over chips: the mesh X x Y x Z and, per pass, the layouts of section 3 of Pope et al.
#ifndef TESSERA_PLANNER_LAYOUT_H_
#define TESSERA_PLANNER_LAYOUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "planner/hardware.h"

namespace tessera {

enum class FfnLayout {
  kWs1d,  // weight-stationary, weights split once (Megatron): section 3.2.1
  kWs2d,  // weight-stationary, E over x and F over yz: section 3.2.2
  kWgX,   // weights gathered over x, xy or all axes; activations stay split over batch: section 3.2.3
  kWgXy,
  kWgXyz,
};
enum class AttentionLayout {
  kHeads,  // Q, K, V split over heads
  kBatch,  // split over sequences: section 3.3
};

struct Mesh {
  int64_t x = 1, y = 1, z = 1;
  int64_t size() const { return x * y * z; }
  bool operator==(const Mesh&) const = default;
};

struct Partition {
  Mesh mesh;  // chips of one pipeline stage
  FfnLayout ffn = FfnLayout::kWs2d;
  AttentionLayout attention = AttentionLayout::kHeads;
  bool expert_parallel = false;  // experts live on different chips; tokens travel (all-to-all)
  int64_t pipeline_stages = 1;
  int64_t chips() const { return mesh.size() * pipeline_stages; }
};

// One forward pass.
struct Pass {
  int64_t sequences = 1;  // B
  int64_t tokens = 1;     // L: new tokens per sequence; 1 is a decode step
  int64_t context = 0;    // tokens already cached per sequence
  double total_tokens() const { return static_cast<double>(sequences) * static_cast<double>(tokens); }
};

std::string_view to_string(FfnLayout layout);        // "WS 2D", "WG XYZ"
std::string_view to_string(AttentionLayout layout);  // "heads", "batch"
std::string to_string(const Mesh& mesh);             // "4x4x4"
std::string to_string(const Partition& partition);   // "4x4x4, WS 2D, attention over batch"
Result<Mesh> parse_mesh(std::string_view text);
Result<FfnLayout> parse_ffn_layout(std::string_view text);  // "ws2d", "WS 2D", "wg-xyz"

// Meshes worth trying for n chips. A torus has one physical shape per slice (the released code's make_mesh); on a
// switch X and YZ are free, and Z is 1.
std::vector<Mesh> candidate_meshes(const HardwareSpec& hardware, int64_t chips);

}  // namespace tessera

#endif  // TESSERA_PLANNER_LAYOUT_H_
