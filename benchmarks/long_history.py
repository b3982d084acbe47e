"""A conversation with far more exchanges than its context holds: what finding the cut takes, and what comes after it.

    python benchmarks/long_history.py DIR                      # 200 and 800 exchanges too many

The time before the engine begins stands beside that of encoding the whole conversation once; then turn after turn is
added, whose first tokens come soon where the beginning of the prompt has been computed before.
"""

import argparse
import statistics
import time
from pathlib import Path

from environment import environment
from glm4_intel import Conversation, Runtime, load
from glm4_intel.chat import history
from glm4_intel.chat.tokenizer import ChatTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--turns", type=int, default=12)
    args = parser.parse_args()
    print(environment())
    glm = load(args.model, history="trim")
    for count in (200, 800):
        _finding(args.model, glm, count)
    _next_turns(glm, args.turns)


def _exchange(number: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"What is {number % 90} + 20? " + "Nobody spoke for a long while. " * 4},
        {"role": "assistant", "content": f"{number % 90} + 20 = {number % 90 + 20}"},
    ]


def _too_many(glm: Runtime, count: int) -> list[dict[str, str]]:
    """Exchanges that fill the context, `count` more, and a question."""
    size = len(glm.tokenizer.encode([message for number in range(10) for message in _exchange(number)])) / 10
    whole = count + int(glm.context_length / size)
    said = [message for number in range(whole) for message in _exchange(number)]
    return [*said, {"role": "user", "content": "What is 17 + 25?"}]


def _finding(model: Path, glm: Runtime, count: int) -> None:
    messages, room = _too_many(glm, count), glm.context_length * 3 // 4
    encoding, fitting, again = [], [], []
    for _ in range(5):  # each with a tokenizer that remembers nothing
        fresh = ChatTokenizer.from_directory(model)
        encoding.append(_seconds(lambda tokenizer=fresh: tokenizer.encode(messages)))
        fresh = ChatTokenizer.from_directory(model)
        conversation = Conversation.parse(messages)
        fitting.append(_seconds(lambda tokenizer=fresh, given=conversation: history.fit(given, tokenizer, room)))
        again.append(_seconds(lambda tokenizer=fresh, given=conversation: history.fit(given, tokenizer, room)))
    whole, fit, next_turn = (statistics.median(values) for values in (encoding, fitting, again))
    print(f"{count} exchanges too many: encoding all {whole * 1e3:.0f} ms, fitting {fit * 1e3:.0f} ms "
          f"({(fit - whole) * 1e3:+.0f} ms), the turn after it {next_turn * 1e3:.0f} ms")  # fmt: skip


def _next_turns(glm: Runtime, turns: int) -> None:
    messages, times = _too_many(glm, 200), []
    for number in range(turns):
        reply = glm.generate(messages, temperature=0, max_new_tokens=16)
        times.append((reply.timing.time_to_first_token, reply.usage.truncated_messages))
        messages += [reply.message(), {"role": "user", "content": f"What is {number} + 3?"}]
    cuts = [index for index in range(turns) if index == 0 or times[index][1] != times[index - 1][1]]
    first = [times[index][0] * 1e3 for index in cuts]
    reused = [time * 1e3 for index, (time, _) in enumerate(times) if index not in cuts]
    print(f"{turns} turns: time to the first token {statistics.median(first):.1f} ms where the history is cut anew "
          f"({len(cuts)} times), {statistics.median(reused):.1f} ms where its beginning has been computed")  # fmt: skip


def _seconds(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
