// This engine's measurements (share/measured/engine.json, written by bench/predict.py) against the predictions of the shipped
// constants: what docs/planner.md says about accuracy is checked here, from the stored probes and headers alone.
#include <gtest/gtest.h>

#include "planner/calibrate.h"
#include "planner/memory.h"

namespace tessera {
namespace {

constexpr double kMedianBound = 0.08, kWorstBound = 0.20;

const std::vector<BenchRecord>& records() {
  static const std::vector<BenchRecord> list = *engine_measurements();
  return list;
}

std::vector<MeasuredPoint> points() {
  std::vector<MeasuredPoint> list;
  for (const BenchRecord& r : records()) list.push_back(r.point);
  return list;
}

TEST(Engine, EveryRecordKnowsItsMachineAndShape) {
  ASSERT_GE(records().size(), 24u);  // six shapes and types, four tests each
  for (const BenchRecord& r : records()) {
    ASSERT_NE(r.point.machine, nullptr);
    EXPECT_FALSE(r.point.machine->kernels.empty());
    EXPECT_GT(r.point.model.stored_stack_bytes, 0) << r.point.model.name;
    EXPECT_TRUE(r.point.types.weight_type.empty());  // as stored
  }
}

// Constants fitted without the model that they predict.
TEST(Engine, TimesOfModelsThatTheFitHasNotSeen) {
  HardwareSpec start = *points().front().machine;
  start.constants = Constants{};
  const std::vector<MeasuredPoint> measured = points();
  const auto fitted = calibrate(start, measured, FittedSet::kProbed);
  ASSERT_TRUE(fitted.ok()) << fitted.status().message();
  const CalibrationRecord& record = fitted->calibration;
  EXPECT_LE(record.leave_one_out_p50, kMedianBound);
  EXPECT_LE(record.leave_one_out_worst, kWorstBound);
  // The shipped constants are this fit.
  HardwareSpec shipped = start;
  use_engine_constants(&shipped);
  EXPECT_NEAR(shipped.calibration.leave_one_out_p90, record.leave_one_out_p90, 0.01);
  EXPECT_NEAR(rms(residuals(shipped, measured)), record.rms, 0.003);
}

TEST(Engine, PeakMemory) {
  for (const BenchRecord& r : records()) {
    const double planned = memory_per_chip(r.point.model, *r.point.machine, {}, r.point.types, r.memory).total();
    EXPECT_NEAR(planned / r.peak_resident_bytes, 1, 0.05) << r.point.model.name << " " << r.point.where;
  }
}

}  // namespace
}  // namespace tessera
