// ModelSpec: what a checkpoint's metadata says about the network, in the project's own terms (docs/glossary.md). An
// adapter of model/arch/ fills it; everything else reads it: weight binding, the planner, `inspect`.
#ifndef TESSERA_MODEL_SPEC_H_
#define TESSERA_MODEL_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "attention/dense.h"
#include "base/status.h"
#include "ffn/dense.h"
#include "formats/metadata.h"
#include "formats/weight_source.h"

namespace tessera {

enum class NormKind { kRms, kLayer };

struct NormSpec {
  NormKind kind = NormKind::kRms;
  float eps = 1e-5f;
};

// Where the norms stand around a sub-layer f (mechanism M13).
enum class Wiring {
  kPre,       // x += f(norm(x))
  kPost,      // x = norm(x + f(x))
  kPrePost,   // x += norm_after(f(norm(x)))   (gemma 2)
  kParallel,  // x += attention(norm(x)) + ffn(norm(x))   (GPT-J, PaLM, falcon)
};

struct LayerSpec {
  DenseAttentionSettings attention;
  DenseFfnSettings ffn;
};

struct ModelSpec {
  std::string architecture;  // "llama"
  std::string name;          // for people; may be empty
  int64_t model_dim = 0;
  int64_t vocab = 0;
  int64_t context_tokens = 0;  // trained context
  std::vector<LayerSpec> layers;
  NormSpec norm;
  Wiring wiring = Wiring::kPre;
  bool qk_norm = false;               // RMS norm of each query and key head before rope
  bool tied_embeddings = false;       // logits use the embedding matrix
  bool position_embeddings = false;   // learned, added to the token embedding (gpt2)
  float embedding_scale = 1.0f;       // gemma: sqrt(model_dim)
  float logit_softcap = 0.0f;         // 0: none
  float logit_scale = 1.0f;

  int64_t parameters(const WeightSource& weights) const;
};

// Picks the adapter by general.architecture. kUnsupported lists the known families. `weights` gives what metadata leaves
// to the tensors: vocabulary size, whether output.weight exists, rope_freqs.
Result<ModelSpec> model_spec(const Metadata& metadata, const WeightSource& weights);

}  // namespace tessera

#endif  // TESSERA_MODEL_SPEC_H_
