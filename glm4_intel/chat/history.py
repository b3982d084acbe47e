"""A history that outgrows its context: which of its oldest exchanges are left out.

It is cut to half of the room, so that the turns that follow add to the same beginning, which the engine has computed.
A conversation comes whole with every turn, so the cuts are found as they fell when it grew, and fall there again.
"""

from bisect import bisect_left
from collections.abc import Sequence

from .conversation import Conversation
from .tokenizer import ChatTokenizer


def fit(conversation: Conversation, tokenizer: ChatTokenizer, room: int) -> tuple[Conversation, list[int]]:
    """The conversation without as many of its oldest exchanges as have no room, and its prompt.

    The last exchange always stays, so that the prompt may still be longer than `room` tokens.
    """
    ids = conversation.render(tokenizer)
    most = len(conversation.exchanges) - 1
    if len(ids) <= room or most < 1:
        return conversation, ids
    dropped = min(_dropped(ids, tokenizer, room, most + 1), most)
    while True:
        shorter = conversation.without_oldest(dropped)
        ids = shorter.render(tokenizer)
        if len(ids) <= room or dropped == most:
            return shorter, ids
        dropped += max(1, (most - dropped) // 2)  # a template that writes an exchange otherwise in a shorter history


def _dropped(ids: Sequence[int], tokenizer: ChatTokenizer, room: int, exchanges: int) -> int:
    """How many exchanges go, where each of them begins with the user's tag in the prompt."""
    user, assistant = tokenizer.special_id("<|user|>"), tokenizer.special_id("<|assistant|>")
    starts = [index for index, id in enumerate(ids) if id == user]
    if len(starts) != exchanges:
        return 1
    answered = [index + 1 for index, id in enumerate(ids) if id == assistant]
    return _first_kept(starts, answered, room)


def _first_kept(starts: Sequence[int], answered: Sequence[int], room: int) -> int:
    """The first exchange that stays, as the cuts fell one after another.

    `starts` are the places in the prompt where exchanges begin, `answered` those behind which the model wrote.
    """
    head, first = starts[0], 0
    for end in answered:
        if head + end - starts[first] > room:
            half = bisect_left(starts, head + end - room // 2)
            first = max(first, min(half, bisect_left(starts, end) - 1))
    return first
