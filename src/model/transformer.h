// Transformer: a decoder-only model, bound and packed: embed; for each block norm, mixer, add, norm, ffn, add; final norm;
// logits. Immutable after load; safe to use from one thread at a time per OpContext.
#ifndef TESSERA_MODEL_TRANSFORMER_H_
#define TESSERA_MODEL_TRANSFORMER_H_

#include <memory>
#include <span>
#include <vector>

#include "attention/mixer.h"
#include "base/function_ref.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "ffn/channel_mixer.h"
#include "formats/weight_source.h"
#include "model/spec.h"

namespace tessera {

// Bytes of weights packed so far, and in total; false: stop loading (kCancelled).
using LoadProgress = FunctionRef<bool(uint64_t done_bytes, uint64_t total_bytes)>;

class Transformer {
 public:
  // Binds and packs every weight, tensor by tensor, giving file pages back as it goes. `weights` stays open: embedding rows
  // are read from it. Errors name the tensor, the expected and the found shape.
  static Result<std::unique_ptr<Transformer>> load(ModelSpec spec, std::shared_ptr<const WeightSource> weights,
                                                   ThreadPool& pool, LoadProgress progress);
  ~Transformer();

  const ModelSpec& spec() const { return spec_; }
  // Of each layer: what it remembers.
  std::vector<StateDeclaration> states() const;
  uint64_t weight_bytes() const;  // packed, without the embedding table
  StepCost cost(const StepShape& shape) const;

  // One forward pass. pages: one per layer. logits: [batch.logit_rows.size(), vocab].
  void forward(OpContext& ctx, const Batch& batch, std::span<const LayerPages> pages, Rows<float> logits) const;

 private:
  struct Block;
  struct Norm;
  explicit Transformer(ModelSpec spec);

  void embed(OpContext& ctx, const Batch& batch, Rows<float> x) const;
  void run_block(OpContext& ctx, const Batch& batch, const Block& block, LayerPages pages, const RopeRows& rope,
                 Rows<float> x) const;

  ModelSpec spec_;
  std::shared_ptr<const WeightSource> weights_;
  const WeightInfo* embedding_ = nullptr;   // [vocab, model_dim]
  std::vector<float> position_embedding_;   // [context, model_dim] or empty
  std::vector<RopeTable> rope_tables_;      // distinct settings; blocks hold an index
  std::vector<Block> blocks_;
  std::unique_ptr<Norm> final_norm_;
  Linear output_;  // [vocab, model_dim]
};

}  // namespace tessera

#endif  // TESSERA_MODEL_TRANSFORMER_H_
