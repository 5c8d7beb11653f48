#include "planner/measured.h"

#include <algorithm>

#include "planner/embedded.h"
#include "planner/json_fields.h"
#include "planner/resolve.h"

namespace tessera {
namespace {

using Json = nlohmann::json;

Result<MeasuredPoint> read_point(const Json& json, const std::string& where, const HardwareSpec& hardware) {
  MeasuredPoint point;
  std::string model, ffn = "ws2d", attention = "heads", mesh;
  int64_t chips = 1, layers = 0;
  JsonFields f(json, where);
  for (const char* key : {"model", "batch", "tokens", "seconds"}) f.require(key);
  f.text("figure", &point.where);
  f.text("model", &model);
  f.text("ffn", &ffn);
  f.text("attention", &attention);
  f.text("mesh", &mesh);
  f.text("weight_type", &point.types.weight_type);
  f.number("chips", &chips, 1, 65536);
  f.number("layers", &layers, 0, 100000);
  f.number("batch", &point.pass.sequences, 1, 1e9);
  f.number("tokens", &point.pass.tokens, 1, 1e9);
  f.number("context", &point.pass.context, 0, 1e9);
  f.number("steps", &point.steps, 0, 1e9);
  f.number("pipeline_stages", &point.partition.pipeline_stages, 1, 1e6);
  f.number("seconds", &point.seconds, 1e-12, 1e9);
  f.flag("fit", &point.fit);
  TESSERA_RETURN_IF_ERROR(f.status());
  TESSERA_ASSIGN_OR_RETURN(point.model, find_shipped_model(model));
  if (layers > 0) point.model.layers = layers;
  TESSERA_ASSIGN_OR_RETURN(point.partition.ffn, parse_ffn_layout(ffn));
  point.partition.attention = attention == "batch" ? AttentionLayout::kBatch : AttentionLayout::kHeads;
  point.partition.mesh = candidate_meshes(hardware, chips).front();
  if (!mesh.empty()) {
    TESSERA_ASSIGN_OR_RETURN(point.partition.mesh, parse_mesh(mesh));
  }
  return point;
}

Result<BenchRecord> read_record(const Json& json, const std::string& where) {
  BenchRecord record;
  MeasuredPoint& point = record.point;
  std::string file, weights = "stored", type_k = "f16", type_v;
  double avg_ns = 0, predicted_ns = 0;
  int64_t n_prompt = 0, n_gen = 0, depth = 0, sequences = 1;
  JsonFields f(json, where);
  f.text("model_filename", &file);
  f.text("type_k", &type_k);
  type_v = type_k;
  f.text("type_v", &type_v);
  f.text("weights", &weights);
  f.text("weight_type", &point.types.weight_type);
  f.number("avg_ns", &avg_ns, 1, 1e18);
  f.number("predicted_ns", &predicted_ns, 0, 1e18);
  f.number("n_batch", &point.chunk_tokens, 0, 1e9);
  f.number("n_prompt", &n_prompt, 0, 1e9);
  f.number("n_gen", &n_gen, 0, 1e9);
  f.number("n_depth", &depth, 0, 1e9);
  f.number("n_seqs", &sequences, 1, 1e6);
  f.require("avg_ns");
  f.number("peak_resident_bytes", &record.peak_resident_bytes, 0, 1e18);
  record.memory.context = 0;
  record.memory.sequences = 0;
  f.number("n_ctx", &record.memory.reserved_context, 0, 1e9);
  f.number("n_ctx_used", &record.memory.context, 0, 1e9);
  f.number("n_ctx_seqs", &record.memory.sequences, 0, 1e6);
  f.number("n_tokens_read", &record.memory.tokens_read, 0, 1e15);
  if (const Json* samples = f.array("samples_ns"); samples != nullptr && !samples->empty()) {
    // The median: one disturbed sample must not count as the machine's speed.
    std::vector<double> times;
    for (const Json& s : *samples) {
      if (s.is_number()) times.push_back(s.get<double>());
    }
    std::sort(times.begin(), times.end());
    if (!times.empty() && times.front() >= 1) avg_ns = (times[times.size() / 2] + times[(times.size() - 1) / 2]) / 2;
  }
  const Json* shape = f.object("shape");
  TESSERA_RETURN_IF_ERROR(f.status());
  if (n_prompt == 0 && n_gen == 0) return invalid_argument("{}: n_prompt and n_gen are both 0", where);
  if (n_prompt > 0 && n_gen > 0)
    return unsupported("{}: a record of prompt and generation together has no single phase", where);
  if (shape != nullptr) {
    TESSERA_ASSIGN_OR_RETURN(point.model, parse_model_shape(shape->dump(), where + ".shape"));
    if (point.model.stored_stack_bytes > 0) point.types.weight_type.clear();
  } else {
    TESSERA_ASSIGN_OR_RETURN(point.model, resolve_model(file));
    if (point.model.stored_stack_bytes > 0) point.types.weight_type.clear();
  }
  if (weights != "stored") point.types.weight_type = weights;  // converted while loading
  TESSERA_ASSIGN_OR_RETURN(const double k_bytes, page_element_bytes(type_k, point.model.head_dim));
  TESSERA_ASSIGN_OR_RETURN(const double v_bytes, page_element_bytes(type_v, point.model.head_dim));
  point.types.kv_element_bytes = (k_bytes + v_bytes) / 2;
  const double steps = n_gen > 0 ? static_cast<double>(n_gen) : 1.0;
  point.where = n_gen > 0 ? fmt::format("tg{}", n_gen) : fmt::format("pp{}", n_prompt);
  if (depth > 0) point.where += fmt::format(" @{}", depth);
  point.pass.sequences = sequences;
  point.pass.tokens = n_gen > 0 ? 1 : n_prompt;
  point.pass.context = depth + n_gen / 2;
  point.seconds = avg_ns * 1e-9 / steps;
  record.recorded_prediction = predicted_ns * 1e-9 / steps;
  MemoryRequest& memory = record.memory;
  if (memory.context == 0) memory.context = depth + n_prompt + n_gen;
  if (memory.sequences == 0) memory.sequences = sequences;
  memory.chunk_tokens = point.chunk_tokens > 0 ? point.chunk_tokens : kEngineChunkTokens;
  return record;
}

}  // namespace

const HardwareSpec& MeasuredPoint::with_rates(const HardwareSpec& hardware, HardwareSpec* storage) const {
  if (machine == nullptr) return hardware;
  *storage = *machine;
  storage->constants = hardware.constants;
  return *storage;
}

double predicted_seconds(const HardwareSpec& description, const MeasuredPoint& p) {
  HardwareSpec probed;
  const HardwareSpec& hardware = p.with_rates(description, &probed);
  const auto seconds = [&](const Pass& pass) { return predict_pass(p.model, hardware, p.partition, pass, p.types).total; };
  const int64_t chunk = p.chunk_tokens > 0 ? p.chunk_tokens : p.pass.tokens;
  double total = 0;
  for (int64_t done = 0; done < p.pass.tokens; done += chunk)
    total += seconds({p.pass.sequences, std::min(chunk, p.pass.tokens - done), p.pass.context + done});
  if (p.steps > 0)
    total += static_cast<double>(p.steps) * seconds({p.pass.sequences, 1, p.pass.context + p.pass.tokens + p.steps / 2});
  return total;
}

Result<std::vector<MeasuredPoint>> parse_measured(std::string_view text, std::string_view where,
                                                  const HardwareSpec& hardware) {
  TESSERA_ASSIGN_OR_RETURN(const Json json, parse_json(text, where));
  JsonFields f(json, std::string(where));
  f.require("points");
  const Json* rows = f.array("points");
  TESSERA_RETURN_IF_ERROR(f.status());
  std::vector<MeasuredPoint> points;
  for (const Json& row : *rows) {
    TESSERA_ASSIGN_OR_RETURN(MeasuredPoint point,
                             read_point(row, fmt::format("{} point {}", where, points.size()), hardware));
    points.push_back(std::move(point));
  }
  return points;
}

Result<std::vector<MeasuredPoint>> shipped_measured(std::string_view name, const HardwareSpec& hardware) {
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path == fmt::format("measured/{}.json", name)) return parse_measured(file.text, file.path, hardware);
  }
  return not_found("no shipped measurements '{}'", name);
}

