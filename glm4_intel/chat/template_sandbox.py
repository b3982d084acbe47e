"""Where a chat template is compiled and rendered: it came with a checkpoint, and may be anybody's program.

jinja2's sandbox keeps it from Python. What jinja2 doesn't limit is how long a template works and how much it makes:
here every step of a loop, every call and every text and list that is made is counted, and the render ends where it has
had its share. For that the template's syntax tree is rewritten before it is compiled, with filters of our own around
what is to be counted; their names hold a space, so that no template can use or replace them.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from jinja2 import Template, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateAssertionError, TemplateError
from jinja2.ext import Extension
from jinja2.filters import FILTERS
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from .template_work import Work

_MOST_TEXT = 1 << 20
"""Characters of a template; GLM-4's has 3,000."""
_WORK = "work of this render"
_EACH, _MADE, _WRITTEN, _JOINED = "each item", "value made", "text written", "texts joined"
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "safe", "select", "selectattr",
    "sort", "string", "title", "trim", "unique", "upper",
)  # fmt: skip
"""Of jinja2's own those that make no more than they are given."""
_MAPPED = ("trim", "lower", "upper", "length", "string", "int", "float", "title", "capitalize", "first", "last")
"""Those that `map` may be given by name."""
_GLOBALS = ("range", "dict", "namespace")
_METHODS = (
    "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal",
    "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip", "partition",
    "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split",
    "splitlines", "startswith", "strip", "swapcase", "title", "upper",
)  # fmt: skip
"""Of texts; the others make long ones out of a number."""
_MOST_INDENT = 64


def compile_template(text: str) -> Template:
    """Raises jinja2's TemplateError, and what Python's own compiler raises, for a template that is none."""
    if len(text) > _MOST_TEXT:
        raise TemplateError(f"it has {len(text):,} characters, and {_MOST_TEXT:,} are taken")
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationBlocks]
    )
    environment.filters = {name: FILTERS[name] for name in _FILTERS} | _OWN_FILTERS
    environment.globals = {name: environment.globals[name] for name in _GLOBALS} | {
        "raise_exception": _raise_exception,
        "strftime_now": time.strftime,
    }
    tree = _Counting().visit(environment.parse(text))
    return Template.from_code(environment, environment.compile(tree), environment.make_globals(None))


def render(template: Template, values: Mapping[str, Any]) -> str:
    """The text. Raises whatever the template does, and Glm4Error where it was stopped."""
    return template.render({**values, _WORK: Work()})


def _work(context: Context) -> Work:
    work: Work = context.parent[_WORK]
    return work


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with what it calls and computes counted."""

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            _require_room_to_repeat(_work(context), left, right)
        elif operator == "**" and not abs(right) < _MOST_INDENT:
            raise SecurityError("such a power is not allowed")
        elif operator == "%" and isinstance(left, str):
            _require_room_to_format(_work(context), left, right)
        return _work(context).made(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # as jinja2 has it
        work = _work(__context)
        work.spend(1)
        if isinstance(__obj, Macro):
            work.weigh([args, kwargs])
        name, text = getattr(__obj, "__name__", ""), getattr(__obj, "__self__", None)
        if isinstance(text, str) and name == "replace" and len(args) >= 2:
            _require_room_to_replace(work, text, str(args[0]), str(args[1]))
        elif isinstance(text, str) and name == "join":
            return _joined(__context, args[0], text)
        return work.made(super().call(__context, __obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> None:
        """jinja2's way to `format` texts, which is refused with the other methods: its widths know no bounds."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr not in _METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)


class _Counting(NodeTransformer):
    """Puts a filter around each expression that takes steps or makes something."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _around(node.iter, _EACH)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [_around(each, _WRITTEN) for each in node.nodes]
        return node

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
        return nodes.Const(node.data, lineno=node.lineno)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _around(nodes.List(node.nodes, lineno=node.lineno), _JOINED)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        """Its call has to stay one."""
        return self.generic_visit(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _around(node, _MADE) if isinstance(node.arg, nodes.Slice) else node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        if node.name == "map" and node.args and not _maps(node.args[0]):
            raise TemplateAssertionError(f"map may be given {', '.join(_MAPPED)}", node.lineno or 0)
        self.generic_visit(node)
        return _around(node, _MADE)

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _around(node, _MADE)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _around(node, _MADE)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _around(node, _MADE) if node.ctx == "load" else node


def _maps(argument: nodes.Node) -> bool:
    return isinstance(argument, nodes.Const) and argument.value in _MAPPED


def _around(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _require_room_to_repeat(work: Work, left: Any, right: Any) -> None:
    for text, times in ((left, right), (right, left)):
        if isinstance(text, (str, list, tuple)) and isinstance(times, int):
            work.spend(max(len(text) * times, 0))


def _require_room_to_replace(work: Work, text: str, old: str, new: str) -> None:
    work.spend((text.count(old) if old else len(text) + 1) * len(new))


def _require_room_to_format(work: Work, text: str, values: Any) -> None:
    if re.search(r"%[^%sd]", text):
        raise SecurityError("formatting with % takes %s and %d")
    work.spend(text.count("%") * work.weigh(values))


def _text(work: Work, value: Any) -> str:
    """A value as text. A namespace may hold itself, and has none."""
    if isinstance(value, Namespace):
        raise SecurityError("a namespace can't be written")
    work.written(value)
    return value if isinstance(value, str) else str(value)


@pass_context
def _each(context: Context, items: Any) -> Any:
    return _work(context).each(items)


@pass_context
def _made(context: Context, value: Any) -> Any:
    return _work(context).made(value)


@pass_context
def _written(context: Context, value: Any) -> str:
    return _text(_work(context), value)


@pass_context
def _joined(context: Context, items: Any, separator: Any = "", attribute: str | None = None) -> str:
    work, between = _work(context), str(separator)
    if attribute is not None:
        items = [context.environment.getitem(item, attribute) for item in items]
    texts = [_text(work, item) for item in work.each(items)]
    work.spend(len(between) * len(texts))
    return between.join(texts)


@pass_context
def _replaced(context: Context, value: Any, old: Any, new: Any, count: int | None = None) -> str:
    text = _text(_work(context), value)
    _require_room_to_replace(_work(context), text, str(old), str(new))
    return text.replace(str(old), str(new), -1 if count is None else count)


@pass_context
def _indented(context: Context, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = _text(_work(context), value)
    margin = width if isinstance(width, str) else " " * min(int(width), _MOST_INDENT)
    _work(context).spend(len(margin) * text.count("\n"))
    lines = text.splitlines() if blank else text.split("\n")
    return "\n".join(
        margin + line if (index or first) and (line or blank) else line for index, line in enumerate(lines)
    )


@pass_context
def _to_json(
    context: Context,
    value: Any,
    indent: int | None = None,
    ensure_ascii: bool = False,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,
) -> str:
    _work(context).written(value)
    if (indent or 0) > _MOST_INDENT or sum(map(len, separators or ())) > _MOST_INDENT:
        raise SecurityError("such an indent is not allowed")
    pair = None if separators is None else (separators[0], separators[1])
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, separators=pair, sort_keys=sort_keys)


_OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "join": _joined, "replace": _replaced, "indent": _indented, "tojson": _to_json,
    _EACH: _each, _MADE: _made, _WRITTEN: _written, _JOINED: _joined,
}  # fmt: skip


class _GenerationBlocks(Extension):
    """`{% generation %}` … `{% endgeneration %}`: marks in training templates what is learned; shown as it is."""

    tags = {"generation"}

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
