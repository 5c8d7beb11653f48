#include "base/pending_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class PendingFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "tessera-pending-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST_F(PendingFileTest, AppearsWhenCommitted) {
  const fs::path path = folder_ / "a";
  std::ofstream(path) << "before";
  auto file = PendingFile::create(path.string());
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_TRUE(file->write(bytes_of("one ")).ok());
  ASSERT_TRUE(file->write(bytes_of("two")).ok());
  EXPECT_EQ(file->position(), 7u);
  EXPECT_EQ(contents(path), "before");
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(contents(path), "one two");
  EXPECT_EQ(files(), 1u);
}

TEST_F(PendingFileTest, LeavesNothingBehind) {
  const fs::path path = folder_ / "a";
  std::ofstream(path) << "before";
  {
    auto file = PendingFile::create(path.string());
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_TRUE(file->write(bytes_of("half of it")).ok());
    EXPECT_EQ(files(), 2u);
  }
  EXPECT_EQ(contents(path), "before");
  EXPECT_EQ(files(), 1u);
}

TEST_F(PendingFileTest, NamesThePathThatCannotBeWritten) {
  const std::string path = (folder_ / "missing" / "a").string();
  const Status status = write_file(path, "x");
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_NE(status.message().find(path), std::string::npos) << status.message();
}

TEST_F(PendingFileTest, KeepsLinksAndPermissions) {
  const fs::path target = folder_ / "target", link = folder_ / "link";
  std::ofstream(target) << "before";
  fs::permissions(target, fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink(target, link);
  auto file = PendingFile::create(link.string());
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_TRUE(file->write(bytes_of("whole")).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(contents(target), "whole");
  EXPECT_EQ(fs::status(target).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  ASSERT_TRUE(write_file(link.string(), "through").ok());
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(contents(target), "through");
  EXPECT_EQ(files(), 2u);
}

TEST_F(PendingFileTest, TwoOfOneNameDoNotMix) {
  const std::string path = (folder_ / "a").string();
  auto first = PendingFile::create(path), second = PendingFile::create(path);
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(first->write(bytes_of("first")).ok());
  ASSERT_TRUE(second->write(bytes_of("second")).ok());
  ASSERT_TRUE(second->commit().ok());
  EXPECT_EQ(contents(path), "second");
  ASSERT_TRUE(first->commit().ok());
  EXPECT_EQ(contents(path), "first");
  EXPECT_EQ(files(), 1u);
}

TEST_F(PendingFileTest, NeverReplacesAFolderOrPipe) {
  EXPECT_EQ(PendingFile::create(folder_.string()).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(write_file(folder_.string(), "x").code(), StatusCode::kIoError);
  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(PendingFile::create(pipe).status().code(), StatusCode::kInvalidArgument);
  const int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  EXPECT_TRUE(write_file(pipe, "through").ok());
  char read_back[16];
  EXPECT_EQ(std::string(read_back, static_cast<size_t>(std::max<ssize_t>(0, read(reader, read_back, 16)))), "through");
  close(reader);
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_EQ(files(), 1u);
}

}  // namespace
}  // namespace tessera
