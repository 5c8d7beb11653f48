#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "base/aligned.h"
#include "base/arena.h"
#include "base/file_map.h"
#include "base/math.h"
#include "base/status.h"

namespace tessera {
namespace {

Result<int> half(int x) {
  if (x % 2 != 0) return invalid_argument("x: expected an even number, found {}", x);
  return x / 2;
}

Status quarter(int x, int* out) {
  TESSERA_ASSIGN_OR_RETURN(const int h, half(x));
  TESSERA_ASSIGN_OR_RETURN(*out, half(h));
  return {};
}

TEST(Status, PassesErrorsUp) {
  int out = 0;
  EXPECT_TRUE(quarter(12, &out).ok());
  EXPECT_EQ(out, 3);
  const Status status = quarter(6, &out);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.with_context("quarter").message(), "quarter: x: expected an even number, found 3");
}

TEST(Math, ChecksOverflow) {
  uint64_t r = 0;
  EXPECT_TRUE(checked_mul(1ull << 32, 1ull << 31, &r));
  EXPECT_EQ(r, 1ull << 63);
  EXPECT_FALSE(checked_mul(1ull << 32, 1ull << 32, &r));
  EXPECT_FALSE(checked_add(~0ull, 1, &r));
}

TEST(AlignedBytes, IsAlignedAndRefusesTheImpossible) {
  AlignedBytes small(100), large(5u << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small.data()) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large.data()) % (2u << 20), 0u);
  EXPECT_EQ(AlignedBytes::try_allocate(1ull << 62).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(AlignedBytes::try_allocate(~0ull).status().code(), StatusCode::kResourceExhausted);
}

TEST(Arena, AllocatesNothingAfterWarmUp) {
  Arena arena;
  for (int pass = 0; pass < 3; ++pass) {
    arena.reset();
    for (int i = 0; i < 10; ++i) {
      auto span = arena.allocate<float>(3000000);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(span.data()) % 64, 0u);
      span.front() = span.back() = 1.0f;
    }
  }
  const uint64_t warm = arena.capacity_bytes();
  for (int pass = 0; pass < 3; ++pass) {
    arena.reset();
    for (int i = 0; i < 10; ++i) arena.allocate<float>(3000000);
    EXPECT_EQ(arena.capacity_bytes(), warm);
  }
}

TEST(Arena, ScopesShareMemory) {
  Arena arena;
  const float* outer = arena.allocate<float>(10).data();
  for (int layer = 0; layer < 100; ++layer) {
    ArenaScope scope(arena);
    auto a = arena.allocate<float>(200000);
    auto b = arena.allocate<float>(200000);
    a.back() = b.back() = 1;
    EXPECT_NE(a.data(), outer);
    EXPECT_NE(a.data(), b.data());
  }
  EXPECT_LE(arena.peak_bytes(), 4u << 20);
  EXPECT_LE(arena.capacity_bytes(), 32u << 20);  // one block
}

// A pipe without a writer: opening it must not wait for one.
TEST(FileMap, RefusesSpecialFilesWithoutWaiting) {
  const std::string path = testing::TempDir() + "file_map_pipe";
  std::remove(path.c_str());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(FileMap::open(path).status().message(), path + ": expected a regular file, found a pipe");
  std::remove(path.c_str());
  EXPECT_EQ(FileMap::open("/dev/null").status().message(), "/dev/null: expected a regular file, found a special file");
}

TEST(FileMap, ReadsAndReports) {
  const std::string path = ::testing::TempDir() + "tessera_file_map_test";
  std::ofstream(path, std::ios::binary) << std::string(10000, 'x');
  auto file = FileMap::open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->size(), 10000u);
  (*file)->release(0, 10000);
  EXPECT_EQ((*file)->bytes()[9999], std::byte{'x'});  // released pages come back from the file
  std::remove(path.c_str());
  EXPECT_EQ(FileMap::open(path).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(FileMap::open("/").status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tessera
