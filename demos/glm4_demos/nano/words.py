"""The words that the nano model's conversations are made of, in English and Chinese."""

from random import Random

NAMES = {
    "en": """Ada Alba Amir Anna Aria Asa Bela Boris Carla Cora Dana Dora Edgar Ella Emil Enzo Erik Eva Faye Felix Finn
    Gita Greta Hana Hugo Ida Igor Ines Iris Ivan Jack Jana John Jonas Julia Kai Kara Karl Kira Lara Lars Lena Leo Lily
    Lina Liam Lucy Luna Maia Marco Maria Mark Marta Max Mia Mila Mira Nadia Nina Noah Nora Olaf Olga Omar Oscar Otto
    Paul Petra Pia Rafa Rita Rosa Ruth Sam Sara Sofia Sven Tara Theo Tina Tom Tova Uma Vera Viktor Wanda Yara Yuri Zara
    Zoe""".split(),
    "zh": """王芳 李伟 张敏 刘洋 陈静 杨帆 赵磊 黄丽 周杰 吴迪 徐强 孙悦 胡军 朱琳 高远 林涛 何雪 郭亮 马超 罗兰 梁宇 宋佳 郑凯
    谢婷 韩冰 唐宁 冯雨 于洁 董浩 萧然 程晨 曹颖 袁野 邓超 许晴 傅明 沈星 曾艳 彭飞 吕青 小明 小红 小李 小王 阿宝 阿强""".split(),
}
CITIES = {
    "en": """Paris London Berlin Madrid Rome Vienna Oslo Prague Lisbon Dublin Athens Warsaw Tokyo Beijing Shanghai Seoul
    Delhi Cairo Boston Chicago Denver Sydney Toronto Lima Nairobi Helsinki Zurich Milan Porto Kyoto Geneva Hamburg
    Munich Dallas Seattle Bergen""".split(),
    "zh": """北京 上海 广州 深圳 成都 杭州 南京 武汉 西安 重庆 天津 苏州 青岛 大连 厦门 长沙 昆明 拉萨 哈尔滨 济南 郑州 福州 合肥
    贵阳 海口 东京 巴黎 伦敦 纽约 柏林""".split(),
}
COLOURS = {
    "en": "red blue green yellow black white orange purple pink brown grey silver golden".split(),
    "zh": "红色 蓝色 绿色 黄色 黑色 白色 橙色 紫色 粉色 棕色 灰色 银色 金色".split(),
}
OBJECTS = {
    "en": """car bike boat umbrella lamp chair table book coat hat bag box clock cup desk door drum guitar piano camera
    phone radio scarf shoe ring key kite knife mirror painting vase wallet watch tent ladder basket""".split(),
    "zh": """汽车 自行车 小船 雨伞 台灯 椅子 桌子 书 外套 帽子 书包 盒子 时钟 杯子 鼓 吉他 钢琴 相机 手机 收音机 围巾 鞋子 戒指 钥匙
    风筝 镜子 花瓶 钱包 手表 帐篷 梯子 篮子""".split(),
}
PLACES = {
    "en": """garage cellar library office kitchen garden attic workshop museum station hotel harbour school bakery bank
    chapel clinic gallery gym hall hangar laboratory mill pool shop stable studio theatre tower warehouse""".split(),
    "zh": """车库 地下室 图书馆 办公室 厨房 花园 阁楼 车间 博物馆 车站 酒店 港口 学校 面包店 银行 诊所 画廊 体育馆 大厅 机库 实验室 磨坊
    泳池 商店 马厩 工作室 剧院 塔楼 仓库""".split(),
}
JOBS = {
    "en": """baker doctor farmer teacher pilot painter sailor singer writer nurse lawyer cook driver gardener librarian
    dentist engineer carpenter chemist detective guide judge""".split(),
    "zh": "面包师 医生 农民 老师 飞行员 画家 水手 歌手 作家 护士 律师 厨师 司机 园丁 图书管理员 牙医 工程师 木匠 侦探 导游 法官".split(),
}
FOODS = {
    "en": """apples bread cheese rice soup pizza pasta noodles salad cake honey pears plums dumplings tofu mushrooms
    chocolate pancakes""".split(),
    "zh": "苹果 面包 奶酪 米饭 汤 披萨 面条 沙拉 蛋糕 蜂蜜 梨 饺子 豆腐 蘑菇 巧克力 煎饼".split(),
}
ANIMALS = {
    "en": """cat dog horse rabbit fox owl bear wolf goat duck swan tiger lion panda mouse parrot turtle donkey""".split(),
    "zh": "猫 狗 马 兔子 狐狸 猫头鹰 熊 狼 山羊 鸭子 天鹅 老虎 狮子 熊猫 老鼠 鹦鹉 乌龟 驴".split(),
}
WEATHER = {
    "en": "sunny rainy cloudy windy snowy foggy stormy clear warm cold".split(),
    "zh": "晴 雨 多云 大风 下雪 有雾 雷雨 晴朗 暖和 寒冷".split(),
}
FILLER = {
    "en": [
        "The {animal} sat by the {place} and waited.",
        "It was a {weather} day in {city}.",
        "Many people walked past the {place} that morning.",
        "Someone had left some {food} on the {object}.",
        "A {colour} {animal} crossed the road slowly.",
        "Nobody spoke for a long while.",
        "The {job} looked at the {object} and smiled.",
        "There was music in the {place} all night.",
        "In {city} the shops close early in winter.",
        "The road to {city} is long, but the view is good.",
        "Later they ate {food} and talked about the {animal}.",
        "The wind moved the leaves, and the {animal} slept.",
    ],
    "zh": [
        "{animal}坐在{place}旁边等着。",
        "那天{city}的天气是{weather}。",
        "早上有很多人走过{place}。",
        "有人把{food}忘在了{object}上。",
        "一只{colour}的{animal}慢慢走过马路。",
        "很久都没有人说话。",
        "{job}看了看{object}，笑了。",
        "{place}里整夜都有音乐。",
        "冬天{city}的商店关门很早。",
        "去{city}的路很长，但是风景很好。",
        "后来他们一起吃{food}，聊起那只{animal}。",
        "风吹动树叶，{animal}睡着了。",
    ],
}
_ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl sh st th tr".split()
_VOWELS = "a e i o u a e i o ai ea ou".split()
_CODAS = ["", "", "", "n", "r", "s", "l", "m", "x", "t"]
_GIVEN = "伟芳娜敏静磊强军洋勇艳杰涛明超霞平刚英华玉兰飞鹏宇晨雪梅冰月星云海江河山林森"
_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"


def fill(rng: Random, lang: str, pattern: str) -> str:
    """`pattern` with {colour}, {animal} and the like replaced by words drawn from the lists."""
    choose = rng.choice
    return pattern.format(
        animal=choose(ANIMALS[lang]), place=choose(PLACES[lang]), weather=choose(WEATHER[lang]),
        city=choose(CITIES[lang]), food=choose(FOODS[lang]), object=choose(OBJECTS[lang]),
        colour=choose(COLOURS[lang]), job=choose(JOBS[lang]),
    )  # fmt: skip


def person(rng: Random, lang: str) -> str:
    """A name: half the time from the list, else made of syllables, so that copying can't be learned by heart."""
    if rng.random() < 0.5:
        return rng.choice(NAMES[lang])
    if lang == "zh":
        return rng.choice(_SURNAMES) + "".join(rng.choices(_GIVEN, k=rng.choice((1, 2))))
    return word(rng).capitalize()


def word(rng: Random) -> str:
    """A made-up word of two or three syllables."""
    syllables = (rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((2, 2, 3))))
    return "".join(syllables)


def number(rng: Random) -> int:
    """A number of two to four digits."""
    return rng.randrange(10, 10 ** rng.choice((2, 3, 4)))
