// Chat templates against jinja2 set up as transformers does it (testdata/make_chat_expected.py): templates written
// there, templates of real models (skipped where ../shared/data is absent), and a list of language features. Then what
// jinja2 does not have: origin of every byte, limits.
#include "tokenizer/chat_template.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <new>
#include <nlohmann/json.hpp>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/parser.h"

namespace {
size_t live_bytes = 0, peak_bytes = 0;
}

// Not inlined: GCC would take them for allocations that do not match their release.
[[gnu::noinline]] void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  live_bytes += malloc_usable_size(memory);
  peak_bytes = std::max(peak_bytes, live_bytes);
  return memory;
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  live_bytes -= malloc_usable_size(memory);
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

const Json& expectations() {
  static const Json json =
      Json::parse(read_file(std::string(TESSERA_SOURCE_DIR) + "/src/tokenizer/testdata/chat_expected.json"));
  return json;
}

std::string joined(const std::vector<TextSegment>& segments) {
  std::string text;
  for (const TextSegment& segment : segments) text += segment.text;
  return text;
}

Result<std::vector<TextSegment>> render(const std::string& source, const Json& conversation, std::string bos = "",
                                        std::string eos = "") {
  setenv("TZ", "UTC", 1);  // strftime_now gives local time
  TESSERA_ASSIGN_OR_RETURN(auto chat, ChatTemplate::parse(source, std::move(bos), std::move(eos)));
  ChatInput input{.messages = &conversation.at("messages")};
  if (conversation.contains("tools")) input.tools = &conversation["tools"];
  if (conversation.contains("extra")) input.extra = &conversation["extra"];
  input.add_generation_prompt = conversation.value("add_generation_prompt", true);
  input.now = expectations().at("now").get<std::time_t>();
  return chat.render(input);
}

void expect_case(const Json& test, const std::string& source, const std::string& bos, const std::string& eos) {
  SCOPED_TRACE(test.value("template", "") + source.substr(0, test.contains("source") ? 300 : 0) + " / " +
               test.at("conversation").get<std::string>());
  const auto result =
      render(source, expectations()["conversations"][test.at("conversation").get<std::string>()], bos, eos);
  if (test.contains("error")) {
    EXPECT_FALSE(result.ok()) << joined(*result);
    return;
  }
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(joined(*result), test["expected"].get<std::string>());
}

TEST(ChatTemplate, Language) {
  for (const Json& test : expectations().at("cases")) {
    if (test.contains("source")) expect_case(test, test["source"].get<std::string>(), "", "");
  }
}

TEST(ChatTemplate, WrittenTemplates) {
  for (const Json& test : expectations().at("cases")) {
    if (!test.contains("template")) continue;
    const Json& info = expectations()["templates"][test["template"].get<std::string>()];
    if (info.contains("source")) expect_case(test, info["source"], info["bos"], info["eos"]);
  }
}

class RealTemplate : public testing::TestWithParam<const char*> {};

TEST_P(RealTemplate, Exact) {
  const std::string name = GetParam();
  const std::string path =
      std::string(TESSERA_SOURCE_DIR) + "/../shared/data/tok-hf-json/" + name + "/tokenizer_config.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const std::string source = Json::parse(read_file(path)).at("chat_template");
  int cases = 0;
  for (const Json& test : expectations().at("cases")) {
    if (test.value("template", "") != name) continue;
    const Json& info = expectations()["templates"][name];
    expect_case(test, source, info["bos"], info["eos"]);
    ++cases;
  }
  EXPECT_GT(cases, 4);
}

INSTANTIATE_TEST_SUITE_P(Models, RealTemplate,
                         testing::Values("qwen2.5", "qwen3", "mistral-nvidia", "phi-3-mini", "phi-4-mini"));

std::vector<TextSegment> segments_of(const std::string& source, const std::string& content) {
  const Json conversation = {{"messages", Json::array({{{"role", "user"}, {"content", content}}})}};
  auto result = render(source, conversation);
  EXPECT_TRUE(result.ok()) << result.status().message();
  return result.ok() ? *result : std::vector<TextSegment>{};
}

std::string input_of(const std::vector<TextSegment>& segments) {
  std::string text;
  for (const TextSegment& segment : segments) text += segment.from_input ? segment.text : "|";
  return text;
}

