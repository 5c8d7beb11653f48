#include "planner/comm.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tessera {
namespace {

constexpr Axes kX{true, false, false}, kYz{false, true, true}, kAll{true, true, true};

double share(double k) { return k > 1 ? (k - 1) / k : 0; }  // (K-1)/K

std::array<std::pair<bool, int64_t>, 3> list(const Mesh& mesh, Axes axes) {
  return {{{axes.x, mesh.x}, {axes.y, mesh.y}, {axes.z, mesh.z}}};
}

double axis_bandwidth(const HardwareSpec& hardware, const Mesh& mesh, int64_t side) {
  if (side <= 1) return 0;
  const bool wraps = mesh.size() >= hardware.network.wrap_from_chips && side > 2;
  return hardware.network.link_bandwidth * (wraps ? 2 : 1);
}

// Members of a collective that share a node; all of them when there is one node. Chips of a node are neighbours along y
// and z first.
int64_t members_per_node(const HardwareSpec& hardware, const Mesh& mesh, Axes axes) {
  const int64_t node = hardware.network.node_chips, members = axes_size(mesh, axes);
  if (hardware.network.kind != NetworkKind::kSwitch || node == 0) return members;
  const bool only_x = axes.x && !axes.y && !axes.z;
  return std::min(members, only_x ? std::max<int64_t>(1, node / (mesh.y * mesh.z)) : node);
}
bool leaves_node(const HardwareSpec& hardware, const Mesh& mesh, Axes axes) {
  return members_per_node(hardware, mesh, axes) < axes_size(mesh, axes);
}

// Steps of one collective that cannot overlap each other: a ring on each axis; recursive doubling on a switch.
double steps(const HardwareSpec& hardware, const Mesh& mesh, Axes axes) {
  if (hardware.network.kind == NetworkKind::kSwitch)
    return std::ceil(std::log2(static_cast<double>(axes_size(mesh, axes))));
  double sum = 0;
  for (const auto& [used, side] : list(mesh, axes)) sum += used ? static_cast<double>(side - 1) : 0;
  return sum;
}

void add_steps(const HardwareSpec& hardware, const Mesh& mesh, Axes axes, double collectives, LayerWire* wire) {
  if (axes_size(mesh, axes) <= 1) return;
  const double n = collectives * steps(hardware, mesh, axes);
  wire->hops += n;
  const double nodes =
      static_cast<double>(axes_size(mesh, axes)) / static_cast<double>(members_per_node(hardware, mesh, axes));
  if (nodes > 1) wire->node_hops += collectives * std::ceil(std::log2(nodes));
}

double all_to_all_bandwidth(const HardwareSpec& hardware, const Mesh& mesh) {
  if (hardware.network.kind == NetworkKind::kSwitch) return collective_bandwidth(hardware, mesh, kAll);
  // A ring of K chips moves each byte K/4 links on average; the axes work at the same time.
  double distance = 0, bandwidth = 0;
  for (const auto& [used, side] : list(mesh, kAll)) {
    if (side <= 1) continue;
    distance += static_cast<double>(side) / 4;
    bandwidth += axis_bandwidth(hardware, mesh, side);
  }
  return distance > 0 ? bandwidth / distance : 0;
}

double ratio(double bytes, double bandwidth) { return bytes > 0 ? bytes / std::max(bandwidth, 1.0) : 0; }

// Weight-stationary: section 3.2.2, with the real matrices of the block: [E, (m-1)F + HQ] in, [F + HQ, E] out. A serial
// block runs attention and feed-forward one after the other, so the yz pair happens twice (section 3.4).
void stationary_wire(const HardwareSpec& hardware, const Partition& p, const WireInput& in, LayerWire* wire) {
  const ModelShape& m = *in.model;
  const bool one = p.ffn == FfnLayout::kWs1d;
  const Mesh mesh = p.mesh;
  const double x = one ? 1 : static_cast<double>(mesh.x);
  const double n = static_cast<double>(mesh.size()), yz = n / x;
  const double blocks = m.parallel_block ? 1 : 2;
  const double hq = in.padded_heads * static_cast<double>(m.head_dim);
  const double used_experts = m.experts > 0 ? static_cast<double>(m.experts_per_token + m.shared_experts) : 1;
  const double f = static_cast<double>(m.ff_dim) * used_experts;
  const double e = static_cast<double>(m.model_dim);
  const double element = in.tokens * in.activation_bytes;
  const double tensor_blocks = p.expert_parallel ? 1 : blocks;  // sublayers whose activations are split this way
  wire->yz_bytes = tensor_blocks * 2 * element * e / x * share(yz);
  const double inner = 2 * hq + (p.expert_parallel ? 0 : static_cast<double>(m.ff_matrices) * f);
  wire->x_bytes = element * inner / yz * share(x);
  add_steps(hardware, mesh, one ? kAll : kYz, 2 * tensor_blocks, wire);
  if (!one) add_steps(hardware, mesh, kX, 2 * tensor_blocks, wire);
}

// Weight-gathered over N chips: section 3.2.3. Activations are split over batch along the gathered axes.
void gathered_wire(const HardwareSpec& hardware, const Partition& p, const WireInput& in, LayerWire* wire) {
  const Mesh& mesh = p.mesh;
  Axes gathered = kX;
  if (p.ffn == FfnLayout::kWgXy) gathered.y = true;
  if (p.ffn == FfnLayout::kWgXyz) gathered = kAll;
  const Axes rest{!gathered.x, !gathered.y, !gathered.z};
  const double n = static_cast<double>(mesh.size()), g = static_cast<double>(axes_size(mesh, gathered)), k = n / g;
  wire->gather_bytes = in.layer_weight_bytes * g / n * share(g);
  const double blocks = in.model->parallel_block ? 1 : 2;
  wire->rest_bytes =
      blocks * 2 * in.tokens * in.activation_bytes * static_cast<double>(in.model->model_dim) / g * share(k);
  add_steps(hardware, mesh, gathered, 2, wire);
  add_steps(hardware, mesh, rest, 2 * blocks, wire);
}

Axes rest_axes(FfnLayout layout) {
  return layout == FfnLayout::kWgX ? kYz : layout == FfnLayout::kWgXy ? Axes{false, false, true} : Axes{};
}

}  // namespace

