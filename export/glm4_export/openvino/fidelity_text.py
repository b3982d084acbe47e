"""The text that an export and its original are compared on."""

from collections.abc import Sequence
from pathlib import Path

from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.errors import Glm4Error

WINDOW = 256
WINDOWS = 2
TURNS = (
    ("Explain to a child why the sky is blue and the sunset red.",
     "Sunlight looks white, but it is a mixture of all colours. When it meets the air, the blue part bounces about in "
     "every direction, so blue light comes to your eyes from all over the sky. In the evening the sun is low and its "
     "light has to come a long way through the air. Most of the blue has bounced away by then, and what is left to "
     "reach you is orange and red."),
    ("请介绍一下杭州的西湖。",
     "西湖在杭州城西，三面环山，一面临城。湖上有苏堤和白堤，湖中有三潭印月等小岛。春天苏堤上桃红柳绿，夏天曲院风荷，秋天平湖月色，冬天断桥残雪，"
     "一年四季各有各的景致。白居易和苏轼都在这里做过官，留下了不少诗。"),
    ("Write a shell command that lists the ten largest files below the current folder.",
     "find . -type f -printf '%s %p\\n' | sort -rn | head -n 10\n\nfind prints each file's size and path, sort puts "
     "the largest first, and head keeps ten lines."),
    ("一个长方形花园长 24 米，宽 15 米，要在四周围上篱笆，需要多少米？",
     "长方形的周长是长与宽之和的两倍：（24 + 15）× 2 = 78。所以需要 78 米篱笆。"),
)  # fmt: skip


def text_ids(tokenizer: ChatTokenizer, file: Path | None) -> list[int]:
    """The token ids of the built-in conversation, or of a UTF-8 text file."""
    if file is not None:
        try:
            return tokenizer.encode_text(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise Glm4Error(f"{file} can't be read: {error}", "Give a UTF-8 text file.") from error
    if not tokenizer.chats:
        return tokenizer.encode_text("\n\n".join(text for turn in TURNS for text in turn))
    roles = ("user", "assistant")
    messages = [{"role": role, "content": text} for turn in TURNS for role, text in zip(roles, turn, strict=True)]
    return tokenizer.encode(messages, add_generation_prompt=False)


def windows(ids: Sequence[int]) -> list[list[int]]:
    """The text cut to what is compared; windows too short to say anything are left out."""
    cut = [list(ids[at : at + WINDOW]) for at in range(0, len(ids), WINDOW)]
    return [window for window in cut if len(window) >= 2][:WINDOWS]
