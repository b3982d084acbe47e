"""How much of JSON schema's public test suite can be guided, and whether what is written satisfies it.

    python benchmarks/schema_suite.py SUITE_FOLDER NANO_DIR

SUITE_FOLDER holds a folder for each draft (Debian: json-schema-test-suite, /usr/share/json-schema-test-suite/tests).
Every schema is guided eight times at temperature 50, which makes the nano model draw tokens at random; `jsonschema`
judges the replies (pip install "jsonschema[format]"). A reply that was cut off is not judged.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    FormatChecker,
)  # fmt: skip
from jsonschema.protocols import Validator
from referencing.exceptions import Unresolvable

from environment import environment
from glm4_intel import Glm4Error, Runtime, load

DRAFTS: dict[str, type[Validator]] = {
    "draft4": Draft4Validator, "draft6": Draft6Validator, "draft7": Draft7Validator,
    "draft2019-09": Draft201909Validator, "draft2020-12": Draft202012Validator,
}  # fmt: skip
KEYWORD = re.compile(r"\.(\$?[A-Za-z]+)[^.]*$")


@dataclass
class Result:
    """What became of one draft's schemas."""

    accepted: int = 0
    satisfiable: int = 0
    invalid: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    replies: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--drafts", nargs="+", default=["draft7", "draft2020-12"], choices=DRAFTS)
    args = parser.parse_args()
    runtime = load(args.model, warmup=False)
    print(environment())
    for draft in args.drafts:
        if (args.suite / draft).is_dir():
            report(draft, measure(runtime, args.suite / draft, DRAFTS[draft], args.seeds, args.tokens))


def measure(runtime: Runtime, folder: Path, judge: type[Validator], seeds: int, tokens: int) -> Result:
    """Guide every schema of a draft that some value of its tests satisfies."""
    result = Result()
    for name, schema in schemas(folder):
        result.satisfiable += 1
        try:
            replies = [reply(runtime, schema, seed, tokens) for seed in range(seeds)]
        except Glm4Error as error:
            result.refused[refused_keyword(str(error))] += 1
            continue
        result.accepted += 1
        whole = [text for text in replies if text is not None]
        result.replies += len(whole)
        result.invalid += [
            f"{name}: {json.dumps(schema)} gave {text}" for text in whole if not valid(judge, schema, text)
        ]
    return result


def schemas(folder: Path) -> Iterator[tuple[str, Any]]:
    """Each schema of the suite that has a valid value among its tests, under its test's name."""
    for file in sorted(folder.rglob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            if any(test["valid"] for test in case["tests"]):
                yield f"{file.stem}: {case['description']}", case["schema"]


def reply(runtime: Runtime, schema: Any, seed: int, tokens: int) -> str | None:
    """What is written under a schema; None for a reply that was cut off."""
    shape = {"type": "json_schema", "json_schema": {"schema": schema}}
    question = [{"role": "user", "content": "Hello"}]
    written = runtime.generate(
        question, response_format=shape, seed=seed, max_new_tokens=tokens, temperature=50.0, top_p=1.0
    )
    return None if written.finish_reason == "length" else written.text


def valid(judge: type[Validator], schema: Any, text: str) -> bool:
    """Whether the judge accepts the text as an instance of the schema, or has no opinion of the schema."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    try:
        return bool(judge(schema, format_checker=FormatChecker()).is_valid(value))
    except re.error:  # a pattern of ECMA's that is none of Python's
        return True
    except Unresolvable:
        return False


def refused_keyword(message: str) -> str:
    """The keyword that a refusal names: the last step of its place."""
    place = message.partition(" ")[0]
    found = KEYWORD.search(place)
    return found.group(1) if found else message[:60]


def report(draft: str, result: Result) -> None:
    """Print one draft's figures."""
    share = result.accepted / max(result.satisfiable, 1)
    print(f"{draft}: {result.accepted} of {result.satisfiable} schemas accepted ({share:.0%}), "
          f"{len(result.invalid)} of {result.replies} replies invalid")  # fmt: skip
    print("  refused: " + ", ".join(f"{keyword} {count}" for keyword, count in result.refused.most_common()))
    for each in result.invalid:
        print(f"  INVALID {each}")


if __name__ == "__main__":
    main()
