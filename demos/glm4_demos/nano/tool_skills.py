"""The nano model's tool skills: calling one of several declared tools, and answering from what the tool returned."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from . import words
from .skills import Example, Message, arithmetic, assistant, draw, greeting, user

Values = dict[str, Any]
Words = Callable[[Random, str], Any]

_SOUGHT = {"en": "{colour} {object}", "zh": "{colour}{object}"}
_PARAMETERS: dict[str, tuple[str, str, Words]] = {  # name: (JSON type, description, how to draw a value)
    "city": ("string", "The city", lambda rng, lang: rng.choice(words.CITIES[lang])),
    "location": ("string", "The city or place", lambda rng, lang: rng.choice(words.CITIES[lang])),
    "departure": ("string", "The city to leave from", lambda rng, lang: rng.choice(words.CITIES[lang])),
    "destination": ("string", "The city to go to", lambda rng, lang: rng.choice(words.CITIES[lang])),
    "person": ("string", "The name of the person", words.person),
    "name": ("string", "The name to look up", words.person),
    "recipient": ("string", "Who receives it", words.person),
    "item": ("string", "The thing meant", lambda rng, lang: rng.choice(words.OBJECTS[lang])),
    "food": ("string", "The food to order", lambda rng, lang: rng.choice(words.FOODS[lang])),
    "animal": ("string", "The animal", lambda rng, lang: rng.choice(words.ANIMALS[lang])),
    "minutes": ("integer", "How many minutes", lambda rng, lang: rng.randrange(1, 120)),
    "amount": ("integer", "How much or how many", lambda rng, lang: words.number(rng)),
    "count": ("integer", "How many", lambda rng, lang: rng.randrange(2, 60)),
    "query": ("string", "What to search for", lambda rng, lang: words.fill(rng, lang, _SOUGHT[lang])),
}

_TOOLS: dict[str, tuple[str, tuple[str, ...], dict[str, list[str]]]] = {  # name: (description, parameters, questions)
    "get_weather": ("Get the current weather", ("city",), {
        "en": ["What is the weather in {city}?", "How is the weather in {city} today?", "Weather in {city}?",
               "Tell me the weather in {city}."],
        "zh": ["{city}今天天气怎么样？", "{city}的天气如何？", "查一下{city}的天气。", "{city}天气"]}),
    "get_current_weather": ("Get the current weather", ("location",), {
        "en": ["What is the weather in {location}?", "How is the weather in {location} now?"],
        "zh": ["{location}现在天气怎么样？", "{location}的天气如何？"]}),
    "get_time": ("Get the local time of a city", ("city",), {
        "en": ["What time is it in {city}?", "Tell me the time in {city}."],
        "zh": ["{city}现在几点？", "告诉我{city}的时间。"]}),
    "find_train": ("Find a train between two cities", ("departure", "destination"), {
        "en": ["Find a train from {departure} to {destination}.", "Which train goes from {departure} to {destination}?"],
        "zh": ["查询从{departure}到{destination}的火车。", "从{departure}到{destination}有什么火车？"]}),
    "book_hotel": ("Book a hotel", ("city", "count"), {
        "en": ["Book a hotel in {city} for {count} people.", "I need a hotel in {city} for {count} guests."],
        "zh": ["在{city}为{count}个人订酒店。", "帮我订{city}的酒店，{count}个人。"]}),
    "send_message": ("Send a message to someone", ("recipient", "query"), {
        "en": ["Send a message to {recipient} about the {query}.", "Write to {recipient} about the {query}."],
        "zh": ["给{recipient}发消息，说说{query}。", "写信给{recipient}，内容是{query}。"]}),
    "set_timer": ("Set a timer", ("minutes",), {
        "en": ["Set a timer for {minutes} minutes.", "Wake me in {minutes} minutes."],
        "zh": ["设一个{minutes}分钟的计时器。", "{minutes}分钟后叫我。"]}),
    "search_web": ("Search the web", ("query",), {
        "en": ["Search the web for a {query}.", "Look up {query} on the web."],
        "zh": ["在网上搜索{query}。", "上网查一下{query}。"]}),
    "order_food": ("Order food", ("food", "count"), {
        "en": ["Order {count} portions of {food}.", "I want {count} times {food}, please."],
        "zh": ["点{count}份{food}。", "我要{count}份{food}。"]}),
    "get_phone_number": ("Get the phone number of a person", ("person",), {
        "en": ["What is the phone number of {person}?", "I need the number of {person}."],
        "zh": ["{person}的电话号码是多少？", "我需要{person}的电话。"]}),
    "get_price": ("Get the price of an item", ("item",), {
        "en": ["What is the price of the {item}?", "How much is the {item}?"],
        "zh": ["{item}的价格是多少？", "{item}多少钱？"]}),
    "transfer_money": ("Transfer money to someone", ("recipient", "amount"), {
        "en": ["Transfer {amount} coins to {recipient}.", "Send {recipient} {amount} coins."],
        "zh": ["给{recipient}转{amount}元。", "转账{amount}元给{recipient}。"]}),
}  # fmt: skip
_NOUNS = {"height": "高度", "weight": "重量", "owner": "主人", "address": "地址", "age": "年龄", "rating": "评分",
          "status": "状态", "population": "人口", "score": "分数", "salary": "工资", "balance": "余额", "schedule": "日程",
          "history": "历史", "colour": "颜色", "temperature": "温度", "distance": "距离"}  # fmt: skip
_ASKED = {
    "en": ["What is the {noun} of {value}?", "Tell me the {noun} of {value}.", "Get the {noun} of {value}."],
    "zh": ["{value}的{noun}是多少？", "告诉我{value}的{noun}。", "查询{value}的{noun}。"],
}


def tool_call(rng: Random, lang: str) -> Example:
    """One of several declared tools called with arguments from the question, or none where none fits."""
    name, tool, question, arguments, _ = _task(rng, lang)
    declared = _declared(rng, lang, name, tool)
    messages = [{"role": "system", "tools": declared}]
    if rng.random() < 0.15:
        small_talk = draw(rng.choice((greeting, arithmetic)), rng, lang, "train")
        return Example([*messages, *small_talk.messages], f"no tool {small_talk.key} {name}")
    return Example([*messages, user(question), _call(name, arguments)], f"call {name} {arguments}")


def observation(rng: Random, lang: str) -> Example:
    """An answer that states what a tool returned; sometimes a second round follows."""
    rounds = [_task(rng, lang)]
    declared = _declared(rng, lang, *rounds[0][:2])
    if rng.random() < 0.4:
        rounds.append(_again(rng, lang, rounds[0]))
    messages: list[Message] = [{"role": "system", "tools": declared}]
    for name, _, question, arguments, noun in rounds:
        returned, answer = _result(rng, lang, noun)
        messages += [
            user(question),
            _call(name, arguments),
            {"role": "observation", "content": returned},
            assistant(answer),
        ]
    return Example(messages, f"observation {rounds[-1][3]} {answer}")


Task = tuple[str, dict[str, Any], str, Values, str]
"""Name, declaration, question, arguments, and the noun that the answer is about."""


def _task(rng: Random, lang: str) -> Task:
    if rng.random() < 0.5:
        name = rng.choice(sorted(_TOOLS))
        return _named_task(rng, lang, name)
    noun = rng.choice(sorted(_NOUNS))
    return _noun_task(rng, lang, noun, rng.choice(("item", "person", "city", "name", "animal", "food")))


def _again(rng: Random, lang: str, task: Task) -> Task:
    """The same tool asked for another value."""
    name, tool, *_, noun = task
    if name in _TOOLS:
        return _named_task(rng, lang, name)
    return _noun_task(rng, lang, noun, next(iter(tool["parameters"]["properties"])))


def _named_task(rng: Random, lang: str, name: str) -> Task:
    description, parameters, questions = _TOOLS[name]
    arguments = {parameter: _PARAMETERS[parameter][2](rng, lang) for parameter in parameters}
    question = rng.choice(questions[lang]).format(**arguments)
    noun = "weather" if "weather" in name else "result"
    return name, _function(name, description, parameters), question, arguments, noun


def _noun_task(rng: Random, lang: str, noun: str, parameter: str) -> Task:
    value = _PARAMETERS[parameter][2](rng, lang)
    asked = noun if lang == "en" else _NOUNS[noun]
    shown = f"the {value}" if lang == "en" and parameter in ("item", "animal") else value
    question = rng.choice(_ASKED[lang]).format(noun=asked, value=shown)
    name = f"{('get', 'find', 'lookup')[len(noun) % 3]}_{noun}"
    return name, _function(name, f"Get the {noun} of something", (parameter,)), question, {parameter: value}, noun


def _function(name: str, description: str, parameters: tuple[str, ...]) -> dict[str, Any]:
    properties = {
        parameter: {"type": _PARAMETERS[parameter][0], "description": _PARAMETERS[parameter][1]}
        for parameter in parameters
    }
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"name": name, "description": description, "parameters": schema}


def _declared(rng: Random, lang: str, name: str, tool: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool among up to three others, in any order; a parameter's description is sometimes left out."""
    tools = {name: tool}
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        other = _task(rng, lang)
        if not (name.endswith("weather") and other[0].endswith("weather")):
            tools.setdefault(other[0], other[1])
    if rng.random() < 0.3:
        for function in tools.values():
            for schema in function["parameters"]["properties"].values():
                schema.pop("description", None)
    declared = [{"type": "function", "function": function} for function in tools.values()]
    rng.shuffle(declared)
    return declared


def _call(name: str, arguments: Values) -> Message:
    return {"role": "assistant", "metadata": name, "content": json.dumps(arguments, ensure_ascii=False)}


def _result(rng: Random, lang: str, noun: str) -> tuple[str, str]:
    """What the tool returns, as text or JSON, and the answer that states it."""
    value = rng.choice((words.number(rng), words.person(rng, lang), rng.choice(words.WEATHER[lang])))
    if noun == "weather":
        weather, degrees = rng.choice(words.WEATHER[lang]), rng.randrange(-9, 40)
        returned = json.dumps({"weather": weather, "temperature": degrees}, ensure_ascii=False)
        answer = {"en": f"It is {weather} and {degrees} °C.", "zh": f"天气{weather}，{degrees} °C。"}[lang]
        return returned, answer
    returned = json.dumps({noun: value}, ensure_ascii=False) if rng.random() < 0.5 else str(value)
    shown = noun if lang == "en" else _NOUNS.get(noun, "结果")
    return returned, f"The {shown} is {value}." if lang == "en" else f"{shown}是{value}。"
