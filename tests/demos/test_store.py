"""Conversations on disk: nothing is written over, a crash leaves a whole file, what comes from elsewhere is checked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glm4_demos.dialogue import Dialogue, Turn
from glm4_demos.keeping import Keeper
from glm4_demos.locking import held, hold
from glm4_demos.store import HERE, Saved, Store
from glm4_intel import Glm4Error, agent
from scripted import reply_ids, scripted

FIGURES = {"prompt_tokens": 10, "completion_tokens": 5, "truncated_messages": 2, "time_to_first_token": 0.02,
           "device": "CPU", "time_per_token": 0.01, "tokens_per_second": 100.0, "finish_reason": "stop"}  # fmt: skip


def said(*texts: str) -> Dialogue:
    return Dialogue(title=texts[0], turns=[Turn("user", text) for text in texts])


def add(dialogue: Dialogue, text: str) -> Dialogue:
    dialogue.turns.append(Turn("user", text))
    return dialogue


def all_texts(store: Store) -> set[tuple[str, ...]]:
    opened = [store.open(id) for _, id in store.titles()]
    return {tuple(turn.content for turn in each.turns) for each in opened if each}


def test_two_that_go_on_with_a_conversation_are_both_kept(tmp_path: Path) -> None:
    store, one = Store(HERE, tmp_path), said("a")
    assert store.save(one) is Saved.THERE
    other = store.open(one.id)
    assert other == one and store.newest(one) is one
    assert store.save(add(one, "b")) is Saved.THERE
    assert store.save(add(other, "c")) is Saved.BESIDE and other.id != one.id
    assert all_texts(store) == {("a", "b"), ("a", "c")}
    assert store.save(add(other, "d")) is Saved.THERE and all_texts(store) == {("a", "b"), ("a", "c", "d")}


def test_a_new_title_elsewhere_is_joined_and_what_went_on_is_opened(tmp_path: Path) -> None:
    store, one = Store(HERE, tmp_path), said("a")
    store.save(one)
    other = store.open(one.id)
    other.title = "Names"
    store.save(other)
    assert store.save(add(one, "b")) is Saved.THERE and store.titles() == [("Names", one.id)]
    newest = store.newest(other)
    assert newest is not other and [turn.content for turn in newest.turns] == ["a", "b"]


def test_what_was_deleted_stays_deleted(tmp_path: Path) -> None:
    store, one = Store(HERE, tmp_path), said("a")
    assert store.newest(one) is one
    store.save(one)
    store.delete(one.id)
    assert store.newest(one) is None and store.save(one) is Saved.DELETED and store.titles() == []


def test_what_could_not_be_saved_is_kept_beside_what_was(tmp_path: Path) -> None:
    store, one = Store(HERE, tmp_path / "data"), said("a")
    store.save(one)
    other = store.open(one.id)
    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "data").touch()
    with pytest.raises(OSError):
        store.save(add(one, "b"))
    assert one.unsaved and store.newest(one) is one
    (tmp_path / "data").unlink()
    (tmp_path / "moved").rename(tmp_path / "data")
    store.save(add(other, "c"))
    assert store.newest(one) is one and store.save(one) is Saved.THERE
    assert all_texts(store) == {("a", "b"), ("a", "c")}


def test_a_file_that_is_damaged_is_written_anew(tmp_path: Path) -> None:
    store, one = Store(HERE, tmp_path), said("a")
    store.save(one)
    (tmp_path / "~here" / f"{one.id}.json").write_text("{", encoding="utf-8")
    assert store.newest(one) is one and store.save(add(one, "b")) is Saved.THERE
    assert all_texts(store) == {("a", "b")}


WRITER = """
import sys
from pathlib import Path
from glm4_demos.dialogue import Dialogue, Turn
from glm4_demos.store import HERE, Store
store, talk = Store(HERE, Path(sys.argv[1])), Dialogue(id="0" * 32)
while True:
    talk.turns = [Turn("user", "word " * 100_000)] * 4
    store.save(talk)
    print("saved", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_program_killed_while_it_saves_leaves_a_whole_conversation(tmp_path: Path) -> None:
    for wait in (0.0, 0.003, 0.009, 0.02):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout and writer.stdout.readline()
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        left = Store(HERE, tmp_path).open("0" * 32)
        assert left and len(left.turns) == 4 and len(left.turns[3].content) == 500_000
        Store(HERE, tmp_path).delete("0" * 32)
        assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.skipif(os.name == "nt", reason="limits")
def test_a_full_disk_leaves_the_conversation_before(tmp_path: Path) -> None:
    """The system's limit on the size of a file stands for a full disk."""
    program = WRITER.replace("while True:", """
import resource, signal
store.save(talk)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for _ in range(1):""")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert "OSError" in done.stderr
    left = Store(HERE, tmp_path).open("0" * 32)
    assert left and left.turns == [] and not list(tmp_path.rglob("*.tmp"))


def test_saves_of_many_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two programs that save the same conversation in turns never write over each other."""
    program = WRITER.replace("while True:", "for number in range(20):").replace(
        'talk.turns = [Turn("user", "word " * 100_000)] * 4',
        'talk.turns.append(Turn("user", f"{sys.argv[2]} {number}"))',
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    kept = {text for texts in all_texts(Store(HERE, tmp_path)) for text in texts}
    assert kept == {f"{name} {number}" for name in "ab" for number in range(20)}


def test_nobody_who_logs_in_is_whoever_uses_the_machine(tmp_path: Path) -> None:
    Store(HERE, tmp_path).save(said("a"))
    assert (tmp_path / "~here").is_dir()
    assert [name for name in ("~here", "here", "", "\ud800") if Store(name, tmp_path).titles()] == []


def test_a_conversation_from_elsewhere_takes_no_others_place() -> None:
    original = said("a", "b")
    original.version = 7
    original.turns.append(Turn("assistant", "c", figures=FIGURES))
    brought = Dialogue.brought(original.as_json())
    assert brought.turns == original.turns and brought.id != original.id and brought.version == 0


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        {"turns": [{"role": "system", "content": "x"}]},
        {"turns": [{"role": "user", "content": {"html": "x"}}]},
        {"turns": [{"role": "user"}]},
        {"turns": [], "title": 5},
        {"turns": [], "id": "../../etc/passwd"},
        {"turns": [], "version": -1},
        {"turns": [{"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}]},
        {"turns": [{"role": "user", "content": "", "document": {"name": "x"}}]},
    ],
)
def test_what_is_no_conversation_is_refused(data: object) -> None:
    with pytest.raises(Glm4Error, match="no saved conversation"):
        Dialogue.brought(json.dumps(data))


def test_what_is_strange_in_a_conversation_is_left_out() -> None:
    turn = {"role": "assistant", "content": "x \ud800", "figures": {"device": 5}, "new in a later version": 1}
    brought = Dialogue.brought(json.dumps({"turns": [turn], "new in a later version": 1}))
    assert brought.turns == [Turn("assistant", "x \ufffd")]
    for broken in ("[" * 100_000, "1" * 5000, "{", "\0"):
        with pytest.raises(Glm4Error, match="it is no JSON"):
            Dialogue.brought(broken)


def test_the_terminal_keeps_its_conversation_and_finds_it_again(tmp_path: Path) -> None:
    told: list[str] = []
    keeper, talk = Keeper(told.append, Store(HERE, tmp_path)), said("a")
    keeper.save(talk)
    elsewhere = Keeper(told.append, Store(HERE, tmp_path))
    found = elsewhere.earlier()
    assert found == talk and keeper.listed() == ["  1 a"] and not told
    elsewhere.save(add(found, "b"))
    with pytest.raises(Glm4Error, match="went on elsewhere"):
        keeper.require_newest(talk)
    assert [turn.content for turn in keeper.newest(talk).turns] == ["a", "b"] and "went on elsewhere" in told[0]
    keeper.save(add(talk, "c"))
    assert "as a conversation of its own" in told[1] and len(keeper.listed()) == 2
    with pytest.raises(Glm4Error, match="There is no conversation 3"):
        keeper.earlier(3)


def test_a_reply_is_saved_while_it_is_written(tmp_path: Path) -> None:
    runtime, _ = scripted(reply_ids("\none two three four"))
    store, talk = Store(HERE, tmp_path), said("count")
    store.save(talk)
    for event in talk.reply(runtime):
        store.save(talk)
        if isinstance(event, agent.Wrote) and event.chunk.text and not event.chunk.finish_reason:
            killed = store.open(talk.id)
            assert killed.turns[-1].role == "assistant" and "one two three four".startswith(killed.turns[-1].content)
    store.save(talk)
    assert store.open(talk.id) == talk and [turn.role for turn in talk.turns] == ["user", "assistant"]


def test_the_terminal_says_once_that_nothing_is_saved(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "file").touch()
    keeper, talk = Keeper(told.append, Store(HERE, tmp_path / "file")), said("a")
    for _ in range(3):
        keeper.save(talk)
    assert len(told) == 1 and "is not saved" in told[0] and keeper.newest(talk) is talk


def test_a_file_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    first = hold(tmp_path / "held")
    assert first and hold(tmp_path / "held") is None
    first.close()
    with held(tmp_path / "held"):
        assert hold(tmp_path / "held") is None
    assert hold(tmp_path / "held")