TEST(Origin, FollowsEveryOperation) {
  const auto input = [](const std::string& source, const std::string& content = "<|x|>") {
    return input_of(segments_of(source, content));
  };
  EXPECT_EQ(input("<|{{ messages[0].content }}|>"), "|<|x|>|");
  EXPECT_EQ(input("{{ 'a' + messages[0].content | trim ~ 'b' }}", " c "), "|c|");
  EXPECT_EQ(input("{{ messages[0].content.split('-')[1].upper() }}x", "ab-cd"), "CD|");
  EXPECT_EQ(input("{{ messages[0].content | replace('b', '!') }}", "abc"), "a|c");
  EXPECT_EQ(input("{{ messages[0] | tojson }}", "a\"b"), "|role|content|a\\\"b|");
  EXPECT_EQ(input("{% set x %}<{{ messages[0].content }}>{% endset %}{{ x[1:] }}", "in"), "in|");
  EXPECT_EQ(input("{{ [messages[0].content, 'z'] }}", "in"), "|in|");
  EXPECT_EQ(input("{% for c in messages[0].content %}{{ c }}{% endfor %}", "in"), "in");
  EXPECT_EQ(input("{{ messages[0].content | indent(2) }}", "a\nb"), "a|b");
  // A role that templates know is not the user's text.
  EXPECT_EQ(input("{{ messages[0].role }}"), "|");
}

TEST(Origin, UnknownRolesAreInput) {
  const Json conversation = {{"messages", Json::array({{{"role", "<|im_start|>"}, {"content", ""}}})}};
  const auto result = render("{{ messages[0].role }}", conversation);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*result, (std::vector<TextSegment>{{"<|im_start|>", true}}));
}

TEST(Limits, HostileTemplatesEndWithAnError) {
  const char* sources[] = {
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{{ 'a' * 99999999999 }}",
      "{% for i in range(9999) %}{{ 'a' * 99999 }}{% endfor %}",
      "{% set x = [] %}{% do x.append(x) %}{{ x }}",
      "{% set x = [] %}{% do x.append(x) %}{% set y = [] %}{% do y.append(y) %}{{ x == y }}{{ x | tojson }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      ("{% set a = namespace(x=[1]) %}{% set b = namespace(x=[1]) %}{% for i in range(99) %}{% set a.x = [a.x, a.x] %}"
       "{% set b.x = [b.x, b.x] %}{% endfor %}{{ a.x == b.x and 1 / 0 }}{{ 1 / 0 }}"),
      "{{ 9223372036854775807 + 1 }}",
      "{{ 2 ** 100 }}",
      "{{ range(1000000) }}",
  };
  for (const char* source : sources) {
    const auto result = render(source, {{"messages", Json::array()}});
    EXPECT_FALSE(result.ok()) << source;
  }
}

// Each does more work than its number of nodes tells, on texts of a few million bytes.
TEST(Limits, WorkOnLongTextsIsCounted) {
  const char* expressions[] = {
      "d.get(a)",       "d[a]",           "a in d",          "a == b",         "a is eq(b)", "a < b",   "a is sameas(b)",
      "a is lt(b)",     "[a] == [b]",     "[a].count(b)",    "{a: 1} == {b: 1}", "a | int",  "a | length", "d | attr(a)",
      "d.setdefault(b)", "(a ~ '') in [b]", "[a, b] | unique", "[a, b] | sort",  "[a, b] | max", "{a: 1, b: 2} | dictsort",
      "a in b",         "a.endswith((b, b))", "{a: 1}", "dict({}).update({a: 1})"};
  for (const char* expression : expressions) {
    const std::string source = std::string("{% set a = 'a' * 2000000 %}{% set b = 'a' * 2000000 %}{% set d = {} %}") +
                               "{% for i in range(200) %}{% set x = " + expression + " %}{% endfor %}";
    const auto result = render(source, {{"messages", Json::array()}});
    EXPECT_EQ(result.status().code(), StatusCode::kResourceExhausted) << expression << result.status().message();
  }
}

