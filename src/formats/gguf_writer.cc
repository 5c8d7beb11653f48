#include "formats/gguf_writer.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <unordered_set>

#include "base/math.h"
#include "base/pending_file.h"
#include "formats/gguf_header.h"
#include "formats/tensor_layout.h"
#include "formats/text.h"

namespace tessera {
namespace {

Status pad_to(uint64_t alignment, PendingFile* file) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  for (uint64_t left = round_up(file->position(), alignment) - file->position(); left > 0;) {
    const uint64_t piece = std::min<uint64_t>(left, kZeros.size());
    TESSERA_RETURN_IF_ERROR(file->write(std::span(kZeros).first(piece)));
    left -= piece;
  }
  return {};
}

class HeaderBytes {
 public:
  template <class T>
  void number(T value) {
    const auto* raw = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), raw, raw + sizeof(T));
  }
  void text(std::string_view text) {
    number(static_cast<uint64_t>(text.size()));
    const auto* raw = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), raw, raw + text.size());
  }
  template <class T>
  void item(const T& value) {
    if constexpr (std::is_same_v<T, std::string>)
      text(value);
    else if constexpr (std::is_same_v<T, bool>)
      number(static_cast<uint8_t>(value));
    else
      number(value);
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// MetadataScalar's (and MetadataArray's) alternatives are in GGUF's order, without its kArray.
GgufType type_of_alternative(size_t index) {
  const auto array = static_cast<size_t>(GgufType::kArray);
  return static_cast<GgufType>(index < array ? index : index + 1);
}

void put_value(const MetadataValue& value, HeaderBytes* out) {
  if (const auto* scalar = std::get_if<MetadataScalar>(&value)) {
    out->number(type_of_alternative(scalar->index()));
    std::visit([&](const auto& v) { out->item(v); }, *scalar);
    return;
  }
  const auto& array = std::get<MetadataArray>(value);
  out->number(GgufType::kArray);
  out->number(type_of_alternative(array.index()));
  std::visit(
      [&](const auto& items) {
        using V = typename std::decay_t<decltype(items)>::value_type;
        out->number(static_cast<uint64_t>(items.size()));
        for (size_t i = 0; i < items.size(); ++i) out->item<V>(items[i]);
      },
      array);
}

// Readers that show the beginning of a file expect general.* there.
void put_metadata(const Metadata& metadata, HeaderBytes* out) {
  for (const bool general : {true, false}) {
    for (const auto& [key, value] : metadata) {
      if (key.starts_with("general.") != general) continue;
      out->text(key);
      put_value(value, out);
    }
  }
}

Result<std::vector<WeightInfo>> describe(std::span<const GgufTensorOutput> tensors) {
  std::vector<WeightInfo> infos;
  std::unordered_set<std::string_view> names;
  for (const GgufTensorOutput& tensor : tensors) {
    if (tensor.name.empty() || tensor.name.size() > kGgufMaxNameBytes) {
      return invalid_argument("{}: a tensor's name has 1 to {} bytes", in_quotes(tensor.name), kGgufMaxNameBytes);
    }
    if (!names.insert(tensor.name).second) return invalid_argument("{}: tensor given twice", tensor.name);
    if (dtype_info(tensor.dtype).ggml_id < 0) {
      return unsupported("{}: GGUF has no tensor type {}", tensor.name, to_string(tensor.dtype));
    }
    std::vector<uint64_t> dims;
    for (int i = 0; i < tensor.shape.rank(); ++i) dims.push_back(static_cast<uint64_t>(tensor.shape[i]));
    if (dims.empty()) return invalid_argument("{}: expected 1 to 4 dimensions, found 0", tensor.name);
    TESSERA_ASSIGN_OR_RETURN(WeightInfo info, make_weight_info(tensor.name, tensor.dtype, dims));
    infos.push_back(std::move(info));
  }
  return infos;
}

void put_tensors(std::span<const WeightInfo> infos, uint64_t alignment, HeaderBytes* out) {
  uint64_t offset = 0;
  for (const WeightInfo& info : infos) {
    out->text(info.name);
    out->number(static_cast<uint32_t>(info.shape.rank()));
    for (int i = info.shape.rank(); i-- > 0;) out->number(static_cast<uint64_t>(info.shape[i]));
    out->number(static_cast<uint32_t>(dtype_info(info.dtype).ggml_id));
    out->number(offset);
    offset = round_up(offset + info.bytes, alignment);
  }
}

Status write_tensor(const GgufTensorOutput& tensor, const WeightInfo& info, uint64_t alignment, PendingFile* file) {
  const uint64_t end = file->position() + info.bytes;
  const auto sink = [&](std::span<const std::byte> bytes) -> Status {
    if (bytes.size() > end - file->position()) {
      return invalid_argument("{}: expected {} bytes, more were produced", info.name, info.bytes);
    }
    return file->write(bytes);
  };
  TESSERA_RETURN_IF_ERROR(tensor.produce(sink));
  if (file->position() != end) {
    return invalid_argument("{}: expected {} bytes, {} less were produced", info.name, info.bytes,
                            end - file->position());
  }
  return pad_to(alignment, file);
}

}  // namespace

Status write_gguf(const std::string& path, const Metadata& metadata, std::span<const GgufTensorOutput> tensors) {
  TESSERA_ASSIGN_OR_RETURN(const auto infos, describe(tensors));
  TESSERA_ASSIGN_OR_RETURN(const uint64_t alignment,
                           Metadata::value_or(metadata.u64("general.alignment"), kGgufDefaultAlignment));
  if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > kGgufMaxAlignment) {
    return invalid_argument("general.alignment: expected a power of two up to {}, found {}", kGgufMaxAlignment,
                            alignment);
  }
  HeaderBytes header;
  header.number(kGgufMagic);
  header.number(uint32_t{3});
  header.number(static_cast<uint64_t>(tensors.size()));
  header.number(static_cast<uint64_t>(metadata.size()));
  put_metadata(metadata, &header);
  put_tensors(infos, alignment, &header);

  TESSERA_ASSIGN_OR_RETURN(PendingFile file, PendingFile::create(path));
  TESSERA_RETURN_IF_ERROR(file.write(header.bytes()));
  if (!tensors.empty()) TESSERA_RETURN_IF_ERROR(pad_to(alignment, &file));
  for (size_t i = 0; i < tensors.size(); ++i) {
    TESSERA_RETURN_IF_ERROR(write_tensor(tensors[i], infos[i], alignment, &file));
  }
  return file.commit();
}

}  // namespace tessera
