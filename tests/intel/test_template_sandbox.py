"""Chat templates as hostile programs: each ends in seconds with one line, or does what jinja2 does."""

import shutil
import time
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from conftest import ask
from glm4_demos.nano import CHECKPOINT
from glm4_export.making import MakeOptions, make
from glm4_export.openvino.maker import OpenVINOMaker
from glm4_intel import Glm4Error, load
from glm4_intel.chat import template_work
from glm4_intel.chat.template import ChatTemplate

TURNS = [{"role": "user", "content": "x", "tools": [{"a": 1}]}, {"role": "assistant", "content": "y\nz"}]
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
GROWN = "{%% set n = namespace(x=%s) %%}{%% for i in range(99) %%}{%% set n.x = %s %%}{%% endfor %%}{{ n.x }}"
BIG = "{% set x = 'a' * 30000000 %}"

STOPPED = {
    "loops": ENDLESS,
    "text of loops": "{% for a in range(99999) %}{% for b in range(99999) %}a long text{% endfor %}{% endfor %}",
    "text of macros": "{% macro f() %}" + "x" * 99_999 + "{% endmacro %}{% for i in range(99999) %}{% set y = f() %}{% endfor %}",
    "calls": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "times": "{{ 'x' * 10 ** 10 }}",
    "times a constant": "{% set x = 99999999999 * 'a' %}",
    "squares": GROWN % ("3", "n.x * n.x"),
    "joined texts": GROWN % ("'ab'", "n.x ~ n.x"),
    "added texts": GROWN % ("'ab'", "n.x + n.x"),
    "blocks": GROWN.replace("{%% set n.x = %s %%}", "{%% set y %%}%s{%% endset %%}{%% set n.x = y %%}")
    % ("'ab'", "{{ n.x }}{{ n.x }}"),
    "lists": GROWN % ("['a']", "[n.x, n.x]"),
    "objects": GROWN % ("1", "{'a': n.x, 'b': n.x}"),
    "objects that are called": GROWN % ("1", "dict(a=n.x, b=n.x)"),
    "lists that are compared": GROWN.replace("{{ n.x }}", "{{ n.x == n.x }}") % ("1", "[n.x, n.x]"),
    "lists of arguments": "{% set n = namespace(x=1) %}{% macro f() %}{% set n.x = varargs %}{% endmacro %}"
    "{% for i in range(60) %}{% set _ = f(n.x, n.x) %}{% endfor %}{{ n.x }}",
    "replaced": BIG + "{{ x | replace('a', x) }}",
    "replaced by a method": BIG + "{{ x.replace('', x) }}",
    "joined": BIG + "{{ range(999) | join(x) }}",
    "joined by a method": BIG + "{{ x.join(x) }}",
    "concatenated": BIG + "{{ " + "x ~ " * 1000 + "x }}",
    "indented": "{% set x = 'a' * 1000000 %}{{ ('\n' * 1000000) | indent(x) }}",
    "slices": BIG + "{% set n = namespace(l=[]) %}{% for i in range(2000) %}{% set n.l = n.l + [x[1:]] %}{% endfor %}",
    "formatted": "{% set x = 'a' * 1000000 %}{{ ('%s' * 1000000) % x }}",
    "a search": BIG + "{% for i in range(99999) %}{% if 'b' in x %}{% endif %}{% endfor %}",
    "a filter's block": "{% filter upper %}" + ENDLESS.replace("{% endfor %}", "x{% endfor %}", 1) + "{% endfilter %}",
}  # fmt: skip
REFUSED = {
    "a huge range": "{% for a in range(10 ** 18) %}{% endfor %}",
    "a huge power": "{{ 2 ** (10 ** 9) }}",
    "recursion": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "a recursive loop": "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "a recursive block": "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "a namespace in itself": "{% set a = namespace() %}{% set a.b = a %}{{ a }}",
    "widths": "{{ 'a'.ljust(10 ** 10) }}",
    "widths of format": "{{ '{:>9999999999}'.format(1) }}",
    "widths of %": "{{ '%09999999999d' % 1 }}",
    "widths of JSON": "{{ [1] | tojson(indent=10 ** 10) }}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ namespace.__init__.__globals__ }}",
    "a change of the messages": "{{ messages.append(1) }}",
    "another file": "{% include '/etc/passwd' %}",
    "a module": "{% import 'os' as os %}",
    "a division": "{{ 1 / 0 }}",
    "lipsum": "{{ lipsum(n=10 ** 7) }}",
}
BROKEN = {
    "center": "{{ 'a' | center(10 ** 10) }}",
    "batch": "{{ [1] | batch(10 ** 10, 0) | list }}",
    "attr": "{{ messages | attr('__class__') }}",
    "map": "{{ messages | map('replace', '', 'x' * 1000) | list }}",
    "size": "x" * (2 << 20),
    "parentheses": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
    "sums": "{{ " + "1 + " * 50_000 + "1 }}",
    "signs": "{{ " + "-" * 50_000 + "1 }}",
    "attributes": "{{ a" + ".a" * 50_000 + " }}",
    "conditions": "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "nested loops": "{% for a in [1] %}" * 40 + "{% endfor %}" * 40,
    "digits": "{{ " + "9" * 5000 + " }}",
    "our own filters": "{{ 'x' | value made }}",
}


