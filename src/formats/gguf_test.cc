#include "formats/gguf.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "formats/gguf_writer.h"
#include "formats/tensor_layout.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::string data_folder() { return std::string(TESSERA_SOURCE_DIR) + "/../shared/data"; }

class GgufFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("tessera_gguf_{}", getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

GgufTensorOutput f32_tensor(const std::string& name, Shape shape, float first) {
  return {name, DType::kF32, shape, [shape, first](ByteSink sink) -> Status {
            for (int64_t i = 0; i < shape.elements(); ++i) {  // one number a piece
              const float value = first + static_cast<float>(i);
              TESSERA_RETURN_IF_ERROR(sink(std::as_bytes(std::span(&value, 1))));
            }
            return {};
          }};
}

std::vector<float> read_f32(const Checkpoint& checkpoint, std::string_view name) {
  const WeightInfo* weight = checkpoint.weights->find(name);
  if (weight == nullptr) return {};
  std::vector<float> out(static_cast<size_t>(weight->shape.elements()));
  unpack_rows(weight->dtype, checkpoint.weights->read(*weight).bytes.data(), weight->shape.rows(), weight->shape.cols(),
              out.data());
  return out;
}

Metadata every_type() {
  Metadata m;
  m.set("a.u8", MetadataScalar(uint8_t{255}));
  m.set("a.i8", MetadataScalar(int8_t{-128}));
  m.set("a.u16", MetadataScalar(uint16_t{65535}));
  m.set("a.i16", MetadataScalar(int16_t{-32768}));
  m.set("a.u32", MetadataScalar(~uint32_t{0}));
  m.set("a.i32", MetadataScalar(int32_t{-5}));
  m.set("a.f32", MetadataScalar(1.5f));
  m.set("a.bool", MetadataScalar(true));
  m.set("a.text", "héllo");
  m.set("a.u64", MetadataScalar(~uint64_t{0}));
  m.set("a.i64", MetadataScalar(int64_t{-6}));
  m.set("a.f64", MetadataScalar(2.5));
  m.set("b.u8", MetadataArray(std::vector<uint8_t>{1, 2}));
  m.set("b.f32", MetadataArray(std::vector<float>{1, 2}));
  m.set("b.bool", MetadataArray(std::vector<bool>{true, false, true}));
  m.set("b.text", MetadataArray(std::vector<std::string>{"", "x"}));
  m.set("b.empty", MetadataArray(std::vector<int64_t>{}));
  m.set("general.architecture", "test");
  return m;
}

TEST_F(GgufFiles, WriteThenReadKeepsEveryTypeAndBit) {
  Metadata m = every_type();
  m.set("general.alignment", MetadataScalar(uint32_t{64}));
  const std::vector<GgufTensorOutput> tensors = {f32_tensor("one", {3, 5}, 10), f32_tensor("two", {7}, -3),
                                                 f32_tensor("three", {2, 2, 2, 2}, 0)};
  ASSERT_TRUE(write_gguf(path("m.gguf"), m, tensors).ok());
  auto opened = open_checkpoint(path("m.gguf"));
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  ASSERT_EQ(opened->metadata.size(), m.size());
  for (const auto& [key, value] : m) {
    ASSERT_NE(opened->metadata.find(key), nullptr) << key;
    EXPECT_EQ(*opened->metadata.find(key), value) << key;
  }
  EXPECT_EQ(opened->weights->find("one")->shape, (Shape{3, 5}));
  EXPECT_EQ(opened->weights->find("three")->shape, (Shape{2, 2, 2, 2}));
  const auto one = read_f32(*opened, "one");
  EXPECT_EQ(one[0], 10.0f);
  EXPECT_EQ(one[14], 24.0f);
  const WeightInfo copy = *opened->weights->find("one");
  const auto row = opened->weights->read_rows(copy, 1, 2).bytes;
  ASSERT_EQ(row.size(), 20u);
  EXPECT_EQ(*reinterpret_cast<const float*>(row.data()), 15.0f);
  opened->weights->release(copy);
}

TEST_F(GgufFiles, FolderWithOneFileOpensThatFile) {
  ASSERT_TRUE(write_gguf(path("m.gguf"), every_type(), std::vector{f32_tensor("one", {4}, 1)}).ok());
  EXPECT_TRUE(open_checkpoint(folder_.string()).ok());
  ASSERT_TRUE(write_gguf(path("n.gguf"), every_type(), {}).ok());
  EXPECT_NE(open_checkpoint(folder_.string()).status().message().find("has 2 .gguf files"), std::string::npos);
  EXPECT_EQ(open_checkpoint(path("absent.gguf")).status().code(), StatusCode::kNotFound);
}

TEST_F(GgufFiles, WriterRefusesWrongByteCountsAndLeavesNoFile) {
  auto tensor = f32_tensor("one", {4}, 1);
  tensor.produce = [](ByteSink sink) {
    const float value = 1;
    return sink(std::as_bytes(std::span(&value, 1)));
  };
  const Status status = write_gguf(path("m.gguf"), {}, std::vector{tensor});
  EXPECT_EQ(status.message(), "one: expected 16 bytes, 12 less were produced");
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_FALSE(write_gguf(path("m.gguf"), {}, std::vector{f32_tensor("a", {1}, 0), f32_tensor("a", {1}, 0)}).ok());
  EXPECT_FALSE(write_gguf(path("no/such/folder.gguf"), {}, {}).ok());
}

void write_split(const std::string& file, uint16_t number, uint16_t count, int32_t total, const std::string& tensor) {
  Metadata m;
  if (number == 0) m.set("general.architecture", "test");
  m.set("split.no", MetadataScalar(number));
  m.set("split.count", MetadataScalar(count));
  m.set("split.tensors.count", MetadataScalar(total));
  ASSERT_TRUE(write_gguf(file, m, std::vector{f32_tensor(tensor, {8}, number)}).ok());
}

TEST_F(GgufFiles, SplitSetOpensByItsFirstFile) {
  write_split(path("m-00001-of-00002.gguf"), 0, 2, 2, "one");
  EXPECT_EQ(open_checkpoint(path("m-00001-of-00002.gguf")).status().code(), StatusCode::kNotFound);
  write_split(path("m-00002-of-00002.gguf"), 1, 2, 2, "two");
  auto opened = open_checkpoint(folder_.string());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(opened->weights->weights().size(), 2u);
  EXPECT_EQ(read_f32(*opened, "two")[0], 1.0f);
  EXPECT_NE(open_checkpoint(path("m-00002-of-00002.gguf")).status().message().find("open the first one"),
            std::string::npos);
  write_split(path("m-00002-of-00002.gguf"), 1, 2, 2, "one");
  EXPECT_NE(open_checkpoint(path("m-00001-of-00002.gguf")).status().message().find("one: tensor is in two files"),
            std::string::npos);
  write_split(path("m-00002-of-00002.gguf"), 1, 3, 2, "two");
  EXPECT_NE(open_checkpoint(path("m-00001-of-00002.gguf")).status().message().find("expected file 2 of 2"),
            std::string::npos);
  write_split(path("m-00001-of-00002.gguf"), 0, 2, 3, "one");
  write_split(path("m-00002-of-00002.gguf"), 1, 2, 3, "two");
  EXPECT_NE(open_checkpoint(path("m-00001-of-00002.gguf")).status().message().find("split.tensors.count"),
            std::string::npos);
}

TEST_F(GgufFiles, HeaderOnlyReadsTheBeginningOfAFile) {
  ASSERT_TRUE(write_gguf(path("m.gguf"), every_type(), std::vector{f32_tensor("one", {1000, 10}, 1)}).ok());
  auto complete = open_checkpoint(path("m.gguf"), {.header_only = true});
  ASSERT_TRUE(complete.ok()) << complete.status().message();
  EXPECT_EQ(complete->missing_bytes, 0u);
  const uint64_t whole = fs::file_size(path("m.gguf"));
  fs::resize_file(path("m.gguf"), 4096);
  EXPECT_NE(open_checkpoint(path("m.gguf")).status().message().find("one: bytes"), std::string::npos);
  auto opened = open_checkpoint(path("m.gguf"), {.header_only = true});
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(opened->weights->find("one")->bytes, 40000u);
  EXPECT_EQ(opened->missing_bytes, whole - 4096);
}

TEST_F(GgufFiles, HeaderOnlyAddsWhatTheFilesOfASetLack) {
  const std::string first = path("m-00001-of-00002.gguf"), second = path("m-00002-of-00002.gguf");
  write_split(first, 0, 2, 2, "one");
  write_split(second, 1, 2, 2, "two");
  fs::resize_file(first, fs::file_size(first) - 8);
  fs::resize_file(second, fs::file_size(second) - 4);
  auto opened = open_checkpoint(first, {.header_only = true});
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(opened->missing_bytes, 12u);
}

TEST(TensorLayout, MissingBytesDoNotWrapAround) {
  uint64_t missing = 0;
  add_missing(uint64_t{1} << 63, 0, &missing);
  add_missing(uint64_t{1} << 63, 0, &missing);
  EXPECT_EQ(missing, std::numeric_limits<uint64_t>::max());
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return sum;
}

// Files that llama.cpp quantized from model-f32.gguf: what this project reads from them is near the originals, and what
// it packs itself is not worse.
TEST(GgufRealFiles, QuantizedFilesAreReadRightAndPackingIsNotWorse) {
  const std::string folder = data_folder() + "/babyllama361-hf-gguf/model-";
  if (!fs::exists(folder + "f32.gguf")) GTEST_SKIP() << "no " << folder << "f32.gguf";
  auto source = open_checkpoint(folder + "f32.gguf");
  ASSERT_TRUE(source.ok()) << source.status().message();
  for (const char* type : {"f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"}) {
    auto quantized = open_checkpoint(folder + type + ".gguf");
    ASSERT_TRUE(quantized.ok()) << quantized.status().message();
    double theirs = 0, ours = 0, power = 0;
    for (const WeightInfo& weight : quantized->weights->weights()) {
      const auto original = read_f32(*source, weight.name);
      const auto read = read_f32(*quantized, weight.name);
      ASSERT_EQ(original.size(), read.size()) << weight.name;
      if (weight.dtype == DType::kF32) {
        EXPECT_EQ(original, read) << type << " " << weight.name;
        continue;
      }
      std::vector<std::byte> bytes(weight.bytes);
      std::vector<float> packed(original.size());
      const BlockFormat* format = block_format(weight.dtype);
      const auto n = static_cast<int64_t>(original.size());
      format->pack(original.data(), nullptr, bytes.data(), n);
      format->unpack(bytes.data(), packed.data(), n);
      theirs += squared_error(original, read);
      ours += squared_error(original, packed);
      power += squared_error(original, std::vector<float>(original.size()));
    }
    std::printf("%-7s relative rmse: llama.cpp's bytes %.6f, ours %.6f\n", type, std::sqrt(theirs / power),
                std::sqrt(ours / power));
    EXPECT_LT(std::sqrt(theirs / power), 0.12) << type;
    EXPECT_LE(ours, theirs) << type;
  }
}

TEST(GgufRealFiles, VocabularyFilesWithoutTensors) {
  const std::string folder = data_folder() + "/tok-ggml-vocab";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    auto opened = open_checkpoint(entry.path().string());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    EXPECT_TRUE(opened->metadata.text_array("tokenizer.ggml.tokens").ok()) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 7);
}

}  // namespace
}  // namespace tessera
