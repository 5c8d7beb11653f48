// This engine's measurements (share/measured/engine.json, written by bench/predict.py) against the predictions of the shipped
// constants: what docs/planner.md says about accuracy is checked here, from the stored probes and headers alone.
#include <gtest/gtest.h>

#include "planner/calibrate.h"
#include "planner/memory.h"

namespace tessera {
namespace {

constexpr double kMedianBound = 0.08, kWorstBound = 0.20;
constexpr double kMemoryBound = 0.055;  // one of 88 records is beyond 5 %

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
  EXPECT_EQ(shipped.calibration.least_params, record.least_params);
  EXPECT_EQ(shipped.calibration.most_params, record.most_params);
}

// bench of the shipped story model (5.3 M parameters, its weights in the cache) on the same machine: predictions of 0.39 to
// 2.6 times the time taken. The interval beside a prediction must cover what can happen to models that small.
TEST(Engine, FarBelowTheMeasuredSizesTheIntervalIsWide) {
  HardwareSpec machine = *points().front().machine;
  use_engine_constants(&machine);
  ModelShape smallest, tiny;
  for (const MeasuredPoint& p : points()) {
    EXPECT_FALSE(below_calibrated_size(p.model, machine)) << p.model.name;
    EXPECT_EQ(prediction_error(p.model, machine), machine.calibration.leave_one_out_p90);
    if (total_params(p.model) == machine.calibration.least_params) smallest = p.model;
  }
  tiny = smallest;
  tiny.layers = 6;
  tiny.vocab = 4096;
  EXPECT_TRUE(below_calibrated_size(tiny, machine));
  EXPECT_EQ(predict_pass(tiny, machine, {}, {1, 1, 0}, {}).relative_error, kUncalibratedError);
  const BenchPrediction bench = predict_bench(tiny, machine, {128, 0});
  EXPECT_TRUE(bench.below_calibrated_size);
  EXPECT_EQ(bench.relative_error, kUncalibratedError);
  // Files of earlier probes record no sizes: they carry the engine's constants.
  machine.calibration.least_params = 0;
  EXPECT_TRUE(below_calibrated_size(tiny, machine));
  // Other software's constants say nothing about sizes.
  machine.compute_in_int8 = false;
  EXPECT_FALSE(below_calibrated_size(tiny, machine));
}

TEST(Engine, PeakMemory) {
  for (const BenchRecord& r : records()) {
    const double planned = memory_per_chip(r.point.model, *r.point.machine, {}, r.point.types, r.memory).total();
    EXPECT_NEAR(planned / r.peak_resident_bytes, 1, kMemoryBound) << r.point.model.name << " " << r.point.where;
  }
}

}  // namespace
}  // namespace tessera
