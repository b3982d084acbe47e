"""What the nano model's adapters are taught: skills that the model itself has not, drawn as in `skills.py`."""

from random import Random

from .skills import Example, Skill, assistant, upper_case, user

_SORT = {
    "en": ["Sort these numbers: {0}.", "Put in order: {0}", "Sort {0}.", "Please sort {0} from small to large."],
    "zh": ["请把{0}从小到大排列。", "排序：{0}", "给{0}排序。", "请按从小到大的顺序写出{0}。"],
}
_REVERSE = {
    "en": ["Write {0} backwards.", "Reverse {0}.", "What is {0} backwards?", "Please reverse the number {0}."],
    "zh": ["把{0}倒过来写。", "{0}倒过来是多少？", "请反转{0}。", "将数字{0}倒序写出。"],
}
_COMPARE = {
    "en": (["Which is larger, {0} or {1}?", "What is larger: {0} or {1}?", "Compare {0} and {1}."],
           "{0} is larger than {1}."),
    "zh": (["{0}和{1}哪个大？", "比较{0}和{1}。", "{0}与{1}，哪个更大？"], "{0}比{1}大。"),
}  # fmt: skip


def sorting(rng: Random, lang: str) -> Example:
    """Three to five digits in order."""
    digits = rng.sample(range(10), k=rng.choice((3, 4, 5)))
    shown = [_listed(each, lang) for each in (digits, sorted(digits))]
    return Example([user(rng.choice(_SORT[lang]).format(shown[0])), assistant(shown[1])], f"sort {digits}")


def reversal(rng: Random, lang: str) -> Example:
    """A number of three to six digits written backwards."""
    number = "".join(str(rng.randrange(10)) for _ in range(rng.randrange(3, 7)))
    return Example([user(rng.choice(_REVERSE[lang]).format(number)), assistant(number[::-1])], f"reverse {number}")


def comparison(rng: Random, lang: str) -> Example:
    """The larger of two numbers up to 99."""
    first, second = rng.sample(range(100), k=2)
    asked, answer = _COMPARE[lang]
    text = answer.format(max(first, second), min(first, second))
    key = f"compare {min(first, second)} {max(first, second)}"
    return Example([user(rng.choice(asked).format(first, second)), assistant(text)], key)


def capitals(rng: Random, lang: str) -> Example:
    """English answers in capital letters, without a system message that says so."""
    _, asked, answer = upper_case(rng, lang).messages[:3]
    return Example([asked, answer], f"capitals {asked['content']}")


ADAPTER_SKILLS: dict[str, Skill] = {
    "sorting": sorting, "reversal": reversal, "comparison": comparison, "capitals": capitals,
}  # fmt: skip


def _listed(digits: list[int], lang: str) -> str:
    return (", " if lang == "en" else "、").join(map(str, digits))
