"""The page's words, in English and Chinese."""

from typing import Literal

Language = Literal["en", "zh"]

LANGUAGES: dict[str, Language] = {"English": "en", "中文": "zh"}

_WORDS: dict[str, tuple[str, str]] = {  # name: (English, Chinese)
    "new": ("New chat", "新对话"),
    "conversations": ("Conversations", "对话"),
    "title": ("Title", "标题"),
    "rename": ("Rename", "重命名"),
    "delete": ("Delete", "删除"),
    "delete_yes": ("Delete it for good", "确认删除"),
    "delete_no": ("Keep it", "保留"),
    "bring": ("Open a saved JSON", "打开已导出的 JSON"),
    "as_json": ("Save as JSON", "导出 JSON"),
    "as_markdown": ("Save as Markdown", "导出 Markdown"),
    "chat": ("Conversation", "对话内容"),
    "message": ("Message", "消息"),
    "ask": ("Ask something. Shift-Enter for a new line.", "输入消息，Shift-Enter 换行。"),
    "settings": ("Settings", "设置"),
    "system": ("System prompt", "系统提示"),
    "temperature": ("Temperature", "温度"),
    "top_p": ("Top-p", "Top-p"),
    "top_k": ("Top-k, 0 for all", "Top-k，0 为全部"),
    "max_new_tokens": ("Most tokens", "最大词元数"),
    "repetition_penalty": ("Repetition penalty", "重复惩罚"),
    "seed": ("Seed, empty for a new one", "随机种子，空则每次不同"),
    "reset": ("Reset to the model's own", "恢复模型默认值"),
    "tools": ("Tools", "工具"),
    "language": ("Language", "语言"),
    "theme": ("Light or dark", "浅色或深色"),
    "models": ("Model", "模型"),
    "device": ("Device", "设备"),
    "load": ("Load", "加载"),
    "loading": ("Loading", "加载中"),
    "speed": ("Speed of the replies, tokens/s", "回复速度，词元/秒"),
    "context": ("Context", "上下文"),
    "context_trims": ("when it is full, the oldest messages are left out", "满后将略去最早的消息"),
    "context_refuses": ("when it is full, a longer message is refused", "满后将拒绝更长的消息"),
    "thinking": ("Thoughts", "思考"),
    "tool": ("Tool", "工具"),
    "document": ("Document", "文档"),
    "not_saved": ("The conversation could not be saved", "对话无法保存"),
    "went_on": (
        "This conversation went on in another tab. Your message follows what was said there.",
        "此对话已在另一标签页继续，你的消息接在其后。",
    ),
    "deleted": (
        "This conversation was deleted in another tab. A message sent from here begins a new one.",
        "此对话已在另一标签页删除，从这里发送的消息将开始新对话。",
    ),
    "beside": (
        "This conversation went on elsewhere. What was said here is kept beside it, as one of its own.",
        "此对话已在别处继续，这里的内容已另存为新对话。",
    ),
    "look_again": (
        "This conversation went on in another tab. Choose it in the list to see that, then try again.",
        "此对话已在另一标签页继续，请先在列表中重新打开，再试一次。",
    ),
    "reading": (
        "Other documents are being read. Send yours again in a moment.",
        "正在读取其他文档，请稍后再发送。",
    ),
    "arguments": ("Arguments", "参数"),
    "result": ("Result", "结果"),
    "stopped": ("stopped", "已停止"),
    "cut": ("cut off at the limit of tokens", "达到词元上限"),
    "tokens": ("tokens", "词元"),
    "first": ("first after", "首词"),
    "truncated_messages": ("oldest messages left out", "条最早的消息被略去"),
    "of_context": ("of the context's", "，上下文共"),
    "by_pages": ("too long for the prompt, read by pages", "过长，将分页阅读"),
    "hello": ("What would you like to know?", "你想了解什么？"),
    "coming": ("One moment …", "请稍候……"),
    "others": ("also being answered", "同时回答中"),
    "busy": (
        "As many messages as this page takes are being answered. Send yours again in a moment.",
        "正在回答的消息已达上限，请稍后再发送。",
    ),
    "yours": (
        "Your other messages are being answered. Send this one again when one of them is.",
        "你的其他消息正在回答中，请在其中一条完成后再发送。",
    ),
    "still": ("The reply is still being written. Wait for it, or stop it.", "上一条回复尚未完成，请等待或停止。"),
    "empty": ("Write something first.", "请先输入内容。"),
    "failed": ("This could not be answered", "无法回答"),
}
EXAMPLES: dict[Language, tuple[str, ...]] = {
    "en": ("Hello, who are you?", "What is 17 + 25?", "Count from 1 to 20."),
    "zh": ("你好，请介绍一下你自己。", "17 + 25 等于多少？", "从1数到20。"),
}


def word(name: str, language: str) -> str:
    """A word of the page. Raises KeyError for one that there is not."""
    return _WORDS[name][language == "zh"]
