#include "base/cpu_quota.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

#include "base/thread_pool.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

class CpuQuota : public ::testing::Test {
 protected:
  CpuQuota() : root_(fs::path(::testing::TempDir()) / ("cpu_quota_" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "mount");
  }
  ~CpuQuota() override { fs::remove_all(root_); }

  void write(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::optional<double> quota() const { return cgroup_cpu_quota(root_ / "self", root_ / "mount"); }

  fs::path root_;
};

TEST_F(CpuQuota, NoneWithoutGroups) { EXPECT_EQ(quota(), std::nullopt); }

TEST_F(CpuQuota, SmallestOfTheGroupsAround) {
  write("self", "0::/system.slice/work.service/part\n");
  write("mount/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("mount/system.slice/work.service/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
  write("mount/system.slice/work.service/part/cpu.max", "400000 100000\n");
  EXPECT_EQ(quota(), 1.5);
  write("mount/system.slice/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(CpuQuota, OfTheMountPointWhereThePathIsNotSeen) {
  write("self", "0::/../../elsewhere\n");
  write("mount/cpu.max", "300000 100000\n");
  EXPECT_EQ(quota(), 3);
}

TEST_F(CpuQuota, DotsInNames) {
  write("self", "0::/a..b.service\n");
  write("mount/a..b.service/cpu.max", "200000 100000\n");
  EXPECT_EQ(quota(), 2);
}

TEST_F(CpuQuota, FirstVersion) {
  write("self", "12:cpuset:/a\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n");
  write("mount/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
  write("mount/cpu/docker/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("mount/cpu/docker/cpu.cfs_quota_us", "250000\n");
  write("mount/cpu/docker/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 2.5);
}

TEST_F(CpuQuota, NonsenseIsNoQuota) {
  write("self", "0\n0:\n::\n0::/a\n");
  for (const char* text : {"", "max", "0 100000", "-5 100000", "100000 0", "many 100000"}) {
    write("mount/a/cpu.max", text);
    EXPECT_EQ(quota(), std::nullopt) << text;
  }
}

TEST(DefaultThreadCount, KeepsToTheAffinityMask) {
  std::thread([] {
    cpu_set_t all, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all)) ++cpu;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(default_thread_count(), 1);
  }).join();
}

}  // namespace
}  // namespace tessera