double paper_ffn_elements(FfnLayout layout, const Mesh& mesh, double e, double f, double tokens) {
  const double n = static_cast<double>(mesh.size()), x = static_cast<double>(mesh.x), yz = n / x;
  const auto gathered = [&](double g) { return 2 * e * f * g / n + 2 * tokens * e / g; };
  switch (layout) {
    case FfnLayout::kWs1d: return 2 * tokens * e;
    case FfnLayout::kWs2d: return 2 * tokens * (e / x + f / yz);
    case FfnLayout::kWgX: return gathered(x);
    case FfnLayout::kWgXy: return gathered(x * static_cast<double>(mesh.y));
    case FfnLayout::kWgXyz: return 2 * e * f;
  }
  return 0;
}

int64_t axes_size(const Mesh& mesh, Axes axes) {
  int64_t n = 1;
  for (const auto& [used, side] : list(mesh, axes)) n *= used ? side : 1;
  return n;
}

LayerWire layer_wire(const HardwareSpec& hardware, const Partition& p, const WireInput& in) {
  LayerWire wire;
  const double n = static_cast<double>(p.mesh.size());
  if (n <= 1) return wire;
  const ModelShape& m = *in.model;
  const bool stationary = p.ffn == FfnLayout::kWs1d || p.ffn == FfnLayout::kWs2d;
  stationary ? stationary_wire(hardware, p, in, &wire) : gathered_wire(hardware, p, in, &wire);
  if (stationary && p.attention == AttentionLayout::kBatch) {
    const double hq = in.padded_heads * static_cast<double>(m.head_dim);
    wire.all_to_all_bytes += 2 * in.tokens * hq / n * in.activation_bytes * share(n);
    add_steps(hardware, p.mesh, kAll, 2, &wire);
  }
  if (p.expert_parallel) {
    const double copies = static_cast<double>(m.experts_per_token);
    wire.all_to_all_bytes +=
        2 * in.tokens * copies * static_cast<double>(m.model_dim) / n * in.activation_bytes * share(n);
    add_steps(hardware, p.mesh, kAll, 2, &wire);
  }
  return wire;
}

double collective_bandwidth(const HardwareSpec& hardware, const Mesh& mesh, Axes axes) {
  const NetworkSpec& network = hardware.network;
  if (network.kind == NetworkKind::kSwitch) {
    // Between nodes each member brings its own port: the shards of a node travel side by side.
    if (!leaves_node(hardware, mesh, axes)) return network.link_bandwidth;
    return std::min(network.link_bandwidth,
                    network.node_bandwidth * static_cast<double>(members_per_node(hardware, mesh, axes)));
  }
  double sum = 0, least = 0;
  int used_axes = 0;
  for (const auto& [used, side] : list(mesh, axes)) {
    const double bandwidth = used ? axis_bandwidth(hardware, mesh, side) : 0;
    if (bandwidth <= 0) continue;
    sum += bandwidth;
    least = used_axes++ == 0 ? bandwidth : std::min(least, bandwidth);
  }
  return used_axes == 3 ? sum - least : sum;
}

double wire_seconds(const HardwareSpec& hardware, const Partition& p, const LayerWire& wire) {
  const Axes yz = p.ffn == FfnLayout::kWs1d ? kAll : kYz;
  const double seconds = ratio(wire.yz_bytes, collective_bandwidth(hardware, p.mesh, yz)) +
                         ratio(wire.x_bytes, collective_bandwidth(hardware, p.mesh, kX)) +
                         ratio(wire.all_to_all_bytes, all_to_all_bandwidth(hardware, p.mesh)) +
                         ratio(wire.rest_bytes, collective_bandwidth(hardware, p.mesh, rest_axes(p.ffn)));
  return seconds / hardware.constants.network_fraction;
}

double gather_seconds(const HardwareSpec& hardware, const Partition& p, const LayerWire& wire) {
  // The measured floor of weight-gathered prefill is one link, one way (facts of Figure 1 and 7): nested one-way rings.
  const double bandwidth = hardware.network.kind == NetworkKind::kSwitch ? collective_bandwidth(hardware, p.mesh, kAll)
                                                                         : hardware.network.link_bandwidth;
  return ratio(wire.gather_bytes, bandwidth) / hardware.constants.gather_fraction;
}

double hop_seconds(const HardwareSpec& hardware, const LayerWire& wire) {
  return wire.hops * hardware.constants.hop_seconds + wire.node_hops * hardware.network.node_hop_seconds;
}

double total_bandwidth(const HardwareSpec& hardware, const Mesh& mesh) {
  if (hardware.network.kind == NetworkKind::kSwitch) return hardware.network.link_bandwidth;
  double sum = 0;
  for (const int64_t side : {mesh.x, mesh.y, mesh.z}) sum += side > 1 ? 2 * hardware.network.link_bandwidth : 0;
  return sum;
}

}  // namespace tessera
