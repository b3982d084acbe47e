"""The function schemas of the Berkeley function calling leaderboard: which can be guided, and what is written then.

    python benchmarks/bfcl.py BFCL_EVAL NANO_DIR [--sample 8]

BFCL_EVAL is the folder `bfcl_eval` of the package bfcl-eval (pip download --no-deps bfcl-eval). Its schemas have types
of Python, Java and JavaScript; they are counted as they are, and with those of JSON schema in their place, as BFCL
itself gives them to a server. Of the latter, some requests of each category are answered with `tool_choice: required`
at temperature 50, which makes the nano model draw tokens at random, and `jsonschema` judges the calls.
"""

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from environment import environment
from glm4_intel import Glm4Error, Runtime, load
from glm4_intel.chat.conversation import Conversation

_JSON_TYPES = {
    "string": ("string", "String", "any", "Any", "char"),
    "integer": ("integer", "byte", "short", "long", "Bigint"),
    "number": ("number", "float", "double"),
    "boolean": ("boolean", "bool"),
    "array": ("array", "list", "tuple", "Array", "ArrayList", "Queue", "Stack"),
    "object": ("object", "dict", "HashMap", "Hashtable"),
}
"""Of BFCL's own table (bfcl_eval/constants/type_mappings.py), by JSON schema's type; what is not in it is a string."""
_TYPES = {theirs: json_type for json_type, names in _JSON_TYPES.items() for theirs in names}
_AT_ONCE, _TOKENS, _FUNCTIONS = 8, 400, 4
"""Replies at once, their longest, and how many of a request's functions are offered: nano's context is 2,048 tokens."""


@dataclass
class Result:
    """What became of one category."""

    functions: int = 0
    as_is: int = 0
    mapped: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reasons, of the mapped ones."""
    calls: int = 0
    cut_off: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bfcl", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sample", type=int, default=8, help="requests of each category that are answered")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(environment())
    print(f"{'category':28}{'functions':>10}{'as is':>7}{'mapped':>8}{'calls':>7}{'cut off':>9}{'wrong':>7}")
    with load(args.model, profile="throughput", warmup=False) as glm:
        for name, requests in categories(args.bfcl / "data"):
            print(row(name, measure(glm, requests, args.sample, args.seed)), flush=True)


def categories(data: Path) -> Iterator[tuple[str, list[list[Any]]]]:
    """Each category's requests, of which a request is its functions; the classes of several turns are one each."""
    for file in sorted(data.glob("BFCL_v4_*.json")):
        cases = _lines(file) if file.stem != "BFCL_v4_format_sensitivity" else []  # this one is a list of numbers
        if requests := [case["function"] for case in cases if case.get("function")]:
            yield file.stem.removeprefix("BFCL_v4_"), requests
    for file in sorted((data / "multi_turn_func_doc").glob("*.json")):
        yield f"class {file.stem}", [list(_lines(file))]


def _lines(file: Path) -> Iterator[Any]:
    return map(json.loads, file.read_text(encoding="utf-8").splitlines())


def measure(glm: Runtime, requests: Sequence[Sequence[Any]], sample: int, seed: int) -> Result:
    """Count what is taken, and have calls written for a sample."""
    result, fitting = Result(), list[list[Any]]()
    for functions in requests:
        tools = [tool(each) for each in functions]
        reasons = [refusal(each) for each in tools]
        result.functions += len(tools)
        result.as_is += sum(not refusal({"type": "function", "function": each}) for each in functions)
        result.mapped += reasons.count(None)
        result.refused.update(reason for reason in reasons if reason)
        fitting += [] if any(reasons) else [tools[:_FUNCTIONS]]
    random.Random(seed).shuffle(fitting)
    chosen = list(islice((tools for tools in fitting if _fits(glm, tools)), sample))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda pair: _judge(glm, pair[1], pair[0], result), enumerate(chosen)))
    return result


def tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function as a tool of OpenAI's API, with JSON schema's types."""
    described = {**function, "parameters": json_schema(function["parameters"])}
    return {"type": "function", "function": described}


def json_schema(schema: Any) -> Any:
    """A schema with JSON schema's types in the place of Python's and Java's."""
    if not isinstance(schema, Mapping):
        return schema
    told = dict(schema)
    if "type" in told:
        told["type"] = _TYPES.get(told["type"], "string")
    if "properties" in told:
        told["properties"] = {name: json_schema(each) for name, each in told["properties"].items()}
    return told | {name: json_schema(told[name]) for name in ("items", "additionalProperties") if name in told}


def refusal(tool: Mapping[str, Any]) -> str | None:
    """Why a tool can't be asked for; None where it can."""
    return _refusal(json.dumps(tool))


@lru_cache(None)  # many requests have the same functions
def _refusal(tool: str) -> str | None:
    try:
        Conversation.parse(_QUESTION, [json.loads(tool)], "required").guide("off")
    except Glm4Error as error:
        return re.sub(r"^\S+ ", "", str(error))[:70]
    return None


_QUESTION = [{"role": "user", "content": "Hello"}]


def _fits(glm: Runtime, tools: Sequence[Any]) -> bool:
    prompt = Conversation.parse(_QUESTION, tools, "required").render(glm.tokenizer)
    return len(prompt) + _TOKENS <= glm.context_length


def _judge(glm: Runtime, tools: Sequence[Any], seed: int, result: Result) -> None:
    written = glm.generate(_QUESTION, tools=tools, tool_choice="required", temperature=50.0, top_p=1.0, seed=seed,
                           max_new_tokens=_TOKENS)  # fmt: skip
    if written.finish_reason == "length":
        result.cut_off += 1
        return
    declared = {each["function"]["name"]: each["function"]["parameters"] for each in tools}
    result.calls += len(written.tool_calls)
    for call in written.tool_calls:
        if call.name not in declared or not Draft202012Validator(declared[call.name]).is_valid(call.arguments):
            result.wrong.append(f"{call.name} {call.arguments}")
    if not written.tool_calls:
        result.wrong.append(f"no call: {written.text!r}")


def row(name: str, result: Result) -> str:
    """One line of the table, and one for each reason and each wrong call."""
    counts = f"{result.functions:10}{result.as_is:7}{result.mapped:8}{result.calls:7}{result.cut_off:9}"
    reasons = [f"refused {count} times: {reason}" for reason, count in result.refused.most_common()]
    return "\n  ".join([f"{name:28}{counts}{len(result.wrong):7}", *reasons, *result.wrong])


if __name__ == "__main__":
    main()