Result<std::vector<BenchRecord>> parse_bench_results(std::string_view text, std::string_view where) {
  std::vector<BenchRecord> records;
  std::vector<std::shared_ptr<const HardwareSpec>> machines;
  const auto add = [&](const Json& json) -> Status {
    const std::string name = fmt::format("{} record {}", where, records.size());
    TESSERA_ASSIGN_OR_RETURN(BenchRecord record, read_record(json, name));
    if (!machines.empty()) {
      int64_t machine = 0;
      JsonFields f(json, name);
      f.number("machine", &machine, 0, static_cast<double>(machines.size() - 1));
      TESSERA_RETURN_IF_ERROR(f.status());
      record.point.machine = machines[static_cast<size_t>(machine)];
    }
    records.push_back(std::move(record));
    return Status();
  };
  // One document with machines, or an array, or lines of objects.
  if (const Json whole = Json::parse(text, nullptr, false); whole.is_object() && whole.contains("records")) {
    JsonFields f(whole, std::string(where));
    const Json* rows = f.array("records");
    const Json* list = f.array("machines");
    TESSERA_RETURN_IF_ERROR(f.status());
    for (const Json& machine : list != nullptr ? *list : Json::array()) {
      TESSERA_ASSIGN_OR_RETURN(HardwareSpec spec, parse_hardware(machine.dump(), fmt::format("{} machine {}", where, machines.size())));
      machines.push_back(std::make_shared<const HardwareSpec>(std::move(spec)));
    }
    for (const Json& row : *rows) TESSERA_RETURN_IF_ERROR(add(row));
    return records;
  }
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '[') {
    TESSERA_ASSIGN_OR_RETURN(const Json json, parse_json(text, where));
    for (const Json& row : json) TESSERA_RETURN_IF_ERROR(add(row));
    return records;
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    TESSERA_ASSIGN_OR_RETURN(const Json json, parse_json(line, where));
    TESSERA_RETURN_IF_ERROR(add(json));
  }
  if (records.empty()) return invalid_argument("{}: no records", where);
  return records;
}

