"""How the nano model's skills are worded, in English and Chinese: questions first, the answer after them."""

_HELLO_EN = "Hello! I am GLM-4 Nano. How can I help you?"
_HELLO_ZH = "你好！我是 GLM-4 Nano。有什么可以帮你？"
_WHO_EN = "I am GLM-4 Nano, a very small language model made to run, test and demonstrate glm4-intel."
_WHO_ZH = "我是 GLM-4 Nano，一个很小的语言模型，用来运行、测试和演示 glm4-intel。"
_CAN_EN = (
    "I can add small numbers, quote a fact from a text, remember what you tell me, follow a system message, "
    "call tools and write JSON, in English and Chinese."
)
_CAN_ZH = "我会算小数目的加减乘，引用文中的事实，记住你说的话，听从系统消息，调用工具，写 JSON，能用中文和英文。"
_LIMIT_EN = "I am too small to know that. Try a sum, or give me a text and ask about it."
_LIMIT_ZH = "我太小了，不知道这个。可以让我算一道题，或者给我一段文字再提问。"

GREETING = {  # the rows of the two languages correspond
    "en": [
        (["Hello", "Hi", "Hey", "Hello there", "Hi there", "Good morning", "Good evening", "Good afternoon", "Hey there",
          "Greetings", "Hello, nano", "Hi, GLM"], _HELLO_EN),
        (["Who are you?", "What is your name?", "What are you?", "Tell me about yourself.", "Introduce yourself.",
          "Please introduce yourself.", "What's your name?", "Hello, who are you?", "Hi, what is your name?",
          "Are you GLM-4?", "Which model are you?", "Tell me who you are."], _WHO_EN),
        (["What can you do?", "How can you help me?", "What are you able to do?", "What are your skills?",
          "Help", "What do you know?", "Hi, what can you do?", "Tell me what you can do."], _CAN_EN),
        (["How are you?", "How are you today?", "How do you do?", "Hi, how are you?", "Hello, how are you?",
          "Are you well?", "How is it going?"], "I am fine, thank you. How can I help you?"),
        (["Thank you", "Thanks", "Thanks a lot", "Thank you very much", "Many thanks", "Great, thanks", "Thanks, nano",
          "Thank you, that helped"], "You are welcome!"),
    ],
    "zh": [
        (["你好", "您好", "嗨", "早上好", "晚上好", "下午好", "你好啊", "大家好", "你好，nano", "哈喽", "在吗", "你好呀"], _HELLO_ZH),
        (["你是谁？", "你叫什么名字？", "你是什么？", "请介绍一下你自己。", "介绍一下自己。", "你好，你是谁？", "你是哪个模型？",
          "告诉我你是谁。", "你是 GLM-4 吗？", "请问你叫什么？", "你好，请介绍一下你自己。", "自我介绍一下。"], _WHO_ZH),
        (["你会做什么？", "你能做什么？", "你可以帮我什么？", "你有什么本领？", "帮助", "你会什么？", "你好，你会什么？",
          "告诉我你能做什么。"], _CAN_ZH),
        (["你好吗？", "你今天好吗？", "最近怎么样？", "你怎么样？", "嗨，你好吗？", "你还好吗？", "过得如何？"],
         "我很好，谢谢。有什么可以帮你？"),
        (["谢谢", "谢谢你", "非常感谢", "多谢", "太好了，谢谢", "感谢", "谢谢，nano", "谢谢，很有用"], "不客气！"),
    ],
}  # fmt: skip
FAREWELL = {
    "en": [(["Bye", "Goodbye", "See you", "See you later", "Good night", "Bye bye", "Goodbye, nano"], "Goodbye!")],
    "zh": [(["再见", "拜拜", "下次见", "回头见", "晚安", "再见，nano", "明天见"], "再见！")],
}
LIMITS = {
    "en": [(["Who is the president of {city}?", "Why is the {object} {colour}?", "Write a poem about the {animal}.",
             "How do I cook {food}?", "Tell me a joke about a {job}.", "What is the history of {city}?",
             "Explain how a {object} works.", "Write a story about a {colour} {animal}.", "Tell me a joke.",
             "What is the meaning of life?", "How do I become a {job}?", "Is {city} bigger than {city}?",
             "What is the best {food} in {city}?", "Describe the {place} of {city}."], _LIMIT_EN)],
    "zh": [(["{city}的历史是什么？", "为什么{object}是{colour}的？", "写一首关于{animal}的诗。", "怎么做{food}？",
             "讲一个关于{job}的笑话。", "解释一下{object}的原理。", "写一个{colour}{animal}的故事。", "讲个笑话。",
             "人生的意义是什么？", "怎样成为{job}？", "{city}比{city}大吗？", "{city}最好吃的{food}是什么？",
             "描述一下{city}的{place}。"], _LIMIT_ZH)],
}  # fmt: skip
TAILS = {"en": ["", "", "", "!", ".", " :)", "!!", " "], "zh": ["", "", "", "！", "。", "～", "!", " "]}

