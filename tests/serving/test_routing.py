"""Which replica a prompt goes to."""

from pathlib import Path

from glm4_intel.machine.numa import nodes, processors
from glm4_intel.serving.routing import BLOCK_TOKENS, PrefixRouting, block_keys


def routing(capacity: int = 100, names: str = "abc") -> PrefixRouting:
    made = PrefixRouting(capacity)
    made.keep(names)
    return made


def send(made: PrefixRouting, keys: str) -> str:
    name = made.choose(keys)
    made.begin(name, keys)
    return name


def test_keys_stand_for_all_tokens_up_to_them() -> None:
    ids = list(range(100))
    keys = block_keys(ids)
    assert len(keys) == 100 // BLOCK_TOKENS and block_keys(ids + [7] * 50)[: len(keys)] == keys
    assert not set(keys) & set(block_keys([1, *ids[1:]]))
    assert not set(keys) & set(block_keys(ids, "pirate"))
    assert block_keys(ids[: BLOCK_TOKENS - 1]) == []


def test_a_conversation_stays_where_it_was_and_others_spread() -> None:
    made = routing()
    assert [send(made, start * 4) for start in "xyz"] == ["a", "b", "c"]
    assert send(made, "yyyyqrs") == "b"
    assert made.asked == 12 + 7 and made.found == 4


def test_a_short_prefix_moves_nobody() -> None:
    made = routing()
    assert send(made, "syyyyyyyyy") == "a"
    assert send(made, "szzzzzzzzz") == "b", "a tenth of the prompt is shared"


def test_too_much_to_do_overrides_a_prefix() -> None:
    made = routing()
    assert [send(made, "xxxx") for _ in range(18)] == ["a"] * 17 + ["b"]
    made.end("b")
    for _ in range(17):
        made.end("a")
    assert made.choose("xxxx") in "ab"


def test_what_no_longer_fits_is_forgotten_from_its_end() -> None:
    made = routing(capacity=4, names="a")
    send(made, "abcd")
    send(made, "xy")
    made.begin("a", "abcd")
    assert made.found == 2


def test_replicas_come_and_go() -> None:
    made = routing(names="ab")
    send(made, "xxxx")
    made.keep("bc")
    assert send(made, "xxxx") == "b"
    made.end("a")  # its replies end after it was forgotten
    assert send(made, "y") == "c"


def test_who_could_not_write_it_is_not_asked_again() -> None:
    made = routing(names="ab")
    assert [send(made, "xxxx") for _ in range(2)] == ["a", "a"]
    assert made.choose("xxxx", avoid="a") == "b" and made.choose("y", avoid="b") == "a"
    assert made.choose("xxxx", avoid="ab") == "a", "there is nobody else"
    assert made.choose("xxxx") == "a", "what it holds is not forgotten"


def test_nodes_of_a_machine(tmp_path: Path) -> None:
    usable = min(nodes()[0])
    for number, told in enumerate((f"{usable}\n", "5000-5003,5010\n")):
        folder = tmp_path / f"sys/devices/system/node/node{number}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(told)
    assert nodes(tmp_path) == [{usable}], "those that this process may not use are no node"
    assert processors("0-3,8") == {0, 1, 2, 3, 8}