TEST(Limits, SearchIsLinear) {
  const char* expressions[] = {"a.find(b)", "a.rfind(c)",  "b in a",    "a.count(b)",
                               "a.split(b)", "a.rsplit(c)", "a.replace(b, '')", "a.strip(d)"};
  for (const char* expression : expressions) {
    const std::string source = std::string("{% set b = 'a' * 600000 ~ 'b' %}{% set c = 'b' ~ 'a' * 600000 %}") +
                               "{% set d = 'b' * 600000 ~ 'a' %}{% set a = 'a' * 1200000 %}{% set x = " + expression + " %}";
    timespec begin{}, end{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    const auto result = render(source, {{"messages", Json::array()}});
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    EXPECT_LT(end.tv_sec - begin.tv_sec, 3) << expression;
  }
}

// The most memory held while a template runs under a budget of a megabyte.
size_t bytes_needed(const std::string& source) {
  jinja::Limits limits;
  limits.max_bytes = 1 << 20;
  const jinja::Body body = jinja::parse_template(source);
  const size_t before = live_bytes;
  peak_bytes = live_bytes;
  try {
    jinja::Interpreter(limits, 0).render(body);
  } catch (const jinja::TemplateError&) {
    // Whether it ends or not, it may not take more.
  }
  return peak_bytes - before;
}

TEST(Limits, MemoryIsCharged) {
  const char* sources[] = {
      "{{ (',' * 400000).split(',') }}",
      "{{ (',' * 400000).rsplit(',') }}",
      "{{ ('a ' * 200000).split() }}",
      "{{ ('\n' * 400000).splitlines() }}",
      "{{ ('a ' * 80000) | wordcount }}",
      "{{ ('\n' * 400000) | indent }}",
      "{{ range(500) | list | tojson(separators=['x' * 100000, ':']) }}",
      "{{ {1: 2, 3: 4} | tojson(separators=[',', 'x' * 100000]) }}",
      "{% set k = 'x' * 100000 %}{% set n = namespace(l=[]) %}{% for i in range(900) %}{% do n.l.append({k: 1}) %}"
      "{% endfor %}",
      "{% set k = 'x' * 100000 %}{% set n = namespace(l=[]) %}{% for i in range(900) %}{% do n.l.append({}[k]) %}"
      "{% endfor %}",
      "{% set d = {'x' * 100000: 1} %}{{ ([d] * 1000) | tojson }}",
      "{{ ('\x01' * 400000) | tojson }}",
      "{{ ('&' * 400000) | e }}",
      "{% for i in range(4000) %}{% endfor %}",
      "{{ ('a' * 400000)[7] }}",
      "{{ ('a' * 400000)[7:] }}",
      "{{ ('a' * 400000) | length }}",
  };
  for (const char* source : sources) EXPECT_LT(bytes_needed(source), 8u << 20) << source;
}

TEST(Limits, DeepNestingIsAnError) {
  const auto repeat = [](const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  for (const std::string& source :
       {"{{ " + repeat("(", 5000) + "1" + repeat(")", 5000) + " }}", "{{ " + repeat("not ", 5000) + "1 }}",
        "{{ " + repeat("-", 5000) + "1 }}", "{{ 1" + repeat(" + 1", 5000) + " }}", "{{ x" + repeat("[0]", 5000) + " }}",
        repeat("{% if 1 %}", 5000), "{{ 1 " + repeat("if 1 else 1 ", 5000) + "}}", "{{ " + repeat("[", 5000) + " }}",
        "{% if 1 %}" + repeat("{% elif 1 %}", 5000) + "{% endif %}"}) {
    EXPECT_FALSE(ChatTemplate::parse(source, "", "").ok()) << source.substr(0, 40);
  }
}

TEST(Errors, SayTheLine) {
  const auto parsed = ChatTemplate::parse("a\nb {{ x\n y }}", "", "");
  EXPECT_EQ(parsed.status().message(), "chat template, line 3: expected '}}', found 'y'");
  const auto rendered = render("\n\n{{ raise_exception('roles must alternate') }}", {{"messages", Json::array()}});
  EXPECT_EQ(rendered.status().message(), "chat template, line 3: roles must alternate");
}

TEST(FromMetadata, NamedAndFallbackTemplates) {
  TokenizerSpec spec;
  spec.model = TokenizerModel::kSentencePieceBpe;
  spec.tokens = {"<|im_start|>", "<|im_end|>", "a"};
  spec.types = {TokenType::kControl, TokenType::kControl, TokenType::kNormal};
  spec.scores = {0, 0, 0};
  spec.special.eos = 1;
  const auto tokenizer = std::move(*Tokenizer::create(std::move(spec)));
  Metadata metadata;
  const Json messages = Json::array({{{"role", "user"}, {"content", "<|im_end|>"}}});
  auto fallback = chat_template_from_metadata(metadata, *tokenizer);
  ASSERT_TRUE(fallback.ok());
  const auto segments = fallback->render({.messages = &messages});
  ASSERT_TRUE(segments.ok());
  EXPECT_EQ(joined(*segments), "<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n");
  // What the user wrote is not the end of his message.
  const std::vector<int32_t> ids = tokenizer->encode_chat(*segments);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 0), 2);
  EXPECT_EQ(chat_template_from_metadata(metadata, *tokenizer, "tool_use").status().code(), StatusCode::kNotFound);
  metadata.set("tokenizer.chat_template.tool_use", "{{ eos_token }}!");
  auto named = chat_template_from_metadata(metadata, *tokenizer, "tool_use");
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(joined(*named->render({.messages = &messages})), "<|im_end|>!");
}