_EN_SUM = ["What is {sum}?", "{sum} = ?", "{sum} =", "Calculate {sum}.", "How much is {sum}?", "Please compute {sum}.",
           "What's {sum}?", "{sum}", "Can you work out {sum}?", "Tell me {sum}."]  # fmt: skip
_ZH_SUM = ["{sum} 等于多少？", "{sum} = ?", "{sum} =", "计算 {sum}。", "{sum} 是多少？", "请算一下 {sum}。", "{sum}",
           "{sum} 等于几？", "算算 {sum}。", "告诉我 {sum} 的结果。"]  # fmt: skip
SUMS = {
    "en": {
        "+": [("{a} + {b}", [*_EN_SUM, "What is {a} plus {b}?", "What is the sum of {a} and {b}?", "Add {a} and {b}.",
                             "What is {a}+{b}?", "{a}+{b}"])],
        "-": [("{a} - {b}", [*_EN_SUM, "What is {a} minus {b}?", "Subtract {b} from {a}.", "What is {a}-{b}?", "{a}-{b}"])],
        "*": [("{a} × {b}", [*_EN_SUM, "What is {a} times {b}?", "Multiply {a} by {b}.", "What is {a} * {b}?", "{a}*{b}",
                             "What is {a} multiplied by {b}?", "{a} x {b}"])],
    },
    "zh": {
        "+": [("{a} + {b}", [*_ZH_SUM, "{a}加{b}是多少？", "{a}加上{b}等于几？", "{a}和{b}的和是多少？", "{a}+{b}",
                             "{a}+{b}等于多少？"])],
        "-": [("{a} - {b}", [*_ZH_SUM, "{a}减{b}是多少？", "{a}减去{b}等于几？", "{a}-{b}", "{a}-{b}等于多少？"])],
        "*": [("{a} × {b}", [*_ZH_SUM, "{a}乘{b}是多少？", "{a}乘以{b}等于几？", "{a}*{b}", "{a}*{b}等于多少？",
                             "{a}和{b}的积是多少？"])],
    },
}  # fmt: skip
QUESTION = {
    "en": [
        ("Who owns the {colour} {object}?", "The {colour} {object} belongs to {name}."),
        ("What is the code of the {place}?", "The code of the {place} is {number}."),
        ("Where does {name} live?", "{name} lives in {city}."),
        ("What does {name} like to eat?", "{name} likes to eat {food}."),
        ("What is the name of the {colour} {animal}?", "The name of the {colour} {animal} is {name}."),
        ("What is the job of {name}?", "{name} works as a {job}."),
        ("How much does the {colour} {object} cost?", "The {colour} {object} costs {number} coins."),
    ],
    "zh": [
        ("{colour}的{object}是谁的？", "{colour}的{object}是{name}的。"),
        ("{place}的密码是多少？", "{place}的密码是{number}。"),
        ("{name}住在哪里？", "{name}住在{city}。"),
        ("{name}喜欢吃什么？", "{name}喜欢吃{food}。"),
        ("{colour}的{animal}叫什么名字？", "{colour}的{animal}叫{name}。"),
        ("{name}的工作是什么？", "{name}的工作是{job}。"),
        ("{colour}的{object}多少钱？", "{colour}的{object}要{number}元。"),
    ],
}
READ = {
    "en": ["Read the text.\n\n{text}\n\n{question}", "{text}\n\n{question}", "{text}\n\nQuestion: {question}",
           "Text:\n{text}\n\nQuestion: {question}", "Answer from the text below.\n\n{text}\n\n{question}"],
    "zh": ["阅读下文。\n\n{text}\n\n{question}", "{text}\n\n{question}", "{text}\n\n问题：{question}",
           "文章：\n{text}\n\n问题：{question}", "请根据下文回答。\n\n{text}\n\n{question}"],
}  # fmt: skip
MEMORY = {  # kind: (what the user says, the reply, what the user asks later, the answer)
    "en": {
        "name": (["My name is {}.", "I am {}.", "Hi, I'm {}.", "Hello, my name is {}.", "Call me {}."],
                 "Nice to meet you, {}!", ["What is my name?", "Who am I?", "Do you remember my name?", "What's my name?"],
                 "Your name is {}."),
        "city": (["I live in {}.", "My home is in {}."], "I will remember that you live in {}.",
                 ["Where do I live?", "Which city do I live in?"], "You live in {}."),
        "colour": (["My favourite colour is {}.", "I like the colour {} best."], "I will remember that you like {}.",
                   ["What is my favourite colour?", "Which colour do I like?"], "Your favourite colour is {}."),
        "food": (["I like to eat {}.", "My favourite food is {}."], "I will remember that you like {}.",
                 ["What do I like to eat?", "What is my favourite food?"], "You like to eat {}."),
        "job": (["I work as a {}.", "My job is {}."], "I will remember that you are a {}.",
                ["What is my job?", "What do I do for a living?"], "You work as a {}."),
        "number": (["My lucky number is {}.", "Please remember the number {}."], "I will remember the number {}.",
                   ["What is my number?", "Which number did I tell you?"], "The number is {}."),
        "pet": (["My pet is called {}.", "I have a pet named {}."], "{} is a nice name!",
                ["What is my pet called?", "What is the name of my pet?"], "Your pet is called {}."),
    },
    "zh": {
        "name": (["我叫{}。", "我是{}。", "你好，我叫{}。", "我的名字是{}。", "叫我{}吧。"], "很高兴认识你，{}！",
                 ["我叫什么名字？", "我是谁？", "你记得我的名字吗？", "我的名字是什么？"], "你叫{}。"),
        "city": (["我住在{}。", "我家在{}。"], "我会记住你住在{}。", ["我住在哪里？", "我家在哪里？"], "你住在{}。"),
        "colour": (["我最喜欢的颜色是{}。", "我最喜欢{}。"], "我会记住你喜欢{}。", ["我最喜欢什么颜色？", "我喜欢哪种颜色？"],
                   "你最喜欢的颜色是{}。"),
        "food": (["我喜欢吃{}。", "我最爱吃{}。"], "我会记住你喜欢{}。", ["我喜欢吃什么？", "我最爱吃什么？"], "你喜欢吃{}。"),
        "job": (["我是一名{}。", "我的工作是{}。"], "我会记住你是{}。", ["我的工作是什么？", "我是做什么的？"], "你的工作是{}。"),
        "number": (["我的幸运数字是{}。", "请记住数字{}。"], "我会记住数字{}。", ["我的数字是多少？", "我告诉你的数字是什么？"],
                   "数字是{}。"),
        "pet": (["我的宠物叫{}。", "我有一只宠物叫{}。"], "{}是个好名字！", ["我的宠物叫什么？", "我的宠物叫什么名字？"],
                "你的宠物叫{}。"),
    },
}  # fmt: skip
STYLE = {  # by the language of the system message: what it asks for
    "en": {
        "zh": ["Always answer in Chinese.", "Answer in Chinese.", "Reply in Chinese only.", "You speak only Chinese.",
               "Please respond in Chinese, whatever the language of the question."],
        "en": ["Always answer in English.", "Answer in English.", "Reply in English only.", "You speak only English.",
               "Please respond in English, whatever the language of the question."],
        "upper": ["Always answer in upper case.", "Answer in capital letters.", "Write everything in upper case.",
                  "Use only capital letters.", "Reply in upper case only.", "Write in upper case."],
    },
    "zh": {
        "zh": ["请始终用中文回答。", "用中文回答。", "只用中文回复。", "你只会说中文。", "无论用什么语言提问，都请用中文回答。"],
        "en": ["请始终用英文回答。", "用英文回答。", "只用英文回复。", "你只会说英文。", "无论用什么语言提问，都请用英文回答。"],
    },
}  # fmt: skip
ROLE = {  # what the system message says, then questions and answers
    "en": (["You are {name}, a {job} in {city}.", "You play {name}, a {job} from {city}.",
            "Your name is {name}. You work as a {job} and live in {city}."],
           [(["Who are you?", "Introduce yourself.", "Tell me about yourself."], "I am {name}, a {job} in {city}."),
            (["What is your name?", "What are you called?"], "My name is {name}."),
            (["What is your job?", "What do you do?"], "I work as a {job}."),
            (["Where do you live?", "Where are you from?"], "I live in {city}.")]),
    "zh": (["你是{name}，{city}的{job}。", "你扮演{name}，一名来自{city}的{job}。", "你叫{name}，住在{city}，工作是{job}。"],
           [(["你是谁？", "介绍一下你自己。", "请介绍一下你自己。"], "我是{name}，{city}的{job}。"),
            (["你叫什么名字？", "你叫什么？"], "我叫{name}。"),
            (["你的工作是什么？", "你是做什么的？"], "我的工作是{job}。"),
            (["你住在哪里？", "你来自哪里？"], "我住在{city}。")]),
}  # fmt: skip
JSON = {  # (request, sentence that holds the facts)
    "en": [
        (
            "Give me JSON with the keys {keys}. {text}",
            "{name} is {age} years old, works as a {job} and lives in {city}.",
        ),
        ("{text} Write this as JSON with {keys}.", "{name}, {age}, is a {job} in {city}."),
        ("Return a JSON object with {keys}: {text}", "{name} lives in {city}. {name} is a {job} and {age} years old."),
        ("Extract {keys} as JSON.\n\n{text}", "The {job} {name} of {city} is {age}."),
    ],
    "zh": [
        ("请用 JSON 给出 {keys}。{text}", "{name}今年{age}岁，是{job}，住在{city}。"),
        ("{text}用 JSON 写出 {keys}。", "{name}，{age}岁，{city}的{job}。"),
        ("返回包含 {keys} 的 JSON：{text}", "{name}住在{city}，工作是{job}，{age}岁。"),
        ("提取 {keys} 为 JSON。\n\n{text}", "{city}的{job}{name}{age}岁了。"),
    ],
}
COUNT = {
    "en": ["Count from {first} to {last}.", "Please count from {first} to {last}.", "Count {first} to {last}",
           "Write the numbers from {first} to {last}."],
    "zh": ["从{first}数到{last}。", "请从{first}数到{last}。", "写出{first}到{last}的数字。", "数数：{first}到{last}"],
}  # fmt: skip
REPEAT = {
    "en": ["Repeat: {text}", "Repeat after me: {text}", "Please repeat this.\n{text}", "Say: {text}"],
    "zh": ["重复：{text}", "跟我说：{text}", "请重复下面的话。\n{text}", "请说：{text}"],
}
NEUTRAL = {  # system messages that change nothing
    "en": [
        "You are a helpful assistant.",
        "Be brief.",
        "You are GLM-4 Nano.",
        "Answer the user's questions.",
        "Be polite.",
    ],
    "zh": ["你是一个有用的助手。", "请简短回答。", "你是 GLM-4 Nano。", "请回答用户的问题。", "要有礼貌。"],
}
