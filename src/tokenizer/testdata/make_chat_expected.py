#!/usr/bin/env python3
"""Writes chat_expected.json: what jinja2, set up as transformers sets it up, makes of templates and conversations.

Needs jinja2 and, for the templates of real models, the tokenizer_config.json files under ../shared/data/tok-hf-json
beside the repository. Run it only to add cases; the tests read the JSON alone.
"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parents[2].parent / "shared/data/tok-hf-json"
NOW = 1753920000  # 2025-07-31 UTC


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(f)
    return env


TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a town, \"now\" — °C",
    "parameters": {"type": "object", "properties": {
        "town": {"type": "string", "description": "Its name"}, "days": {"type": "integer"}}, "required": ["town"]}}}]

U = lambda text: {"role": "user", "content": text}
A = lambda text: {"role": "assistant", "content": text}
S = lambda text: {"role": "system", "content": text}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "call12345", "type": "function", "function": {"name": "get_weather", "arguments": {"town": "Łódź", "days": 2}}}]}
RESULT = {"role": "tool", "tool_call_id": "call12345", "name": "get_weather", "content": "{\"t\": 21}"}

CONVERSATIONS = {
    "user": dict(messages=[U("Hello <|im_end|> & </s>")]),
    "no_prompt": dict(messages=[U("Hello"), A("Hi there")], add_generation_prompt=False),
    "system": dict(messages=[S("Be brief.\n"), U("  Why?  ")]),
    "turns": dict(messages=[S("S"), U("one"), A("<think>\nhm\n</think>\n\ntwo"), U("three"), A("four"), U("five\n")]),
    "tools": dict(messages=[S("You can call."), U("Weather?")], tools=TOOLS),
    "calls": dict(messages=[U("Weather in Łódź?"), CALL, RESULT, U("And tomorrow?")], tools=TOOLS),
    "two_results": dict(messages=[U("q"), CALL, RESULT, RESULT]),
    "bad_order": dict(messages=[A("x"), A("y")]),
}

WRITTEN = {
    "chatml": ("", "<|im_end|>",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
        "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"),
    "llama2": ("<s>", "</s>", """
{%- if messages[0]['role'] == 'system' -%}
    {%- set system = '<<SYS>>\n' ~ messages[0]['content'] ~ '\n<</SYS>>\n\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}{%- set rest = messages -%}
{%- endif -%}
{%- for m in rest -%}
    {%- if (m.role == 'user') != (loop.index0 is even) -%}{{ raise_exception('Roles must alternate') }}{%- endif -%}
    {%- if m.role == 'user' -%}
        {{- bos_token + '[INST] ' + (system if loop.first else '') + m.content | trim + ' [/INST]' -}}
    {%- else -%}
        {{- ' ' + m.content | trim + ' ' + eos_token -}}
    {%- endif -%}
{%- endfor -%}
"""),
    "gemma": ("<bos>", "<eos>", """
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set prefix = (messages[0]['content'] if messages[0]['content'] is string else messages[0]['content'][0]['text']) + '\n\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set prefix = "" -%}{%- set rest = messages -%}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}
"""),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", """
{%- set ns = namespace(first=true) %}
{{- bos_token }}
{#- a comment #}
{%- if tools is not none %}
<|start_header_id|>system<|end_header_id|>

Cutting date: {{ strftime_now("%d %b %Y") }}
{% for t in tools %}
{{ t | tojson(indent=4) }}

{% endfor %}
<|eot_id|>
{%- endif %}
{% for message in messages %}
    {%- if message.tool_calls is defined %}
        {%- for call in message.tool_calls %}
            {{- '{"name": "' + call.function.name + '", "parameters": ' }}{{ call.function.arguments | tojson }}{{ "}" }}
        {%- endfor %}
    {%- else %}
{{ '<|start_header_id|>' ~ message['role'] ~ '<|end_header_id|>\n\n' ~ message['content'] | trim ~ '<|eot_id|>' }}
    {%- endif %}
    {% set ns.first = false %}
{% endfor %}
{% if add_generation_prompt and not ns.first %}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""),
}

