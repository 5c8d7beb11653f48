// The common prompt formats by name, for model files without a template of their own. The formats are those that the models'
// cards document; the templates are written here, as short as they get: text messages only, no tools.
#include <algorithm>
#include <array>

#include "tokenizer/chat_template.h"

namespace tessera {
namespace {

struct NamedTemplate {
  std::string_view name;
  std::string_view source;
};

// Before the first message: takes a system message out of `messages` into `system`, for formats without that role.
#define TESSERA_SPLIT_SYSTEM                                                              \
  "{% set system = '' %}{% set turns = messages %}"                                       \
  "{% if messages and messages[0].role == 'system' %}"                                    \
  "{% set system = messages[0].content %}{% set turns = messages[1:] %}{% endif %}"

constexpr std::array kTemplates = {
    NamedTemplate{"chatml",
                  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
                  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"},
    NamedTemplate{"deepseek",
                  "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
                  "{% elif m.role == 'assistant' %}{{ '<｜Assistant｜>' + m.content + eos_token }}"
                  "{% else %}{{ m.content }}{% endif %}{% endfor %}"
                  "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"},
    NamedTemplate{"gemma", TESSERA_SPLIT_SYSTEM
                  "{{ bos_token }}{% for m in turns %}"
                  "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else 'user') + '\\n' }}"
                  "{% if loop.first and system %}{{ system | trim + '\\n\\n' }}{% endif %}"
                  "{{ m.content | trim + '<end_of_turn>\\n' }}{% endfor %}"
                  "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"},
    NamedTemplate{"llama2", TESSERA_SPLIT_SYSTEM
                  "{% for m in turns %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' }}"
                  "{% if loop.first and system %}{{ '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' }}{% endif %}"
                  "{{ m.content | trim + ' [/INST]' }}"
                  "{% else %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"},
    NamedTemplate{"llama3",
                  "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}"
                  "{{ m.content | trim + '<|eot_id|>' }}{% endfor %}"
                  "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"},
    NamedTemplate{"mistral", TESSERA_SPLIT_SYSTEM
                  "{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}{{ '[INST] ' }}"
                  "{% if loop.last and system %}{{ system + '\\n\\n' }}{% endif %}{{ m.content + '[/INST]' }}"
                  "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"},
    NamedTemplate{"phi3",
                  "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}"
                  "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"},
    NamedTemplate{"phi4",
                  "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}{% endfor %}"
                  "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"},
    NamedTemplate{"vicuna", TESSERA_SPLIT_SYSTEM
                  "{% if system %}{{ system + '\\n\\n' }}{% endif %}{% for m in turns %}"
                  "{% if m.role == 'user' %}{{ 'USER: ' + m.content + '\\n' }}"
                  "{% else %}{{ 'ASSISTANT: ' + m.content + eos_token + '\\n' }}{% endif %}{% endfor %}"
                  "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"},
    NamedTemplate{"zephyr",
                  "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}{% endfor %}"
                  "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"},
};

#undef TESSERA_SPLIT_SYSTEM

constexpr auto kNames = [] {
  std::array<std::string_view, kTemplates.size()> names;
  std::ranges::transform(kTemplates, names.begin(), &NamedTemplate::name);
  return names;
}();

}  // namespace

std::span<const std::string_view> chat_template_names() { return kNames; }

Result<ChatTemplate> named_chat_template(std::string_view name, const Tokenizer& tokenizer) {
  const auto* found = std::ranges::find(kTemplates, name, &NamedTemplate::name);
  if (found == kTemplates.end()) {
    std::string list;
    for (const std::string_view known : kNames) list.append(list.empty() ? "" : ", ").append(known);
    return not_found("chat template: expected one of {}, found '{}'", list, name);
  }
  return ChatTemplate::parse(std::string(found->source), std::string(tokenizer.token_text(tokenizer.bos_id())),
                             std::string(tokenizer.token_text(tokenizer.eos_id())));
}

}  // namespace tessera