Result<std::vector<BenchRecord>> engine_measurements() {
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path == "measured/engine.json") return parse_bench_results(file.text, file.path);
  }
  return not_found("measured/engine.json is not part of this build");
}

BenchPrediction predict_bench(const ModelShape& model, const HardwareSpec& hardware, const BenchTest& test) {
  MeasuredPoint point;
  point.model = model;
  point.types.kv_element_bytes = test.kv_element_bytes;
  if (model.stored_stack_bytes > 0) point.types.weight_type.clear();
  point.pass = {test.sequences, test.prompt_tokens, test.depth};
  point.chunk_tokens = test.batch_tokens;
  point.steps = test.generated_tokens;
  BenchPrediction prediction;
  prediction.seconds = predicted_seconds(hardware, point);
  prediction.relative_error = prediction_error(model, hardware);
  prediction.below_calibrated_size = below_calibrated_size(model, hardware);
  const int64_t context = test.depth + test.prompt_tokens + test.generated_tokens;
  const MemoryRequest request{test.most_sequences > 0 ? test.most_sequences : test.sequences,
                              test.used_context > 0 ? test.used_context : context, test.batch_tokens, test.context_tokens,
                              test.tokens_read};
  prediction.peak_bytes = memory_per_chip(model, hardware, {}, point.types, request).total();
  return prediction;
}

}  // namespace tessera
