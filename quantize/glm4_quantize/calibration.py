"""Calibration data: texts or conversations that the data-aware methods watch the model read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glm4_intel.chat.tokenizer import ChatTokenizer
from glm4_intel.errors import Glm4Error

LONGEST = 512
"""Tokens of a sample; longer texts become several."""
MOST = 128
"""Samples that are used, which is NNCF's own default."""

_LINE = 'Each line: [{"role": …, "content": …}]'

DEFAULT: tuple[tuple[str, str], ...] = (  # (asked, answered), so that both sides of a conversation are seen
    ("Why does bread rise?",
     "Yeast eats the sugars in the dough and gives off carbon dioxide. The gluten, stretched by kneading, holds the "
     "gas in small bubbles, and the heat of the oven makes them grow before the crust sets."),
    ("面包为什么会发起来？",
     "酵母吃掉面团里的糖，放出二氧化碳。揉面时形成的面筋像一张网，把气体留在里面；进了烤箱，气泡受热变大，面包就蓬松起来。"),
    ("Write a Python function that returns the n-th Fibonacci number without recursion.",
     "def fibonacci(n: int) -> int:\n    first, second = 0, 1\n    for _ in range(n):\n        first, second = second, "
     "first + second\n    return first"),
    ("用 Python 写一个函数，判断一个字符串是不是回文。",
     "def is_palindrome(text: str) -> bool:\n    letters = [c.lower() for c in text if c.isalnum()]\n"
     "    return letters == letters[::-1]"),
    ("A train leaves at 9:40 and arrives at 13:05. How long is the journey?",
     "From 9:40 to 13:00 is 3 hours 20 minutes, and 5 minutes more make 3 hours 25 minutes."),
    ("一件衣服原价 260 元，打八折再减 15 元，要付多少钱？", "打八折是 260 × 0.8 = 208 元，再减 15 元，要付 193 元。"),
    ("Translate into Chinese: The harbour was quiet, and only the gulls were awake.",
     "港口一片寂静，只有海鸥醒着。"),
    ("把这句话翻译成英文：山路越走越窄，雾也越来越浓。",
     "The mountain path grew narrower as we went, and the fog grew thicker."),
    ("Summarise in one sentence: Tides follow the Moon. Its pull is stronger on the near side of the Earth than on the "
     "far side, and the water bulges on both, so that most coasts see two high tides a day.",
     "Because the Moon pulls the Earth's two sides unequally, the sea bulges twice and most coasts have two high tides "
     "a day."),
    ("请用一句话概括：茶树喜欢温暖湿润的气候和酸性土壤，所以名茶多产自南方多雾的山区，那里昼夜温差大，茶叶长得慢，味道也更浓。",
     "南方多雾的山区温暖湿润、土壤偏酸，茶叶长得慢而味浓，因此多产名茶。"),
    ("List three things to check before a long bicycle tour.",
     "1. Brakes and cables.\n2. Tyre pressure and wear.\n3. Spare tubes, a pump and something to eat."),
    ("旅行前要准备哪三样东西？", "1. 证件和车票。\n2. 常用药和换洗衣服。\n3. 手机充电器，最好再带一个移动电源。"),
    ("Answer with JSON only: the capital and population of a country of your choice.",
     '{"country": "Iceland", "capital": "Reykjavík", "population": 390000}'),
    ("只用 JSON 回答：一本书的书名和作者。", '{"书名": "红楼梦", "作者": "曹雪芹"}'),
    ("My sister is afraid of flying. What can I tell her?",
     "Tell her that the fear is common, that breathing slowly helps the body calm down, and that a seat over the wing "
     "feels the turbulence least. Offer to sit beside her, and do not argue with the fear."),
    ("我最近总是睡不好，有什么办法？",
     "可以试试固定时间上床和起床，睡前一小时不看手机，下午以后不喝咖啡和浓茶。如果两三周没有好转，最好去看看医生。"),
)  # fmt: skip


def samples(tokenizer: ChatTokenizer, file: Path | None = None) -> list[list[int]]:
    """Token ids of calibration samples: the built-in ones, or those of a file of text or of JSON lines of messages.

    Raises Glm4Error naming the line that is no list of messages.
    """
    if file is None:
        conversations = [
            [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            for asked, answered in DEFAULT
        ]
        return _cut([_encode(tokenizer, conversation) for conversation in conversations])
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Glm4Error(f"{file} can't be read as calibration data: {error}", "Give UTF-8 text or JSONL.") from error
    if not text.strip():
        raise Glm4Error(f"{file} is empty", "Give text, or JSON lines of messages.")
    if file.suffix != ".jsonl":
        return _cut([tokenizer.encode_text(text)])
    return _cut([_encode(tokenizer, _messages(file, number, line)) for number, line in _lines(text)])


def _lines(text: str) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _messages(file: Path, number: int, line: str) -> Sequence[dict[str, Any]]:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise Glm4Error(f"{file}, line {number} is no JSON: {error}", _LINE) from error
    messages = data.get("messages") if isinstance(data, dict) else data
    if not isinstance(messages, list):
        raise Glm4Error(f"{file}, line {number} has no messages", _LINE)
    return messages


def _encode(tokenizer: ChatTokenizer, messages: Sequence[dict[str, Any]]) -> list[int]:
    if tokenizer.chats:
        return tokenizer.encode(messages, add_generation_prompt=False)
    return tokenizer.encode_text("\n".join(str(message.get("content", "")) for message in messages))


def _cut(texts: Sequence[Sequence[int]]) -> list[list[int]]:
    pieces = [list(ids[at : at + LONGEST]) for ids in texts for at in range(0, len(ids), LONGEST)]
    return pieces[:MOST]
