#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace tessera {
namespace {

// Backtracking steps of one match. White space runs cost one step per character, so this allows runs of ten million.
constexpr uint32_t kMatchLimit = 20'000'000;
constexpr std::string_view kWhiteSpace =
    R"(\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

std::string expand_white_space(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        out += in_class ? std::string(kWhiteSpace) : "[" + std::string(kWhiteSpace) + "]";
      } else if (escaped == 'S' && !in_class) {
        out += "[^" + std::string(kWhiteSpace) + "]";
      } else {
        out += {'\\', escaped};
      }
      continue;
    }
    if (c == '[' && !in_class)
      in_class = true;
    else if (c == ']' && in_class)
      in_class = false;
    out += c;
  }
  return out;
}

// What a thread needs for matching; made once per thread.
struct MatchState {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, 1024 * 1024, nullptr);

  MatchState() {
    if (context == nullptr) return;
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~MatchState() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  MatchState(const MatchState&) = delete;
  MatchState& operator=(const MatchState&) = delete;
};

}  // namespace

void Regex::Deleter::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

Result<Regex> Regex::compile(std::string_view pattern) {
  const std::string expanded = expand_white_space(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expanded.data()), expanded.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code == nullptr) {
    PCRE2_UCHAR message[128] = {};
    pcre2_get_error_message(error, message, sizeof message);
    return invalid_argument("pattern, offset {}: {}", offset, reinterpret_cast<const char*>(message));
  }
  Regex regex;
  regex.code_.reset(code);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // fails where there is no JIT; matching then interprets
  return regex;
}

void Regex::split(std::string_view text, FunctionRef<void(std::string_view)> piece) const {
  static thread_local MatchState state;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t done = 0;  // everything before it has been given out
  while (done < text.size() && state.data != nullptr) {
    const int found = pcre2_match(code, subject, text.size(), done, PCRE2_NO_UTF_CHECK, state.data, state.context);
    if (found < 0) break;
    // Copied: `piece` may match another pattern with the same thread's state.
    const size_t begin = pcre2_get_ovector_pointer(state.data)[0];
    const size_t end = pcre2_get_ovector_pointer(state.data)[1];
    if (end <= begin) break;  // no pattern of ours matches nothing
    if (begin > done) piece(text.substr(done, begin - done));
    piece(text.substr(begin, end - begin));
    done = end;
  }
  if (done < text.size()) piece(text.substr(done));
}

}  // namespace tessera