SNIPPETS = [
    "{{ 1 + 2 * 3 ** 2 - 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2.5 * 2 }} {{ 1e3 }} {{ 10 ** 2 }}",
    "{{ 'a' ~ 1 ~ true ~ none ~ 1.5 }} {{ 'a' 'b' }} {{ 'ab' * 2 }} {{ [1, 'x', none, true, 2.0, {'k': 'it\\'s'}] }}",
    "{{ 'x' if false }}|{{ 'x' if 1 else 'y' }}|{{ undefined_thing }}|{{ undefined_thing is defined }}|{{ u | default('d') }}",
    "{{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ [1,2,3,4][-2:] }} {{ [1,2,3,4][::2] }} {{ 'äöü'[1] }} {{ 'äöü'|length }}",
    "{% for i in range(3) %}{{ i }}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.length }},{% endfor %}",
    "{% for x in [1,2,3,4] if x is odd %}{{ x }}{{ loop.previtem }}{{ loop.nextitem }};{% else %}none{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }} {% endfor %}",
    "{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}{% set ns = namespace(a=1) %}{% for i in [1,2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}",
    "{% macro f(a, b='B', c=none) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ f('x', 'y') | upper }}",
    "{% macro box(t) %}<{{ t }}:{{ caller() }}>{% endmacro %}{% call box('k') %}in{{ 1 + 1 }}{% endcall %}",
    "{% filter upper %}abc{{ 'd' }}{% endfilter %}{% set b %}block {{ 1 }}{% endset %}{{ b }}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ b }}",
    "a\n  {% if true %}\n  b\n  {% endif %}\n  c {%- if true %} d {% endif -%}\n e\n{# c #}\nf {{- ' g ' -}} h\n  {%+ if true %}i{% endif +%}\nj\n",
    "{% raw %}{{ not }} {% this %}{% endraw %} {{ '{{' }} {# {{ x }} #}{{ \"a\\nb\\\\t\" }}",
    "{{ [3,1,2] | sort }} {{ [3,1,2] | sort(reverse=true) | join('-') }} {{ ['b','A','c'] | sort }} {{ [1,1,2] | unique | list }} {{ [1,2,3] | sum }} {{ [1,5,3] | max }} {{ [1,5,3] | min }}",
    "{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | list }} {{ ['x','y'] | map('upper') | join }} {{ [1,2,3,4] | select('odd') | list }} {{ [1,2,3] | reject('equalto', 2) | list }}",
    "{{ [{'r': 'u', 'n': 1}, {'r': 's', 'n': 2}] | selectattr('r', 'equalto', 's') | map(attribute='n') | first }} {{ [{'r': 1}, {}] | rejectattr('r', 'defined') | list | length }}",
    "{{ {'b': 1, 'a': [1, {'c': none}]} | tojson }} {{ {'b': 1, 'a': [1, 2, [], {}]} | tojson(indent=2) }} {{ 'a\"\\n<é>' | tojson }} {{ 'é😀' | tojson(ensure_ascii=true) }}",
    "{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ {'b': 2, 'a': 1} | dictsort }} {{ {'b': 2} | items | list }}",
    "{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'a,b,c'.split(',') }}|{{ 'a b  c'.split() }}|{{ 'a,b,c'.split(',', 1)[-1] }}|{{ 'a,b,c'.rsplit(',', 1)[0] }}|{{ 'a\nb\n'.splitlines() }}",
    "{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.find('c') }} {{ 'abcabc'.replace('b', 'X', 1) }} {{ 'abc'.upper() }} {{ 'hello world'.title() }} {{ 'hELLO'.capitalize() }} {{ 'aXbX'.count('X') }}",
    "{{ 'x' in 'axb' }} {{ 3 not in [1,2] }} {{ 'k' in {'k': 1} }} {{ not true and false or true }} {{ 1 < 2 and 2 >= 2 }} {{ 'a' < 'b' }} {{ none == none }} {{ 1 == 1.0 }} {{ [1] == [1] }}",
    "{{ 1 is number }} {{ 'a' is string }} {{ [] is iterable }} {{ {} is mapping }} {{ none is none }} {{ 4 is divisibleby(2) }} {{ 4 is divisibleby 3 }} {{ x is not defined }} {{ true is boolean }} {{ 1.5 is float }} {{ 3 is integer }} {{ [1] is sequence }} {{ 3 is eq 3 }} {{ 2 is in [1,2] }} {{ f is callable }}",
    "{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'the quick brown fox' | truncate(12) }}|{{ 'a b c' | wordcount }}|{{ -3 | abs }}|{{ '42' | int + 1 }}|{{ 'x' | int(7) }}|{{ '1.5' | float }}|{{ 2.567 | round(1) }}|{{ 5 | string ~ 'x' }}",
    "{{ [1,2,3] | first }} {{ 'abc' | last }} {{ [1,2,3] | reverse | list }} {{ 'abc' | reverse }} {{ [1,2,3,4,5] | batch(2) | list }} {{ [1,2,3,4,5] | slice(2) | list }} {{ 'abc' | list }} {{ '<a>' | escape }}",
    "{{ {'a': {'b': 'deep'}}.a.b }} {{ {'a': 1}['a'] }} {{ {'a': 1}.get('z', 'no') }} {{ {'a': 1}.zz }} {{ dict(a=1, b='x') }} {{ {'a': 1, 'b': 2}.keys() | list }} {{ {'a': 1}.values() | list }} {{ ', '.join(['a', 'b']) }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = (1, 2) %}{{ t[1] }}{{ loop is defined }}{% generation %}gen{{ a }}{% endgeneration %}{% if a == 2 %}x{% elif b == 2 %}y{% else %}z{% endif %}",
    "{{ strftime_now('%Y-%m-%d') }} {{ range(5, 0, -2) | list }} {{ loop.cycle if false else '' }}{% for i in range(3) %}{{ loop.cycle('o', 'e') }}{% endfor %}{{ (1, 2) | length }} {{ 7 | default(1) }} {{ '' | default('e', true) }}",
    "{{ messages[0].content.split('<')[0] | trim }}{{ messages | length }}{{ messages[-1]['role'] }}{{ messages[0].nope is undefined }}{{ 'tool_calls' in messages[0] }}",
    "{{ 'Straße ÄÖ'.lower() }} {{ 'éa' | upper }} {{ 'x'.isdigit() }} {{ '12'.isdigit() }} {{ 'abc'.removeprefix('a') }} {{ '  x'.lstrip() }}| {{ 'x  '.rstrip() }}|",
    "{{ raise_exception('no way') }}", "{{ x.y }}", "{{ 1 + 'a' }}", "{% for x in 5 %}{% endfor %}", "{{ 1 / 0 }}",
    "{{ 'a' | nofilter }}", "{% if %}", "{{ 'abc }}", "{% for a in b %}", "{{ f(1) }}", "{{ [1,2 }}", "{{ 5 is nosuchtest }}",
]


