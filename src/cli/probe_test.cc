#include "cli/probe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace tessera {
namespace {

ProbeReport small_report() {
  ProbeReport report;
  report.time = "2026-01-02T03:04:05Z";
  report.machine.cpu_model = "test processor";
  report.machine.cpus = {0, 1};
  report.machine.memory_bytes = 8ull << 30;
  report.memory.push_back({2, true, {{35, CoreState::kNear}, {36, CoreState::kNear}, {57, CoreState::kFar}}});
  report.memory.push_back({1, true, {{29, CoreState::kNear}}});
  report.peaks.push_back({"vfmadd zmm", PeakType::kF32, 2, {231}});
  report.peaks.push_back({"vpdpbusd zmm", PeakType::kI8, 2, {900, 910}});
  report.barriers.push_back({2, {150}});
  report.kernels.push_back({DType::kQ4_0, 2, {{33, CoreState::kNear}}, {600}, 4});
  return report;
}

class ProbeFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_ = testing::TempDir() + "probe_file_test";
  std::string path_ = folder_ + "/sub/hardware.json";
};

TEST_F(ProbeFile, ThePlannerAndBenchReadIt) {
  ASSERT_TRUE(save_probe(small_report(), path_).ok());
  const auto hardware = load_hardware(path_);
  ASSERT_TRUE(hardware.ok()) << hardware.status().message();
  EXPECT_DOUBLE_EQ(hardware->memory_bandwidth, 36e9);
  EXPECT_DOUBLE_EQ(hardware->peak_flops.at("int8"), 905e9);
  EXPECT_DOUBLE_EQ(hardware->peak_flops.at("bf16"), 231e9);  // no bf16 unit: computed in f32
  EXPECT_DOUBLE_EQ(hardware->kernels.at("q4_0").weight_bandwidth, 33e9);
  EXPECT_EQ(hardware->cores, 2);

  const auto probe = load_probe(path_);
  ASSERT_TRUE(probe.ok()) << probe.status().message();
  const MachineLimits limits = limits_of(*probe, 2);
  EXPECT_DOUBLE_EQ(limits.read_near_gb_per_s, 35.5);
  EXPECT_DOUBLE_EQ(limits.read_far_gb_per_s, 57);
  EXPECT_DOUBLE_EQ(limits_of(*probe, 1).read_gb_per_s, 29);
}

TEST_F(ProbeFile, ABusyMachineIsNotedAndWidensTheInterval) {
  ProbeReport report = small_report();
  report.loads.push_back({"kernels", 5, {1.5, 0}});
  ASSERT_TRUE(save_probe(report, path_).ok());
  const auto hardware = load_hardware(path_);
  ASSERT_TRUE(hardware.ok()) << hardware.status().message();
  EXPECT_NE(hardware->description.find("1.5 processors busy"), std::string::npos) << hardware->description;
  EXPECT_GE(hardware->calibration.leave_one_out_p90, 0.3);
  EXPECT_LT(hardware_from_probe(small_report(), this_machine()).calibration.leave_one_out_p90, 0.3);
}

// Two placements of the processors are two machines: a sample is compared with the one it was taken on.
TEST_F(ProbeFile, RatesOfACoreState) {
  ProbeReport report = small_report();
  report.kernels[0].decode_gb_per_s = {{33, CoreState::kNear}, {50, CoreState::kFar}, {35, CoreState::kNear}};
  ASSERT_TRUE(save_probe(report, path_).ok());
  const auto probe = load_probe(path_);
  ASSERT_TRUE(probe.ok()) << probe.status().message();
  const HardwareSpec all = *load_hardware(path_);
  EXPECT_DOUBLE_EQ(all.kernels.at("q4_0").weight_bandwidth, 35e9);
  const HardwareSpec near = in_core_state(all, *probe, CoreState::kNear), far = in_core_state(all, *probe, CoreState::kFar);
  EXPECT_DOUBLE_EQ(near.kernels.at("q4_0").weight_bandwidth, 34e9);
  EXPECT_DOUBLE_EQ(far.kernels.at("q4_0").weight_bandwidth, 50e9);
  EXPECT_DOUBLE_EQ(near.memory_bandwidth, 35.5e9);
  EXPECT_DOUBLE_EQ(far.memory_bandwidth, 57e9);
  EXPECT_DOUBLE_EQ(in_core_state(all, *probe, CoreState::kUnknown).memory_bandwidth, all.memory_bandwidth);
}

TEST_F(ProbeFile, SaysWhatIsMissing) {
  EXPECT_EQ(load_probe(path_).status().code(), StatusCode::kNotFound);
  std::filesystem::create_directories(folder_ + "/sub");
  std::ofstream(path_) << "{}";
  EXPECT_EQ(load_probe(path_).status().code(), StatusCode::kNotFound);
  std::ofstream(path_) << "not json";
  EXPECT_EQ(load_probe(path_).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tessera