@pytest.mark.parametrize("name", STOPPED)
def test_a_template_without_end_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_work, "_SECONDS", 1.0)
    template, started = ChatTemplate(STOPPED[name]), time.perf_counter()
    with pytest.raises(Glm4Error, match="and was stopped|does not end: it was stopped after 1 seconds") as raised:
        template.render(TURNS, None, True)
    assert time.perf_counter() - started < 9 and "--chat-template" in raised.value.hint


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_template_may_not_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(Glm4Error, match="refuses these messages: .") as raised:
        ChatTemplate(REFUSED[name]).render(TURNS, None, True)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_compile_is_broken(name: str) -> None:
    started = time.perf_counter()
    with pytest.raises(Glm4Error, match="The chat template is broken: .") as raised:
        ChatTemplate(BROKEN[name])
    assert "\n" not in str(raised.value) and time.perf_counter() - started < 5


def test_a_template_that_is_stopped_is_not_taken_for_one_that_leaves_things_out() -> None:
    with pytest.raises(Glm4Error, match="does not end"):
        assert ChatTemplate(ENDLESS).dropped


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("text", "said"), [(ENDLESS, "does not end"), ("{{ 1 / 0 }}", "division by zero")])
def test_an_export_refuses_it_before_the_work(tmp_path: Path, text: str, said: str, given: bool) -> None:
    checkpoint, file, started = (
        shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"),
        tmp_path / "t",
        time.perf_counter(),
    )
    (file if given else checkpoint / "chat_template.jinja").write_text(text)
    with pytest.raises(Glm4Error, match=said):
        make(str(checkpoint), tmp_path / "out", OpenVINOMaker(), MakeOptions(chat_template=file if given else None))
    assert time.perf_counter() - started < 9 and not (tmp_path / "out").exists()


def test_a_load_refuses_it(nano: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(nano, tmp_path / "copy"))
    (copy / "glm4.json").unlink()
    (copy / "chat_template.jinja").write_text(ENDLESS)
    with pytest.raises(Glm4Error, match="does not end"):
        load(copy, device="CPU").generate(ask("Hi"))


SAME = [
    "{% for m in messages %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}"
    "{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{{ m.role }}|{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ m['content'] }}{% else %}none{% endfor %}",
    "{% for m in messages[::-1] %}{{ m.content | trim }}{% endfor %}{{ messages[1:] | length }}{{ messages[-1].role }}",
    "{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}{% endif %}{% endfor %}",
    "{% set ns = namespace(found=false, i=0) %}{% for m in messages %}{% set ns.i = ns.i + 1 %}"
    "{% if loop.first %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.i }}{{ ns.found }}",
    "{% macro show(a, b=2) %}{{ a }}-{{ b }}{{ kwargs }}{{ varargs }}{% endmacro %}{{ show(1) }}{{ show('x', b=[1], c=3) }}",
    "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}in{{ 1 }}{% endcall %}",
    "{% set x %}a{{ 1 }}{% endset %}{{ x }}{% set y | upper %}abc{% endset %}{{ y }}{% filter upper %}a{{ x }}{% endfilter %}",
    "{{ 'a' + 'b' ~ 1 ~ none ~ [1, 'x'] }}{{ 3 * 'ab' }}{{ [1] * 2 }}{{ 2 ** 8 }}{{ 7 // 2 }}{{ 7 % 2 }}{{ -3 }}{{ '%s!' % 'x' }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }}{{ (1, 2) }}{{ {'a': [1]} }}",
    "{{ messages | map(attribute='role') | join(', ') }}{{ ['a', 'b'] | map('upper') | join }}{{ messages | join(',', 'role') }}",
    "{{ messages[0].tools | tojson }}{{ {'é': 1.5} | tojson(indent=2) }}".replace("é", "e"),
    "{{ 'aXbX' | replace('X', 'yy') }}{{ 'a\nb\n\nc' | indent }}{{ 'a\nb' | indent(2, true) }}{{ 'a\n\nb' | indent(1, blank=true) }}",
    "{{ 'a,b'.split(',') | last }}{{ ' x '.strip() }}{{ 'abc'.startswith('a') }}{{ '-'.join(['a', 'b']) }}{{ 'aa'.replace('a', 'b') }}",
    "{{ messages[1].content.split('\n')[-1] }}{{ {'b': 1, 'a': 2} | dictsort }}{{ {'a': 1}.items() | list }}{{ [3, 1] | sort }}",
    "{{ undefined_name }}{{ undefined_name is defined }}{{ messages is string }}{{ none is none }}{{ 'x' if tools else 'y' }}",
    "{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "{%- for m in messages -%}  {{- m.role }}\n{% if true %}\n  x\n{% endif %}\n{%- endfor -%} {# note #} end",
    "{{ 'a' in 'abc' }}{{ 1 in [1] }}{{ [1, 2] == [1, 2] }}{{ 'x' not in messages[0] }}{{ messages[0].get('nothing', 'd') }}",
    "{% raw %}{{ x }}{% endraw %}{% with a = 1 %}{{ a }}{% endwith %}{% set a, b = 1, [2] %}{{ a }}{{ b }}{{ true and not false }}",
    "{{ none }}{{ true }}{{ 1.50 }}{{ range(3) | list }}{{ '<&>' | e }}{{ 'x' | default('y') }}{{ '' | default('y', true) }}",
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_what_others_do_is_what_jinja2_does(text: str) -> None:
    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    expected = plain.from_string(text).render(messages=TURNS, tools=None, add_generation_prompt=True)
    assert ChatTemplate(text).render(TURNS, None, True) == expected