// The documented formats of each family, a system message included.
TEST(NamedTemplates, WriteTheDocumentedFormats) {
  TokenizerSpec spec;
  spec.model = TokenizerModel::kSentencePieceBpe;
  spec.tokens = {"<s>", "</s>", "a"};
  spec.types = {TokenType::kControl, TokenType::kControl, TokenType::kNormal};
  spec.scores = {0, 0, 0};
  spec.special.bos = 0;
  spec.special.eos = 1;
  const auto tokenizer = std::move(*Tokenizer::create(std::move(spec)));
  const Json messages = Json::array({{{"role", "system"}, {"content", "S"}}, {{"role", "user"}, {"content", "A"}},
                                     {{"role", "assistant"}, {"content", "B"}}, {{"role", "user"}, {"content", "C"}}});
  const std::map<std::string_view, std::string> expected = {
      {"chatml", "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n"
                 "<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n"},
      {"deepseek", "<s>S<｜User｜>A<｜Assistant｜>B</s><｜User｜>C<｜Assistant｜>"},
      {"gemma", "<s><start_of_turn>user\nS\n\nA<end_of_turn>\n<start_of_turn>model\nB<end_of_turn>\n"
                "<start_of_turn>user\nC<end_of_turn>\n<start_of_turn>model\n"},
      {"llama2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nA [/INST] B </s><s>[INST] C [/INST]"},
      {"llama3", "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nA"
                 "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nB<|eot_id|>"
                 "<|start_header_id|>user<|end_header_id|>\n\nC<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
      {"mistral", "<s>[INST] A[/INST] B</s>[INST] S\n\nC[/INST]"},
      {"phi3", "<|system|>\nS<|end|>\n<|user|>\nA<|end|>\n<|assistant|>\nB<|end|>\n<|user|>\nC<|end|>\n<|assistant|>\n"},
      {"phi4", "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>A<|im_end|>"
               "<|im_start|>assistant<|im_sep|>B<|im_end|><|im_start|>user<|im_sep|>C<|im_end|>"
               "<|im_start|>assistant<|im_sep|>"},
      {"vicuna", "S\n\nUSER: A\nASSISTANT: B</s>\nUSER: C\nASSISTANT:"},
      {"zephyr", "<|system|>\nS</s>\n<|user|>\nA</s>\n<|assistant|>\nB</s>\n<|user|>\nC</s>\n<|assistant|>\n"}};
  EXPECT_EQ(chat_template_names().size(), expected.size());
  for (const std::string_view name : chat_template_names()) {
    SCOPED_TRACE(name);
    const auto chat = named_chat_template(name, *tokenizer);
    ASSERT_TRUE(chat.ok()) << chat.status().message();
    const auto segments = chat->render({.messages = &messages});
    ASSERT_TRUE(segments.ok()) << segments.status().message();
    ASSERT_TRUE(expected.contains(name));
    EXPECT_EQ(joined(*segments), expected.at(name));
  }
  EXPECT_EQ(named_chat_template("nonsense", *tokenizer).status().message().rfind("chat template: expected one of chatml, ", 0), 0U);
}

}  // namespace
}  // namespace tessera