def run(env, source, bos, eos, conversation):
    arguments = {"tools": None, "documents": None, "add_generation_prompt": True, **conversation}
    try:
        text = env.from_string(source).render(bos_token=bos, eos_token=eos, **arguments)
        return {"expected": text}
    except (jinja2.exceptions.TemplateError, TypeError, ZeroDivisionError, ValueError):
        return {"error": True}


def token_text(value):
    return value["content"] if isinstance(value, dict) else value or ""


def main():
    env = environment()
    templates, cases = {}, []
    for name, (bos, eos, source) in WRITTEN.items():
        templates[name] = {"bos": bos, "eos": eos, "source": source}
    for path in sorted(DATA.glob("*/tokenizer_config.json")):
        config = json.loads(path.read_text())
        source = config.get("chat_template")
        if not isinstance(source, str):
            continue
        templates[path.parent.name] = {"bos": token_text(config.get("bos_token")),
                                       "eos": token_text(config.get("eos_token")), "source": source}
    for name, t in templates.items():
        for title, conversation in CONVERSATIONS.items():
            if name in WRITTEN and any(m.get("content") is None for m in conversation["messages"]):
                continue
            cases.append({"template": name, "conversation": title,
                          **run(env, t["source"], t["bos"], t["eos"], conversation)})
    for source in SNIPPETS:
        cases.append({"source": source, "conversation": "user", **run(env, source, "", "", CONVERSATIONS["user"])})
    written = {name: t if name in WRITTEN else {"bos": t["bos"], "eos": t["eos"]} for name, t in templates.items()}
    document = {"now": NOW, "conversations": CONVERSATIONS, "templates": written, "cases": cases}
    (HERE / "chat_expected.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    print(len(cases), "cases,", sum("error" in c for c in cases), "errors,", list(templates))


if __name__ == "__main__":
    main()
