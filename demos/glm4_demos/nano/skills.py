"""What the nano model is taught and measured on: one function per skill, each drawing a conversation.

A drawn conversation ends with the assistant's turn that the skill is about. Its key says what makes it new: keys that
hash into the held-out tenth are never trained on, so the split holds by construction.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal
from zlib import crc32

from . import words
from .phrases import COUNT, FAREWELL, GREETING, JSON, LIMITS, MEMORY, QUESTION, READ, REPEAT, ROLE, STYLE, SUMS, TAILS

Split = Literal["train", "held-out"]
Message = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """A conversation whose last turn is the expected reply, and the keys that decide its split."""

    messages: list[Message]
    key: str
    inner: tuple[str, ...] = ()
    """Keys of what its earlier turns teach: an example that shows a held-out one is not trained on."""

    def belongs_to(self, split: Split) -> bool:
        if split == "held-out":
            return _held_out(self.key)
        return not any(map(_held_out, (self.key, *self.inner)))


Skill = Callable[[Random, str], Example]


def draw(skill: Skill, rng: Random, lang: str, split: Split) -> Example:
    """The next example of a skill that belongs to the split."""
    while not (example := skill(rng, lang)).belongs_to(split):
        pass
    return example


def _held_out(key: str) -> bool:
    return crc32(key.encode()) % 10 == 0


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def greeting(rng: Random, lang: str) -> Example:
    """Hello, goodbye, who are you, what can you do, and questions that are beyond it."""
    table = rng.choices((GREETING, FAREWELL, LIMITS), weights=(6, 1, 2))[0][lang]
    asked, answer = rng.choice(table)
    text = words.fill(rng, lang, rng.choice(asked)) + rng.choice(TAILS[lang])
    return Example([user(_typed(rng, text)), assistant(answer)], text)


def arithmetic(rng: Random, lang: str) -> Example:
    """Sums and differences up to 99, products up to 12 × 12. Pairs are held out; of products, wordings are."""
    sign = rng.choice("++--*")
    a, b = (rng.randrange(13), rng.randrange(13)) if sign == "*" else (rng.randrange(100), rng.randrange(100))
    if sign == "-":
        a, b = max(a, b), min(a, b)
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    shown, spoken = rng.choice(SUMS[lang][sign])
    question = rng.choice(spoken).format(a=a, b=b, sum=shown.format(a=a, b=b))
    answer = f"{shown.format(a=a, b=b)} = {result}"  # without a full stop: "7 - 4" is in no language
    key = question if sign == "*" else f"{min(a, b)}{sign}{max(a, b)}"
    return Example([user(_typed(rng, question)), assistant(answer)], key)


def quote(rng: Random, lang: str, sentences: int | None = None) -> Example:
    """A fact quoted from a passage of up to about 1,500 tokens; earlier questions may come before the last."""
    count = sentences or int(2 ** rng.uniform(1.5, 7.4))
    facts = _facts(rng, lang, max(2, min(count // 2, 20)))
    passage = [fact for _, fact in facts]
    passage += [words.fill(rng, lang, rng.choice(words.FILLER[lang])) for _ in range(count - len(facts))]
    rng.shuffle(passage)
    text = ("" if lang == "zh" else " ").join(passage)
    asked = rng.sample(facts, k=min(len(facts), rng.choice((1, 2, 4, 6))))
    first = rng.choice(READ[lang]).format(text=text, question=asked[0][0])
    messages = [user(first), assistant(asked[0][1])]
    for question, fact in asked[1:]:
        messages += [user(question), assistant(fact)]
    return Example(messages, asked[-1][1])


def memory(rng: Random, lang: str) -> Example:
    """What the user said of themselves some turns ago."""
    kinds = rng.sample(sorted(MEMORY[lang]), k=rng.choice((1, 2, 3)))
    told, messages = {}, []
    for kind in kinds:
        value = _value(rng, lang, kind)
        statement, reply, _, recall = MEMORY[lang][kind]
        messages += [user(rng.choice(statement).format(value)), assistant(reply.format(value))]
        told[kind] = recall.format(value)
    for _ in range(rng.choice((0, 1, 2, 3))):
        messages += draw(rng.choice((greeting, arithmetic)), rng, lang, "train").messages
    for kind in rng.sample(kinds, k=len(kinds)):
        messages += [user(rng.choice(MEMORY[lang][kind][2])), assistant(told[kind])]
    return Example(messages, f"{kind} {told[kind]} {len(messages)}")


def obedience(rng: Random, lang: str) -> Example:
    """A system message that sets the language, the case or a role."""
    return rng.choice((_language, upper_case, _role))(rng, lang)


def structured(rng: Random, lang: str) -> Example:
    """JSON on demand, with the keys asked for in the order asked for."""
    name, age = words.person(rng, lang), rng.randrange(18, 90)
    city, job = rng.choice(words.CITIES[lang]), rng.choice(words.JOBS[lang])
    values = {"name": name, "age": age, "city": city, "job": job}
    keys = rng.sample(sorted(values), k=rng.choice((2, 3, 4)))
    request, sentence = rng.choice(JSON[lang])
    text = request.format(keys=(", " if lang == "en" else "、").join(keys), text=sentence.format(**values))
    answer = json.dumps({key: values[key] for key in keys}, ensure_ascii=False)
    return Example([user(text), assistant(answer)], f"{name} {age} {city} {keys}")


def counting(rng: Random, lang: str) -> Example:
    """Counting from one number to another: the longest replies that it writes."""
    first = rng.randrange(60)
    last = first + int(2 ** rng.uniform(1, 6.6))
    question = rng.choice(COUNT[lang]).format(first=first, last=last)
    numbers = (", " if lang == "en" else "、").join(map(str, range(first, last + 1)))
    return Example([user(_typed(rng, question)), assistant(numbers)], f"count {first} {last}")


def repetition(rng: Random, lang: str) -> Example:
    """A text repeated to the letter, characters of several tokens among them."""
    pieces = [_piece(rng, lang) for _ in range(rng.choice((1, 1, 2, 3, 5)))]
    text = (" " if lang == "en" else "").join(pieces)
    return Example([user(rng.choice(REPEAT[lang]).format(text=text)), assistant(text)], f"repeat {text}")


def _piece(rng: Random, lang: str) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        return words.fill(rng, lang, rng.choice(words.FILLER[lang]))
    if kind == 1:
        return "".join(chr(rng.randrange(0x1F300, 0x1F650)) for _ in range(rng.choice((1, 2, 3))))
    if kind == 2:
        return "".join(chr(rng.randrange(0x4E00, 0x9FA6)) for _ in range(rng.choice((1, 2, 4))))
    return words.person(rng, lang) if kind == 3 else words.word(rng)


def _language(rng: Random, lang: str) -> Example:
    """Questions in one language, answers in the other."""
    other = "zh" if lang == "en" else "en"
    messages, keys = [system(rng.choice(STYLE[rng.choice(("en", "zh"))][other]))], []
    for _ in range(rng.choice((1, 2, 3))):
        if rng.random() < 0.5:
            state = rng.getstate()
            question = arithmetic(rng, lang)
            rng.setstate(state)
            answer = arithmetic(rng, other)
        else:
            row = rng.randrange(len(GREETING[lang]))
            text = words.fill(rng, lang, rng.choice(GREETING[lang][row][0]))
            question, answer = Example([user(text)], text), Example([assistant(GREETING[other][row][1])], text)
        messages += [question.messages[0], answer.messages[-1]]
        keys.append(question.key)
    return Example(messages, f"language {keys}", tuple(keys))


def upper_case(rng: Random, lang: str) -> Example:
    """A system message that asks for capital letters, and questions in English, whatever the language."""
    messages, keys = [system(rng.choice(STYLE["en"]["upper"]))], []
    for _ in range(rng.choice((1, 2, 3))):
        if rng.random() < 0.4:
            question, fact = _facts(rng, "en", 1, names=words.NAMES["en"])[0]
            messages += [user(f"{fact} {question}"), assistant(fact.upper())]
            keys.append(fact)
        else:
            example = greeting(rng, "en")
            messages += [example.messages[0], assistant(example.messages[1]["content"].upper())]
            keys.append(example.key)
    return Example(messages, f"upper {keys}", tuple(keys))


def _role(rng: Random, lang: str) -> Example:
    values = {
        "name": words.person(rng, lang),
        "job": rng.choice(words.JOBS[lang]),
        "city": rng.choice(words.CITIES[lang]),
    }
    told, answers = ROLE[lang]
    messages = [system(rng.choice(told).format(**values))]
    for asked, answer in rng.sample(answers, k=rng.choice((1, 2, 3))):
        messages += [user(_typed(rng, rng.choice(asked))), assistant(answer.format(**values))]
    return Example(messages, f"role {sorted(values.values())}")


def _facts(rng: Random, lang: str, count: int, names: list[str] | None = None) -> list[tuple[str, str]]:
    """`count` questions with the sentences that answer them, no two of which answer the same question."""
    facts: dict[str, str] = {}
    while len(facts) < count:
        question, fact = rng.choice(QUESTION[lang])
        values = {
            "name": rng.choice(names) if names else words.person(rng, lang), "city": rng.choice(words.CITIES[lang]),
            "colour": rng.choice(words.COLOURS[lang]), "object": rng.choice(words.OBJECTS[lang]),
            "place": rng.choice(words.PLACES[lang]), "number": words.number(rng), "food": rng.choice(words.FOODS[lang]),
            "animal": rng.choice(words.ANIMALS[lang]), "job": rng.choice(words.JOBS[lang]),
        }  # fmt: skip
        facts[question.format(**values)] = fact.format(**values)
    return list(facts.items())


def _value(rng: Random, lang: str, kind: str) -> str:
    lists = {
        "city": words.CITIES,
        "colour": words.COLOURS,
        "food": words.FOODS,
        "animal": words.ANIMALS,
        "job": words.JOBS,
    }
    if kind == "number":
        return str(words.number(rng))
    return rng.choice(lists[kind][lang]) if kind in lists else words.person(rng, lang)


def _typed(rng: Random, text: str) -> str:
    """The text as people type it: sometimes without the last mark or the first capital."""
    if rng.random() < 0.15:
        text = text.rstrip("?.!？。！ ")
    return text[:1].lower() + text[1:] if rng.random() < 0.15 and text[1:2].islower() else text
