// Every text that the planner reads from outside, by the first byte: hardware file, model shape, config.json, bench
// results, request trace, length distribution, mesh. A hardware file and a shape that parse must also be safe to plan
// with.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "planner/measured.h"
#include "planner/search.h"
#include "planner/workload.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto plan = [](const ModelShape& model, const HardwareSpec& hardware) {
    PlanRequest request;
    request.model = model;
    request.hardware = hardware;
    request.chips = {1, 4};
    request.batches = {1, 64};
    (void)search(request);
  };
  switch (data[0] % 7) {
    case 0:
      if (const auto hardware = parse_hardware(text, "fuzz"); hardware.ok())
        plan(*find_shipped_model("llama-3-8b"), *hardware);
      break;
    case 1:
      if (const auto shape = parse_model_shape(text, "fuzz"); shape.ok()) plan(*shape, *find_hardware("tpu-v4"));
      break;
    case 2:
      if (const auto shape = shape_from_config_json(text, "fuzz"); shape.ok())
        plan(*shape, *find_hardware("epyc-9654"));
      break;
    case 3:
      // Records without a shape name files, which a fuzzer must not open.
      if (text.find("model_filename") == std::string_view::npos) (void)parse_bench_results(text, "fuzz");
      break;
    case 4: (void)parse_trace(text, "fuzz"); break;
    case 5: (void)parse_length_distribution(text); break;
    default: (void)parse_mesh(text); break;
  }
  return 0;
}
