// Communication of a partitioned layer: bytes that each chip sends, by mesh axes, and the time they need.
//
// Appendix A.1 of Pope et al.: an all-gather (reduce-scatter) of D bytes per chip of output (input) over K chips moves
// D (K-1)/K. The paper drops (K-1)/K afterwards; here it is kept everywhere except in paper_ffn_elements(), which is
// the formula of Figure 3 as printed.
#ifndef TESSERA_PLANNER_COMM_H_
#define TESSERA_PLANNER_COMM_H_

#include "planner/hardware.h"
#include "planner/layout.h"
#include "planner/shape.h"

namespace tessera {

// Elements per chip and feed-forward layer, two matrices of E x F, (K-1)/K taken as 1: sections 3.2.1 to 3.2.3,
// Figure 3.
double paper_ffn_elements(FfnLayout layout, const Mesh& mesh, double model_dim, double ff_dim, double tokens);

// Mesh axes that a collective runs over.
struct Axes {
  bool x = false, y = false, z = false;
};
int64_t axes_size(const Mesh& mesh, Axes axes);

// What one layer sends, in bytes per chip with the exact (K-1)/K.
struct LayerWire {
  double yz_bytes = 0;          // all-gather and reduce-scatter of [tokens, E/X] over y and z (1D: over all axes)
  double x_bytes = 0;           // reduce-scatter and all-gather of [tokens, F/YZ] and heads over x
  double all_to_all_bytes = 0;  // attention over batch: queries out, outputs back; experts: tokens out and back
  double gather_bytes = 0;      // weights
  double rest_bytes = 0;        // weight-gathered X and XY: activations over the axes that are not gathered
  double hops = 0;              // steps that wait for each other
  double node_hops = 0;         // of these, steps that leave a node
  double total() const { return yz_bytes + x_bytes + all_to_all_bytes + gather_bytes + rest_bytes; }
};

struct WireInput {
  const ModelShape* model = nullptr;
  double padded_heads = 0;
  double tokens = 0;              // of the whole pass
  double activation_bytes = 2;    // per element
  double layer_weight_bytes = 0;  // all chips of the stage together
};
LayerWire layer_wire(const HardwareSpec& hardware, const Partition& partition, const WireInput& input);

// Bytes/s that one chip can send into a collective over these axes, at the data-sheet rate.
//   torus: both links of each axis where the slice wraps around, one otherwise; at most two axes at a time (Figure 6's
//   1D points need it). switch: the chip's port, inside or between nodes.
double collective_bandwidth(const HardwareSpec& hardware, const Mesh& mesh, Axes axes);
double wire_seconds(const HardwareSpec& hardware, const Partition& partition, const LayerWire& wire);
double gather_seconds(const HardwareSpec& hardware, const Partition& partition, const LayerWire& wire);
double hop_seconds(const HardwareSpec& hardware, const LayerWire& wire);
// All links of a chip together: what the paper divides every volume by (270 GB/s for TPU v4).
double total_bandwidth(const HardwareSpec& hardware, const Mesh& mesh);

}  // namespace tessera

#endif  // TESSERA_PLANNER_COMM_H_
