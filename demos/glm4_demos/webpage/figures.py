"""The page's small figures as HTML: the context meter, the speed of the replies, and the line under a reply."""

from html import escape

from ..dialogue import Dialogue
from .words import word

_WIDTH, _HEIGHT = 260, 56
_NEARLY_FULL = 0.9


def context_meter(dialogue: Dialogue, context: int, trims: bool, language: str) -> str:
    """How much of the context the conversation takes, and what happens when it is full."""
    last = next((turn.figures for turn in reversed(dialogue.turns) if turn.figures), None)
    used = last["prompt_tokens"] + last["completion_tokens"] if last else 0
    share = min(1.0, used / context)
    label, rule = word("context", language), word("context_trims" if trims else "context_refuses", language)
    state = "full" if share > _NEARLY_FULL else "free"
    return (
        f'<div class="meter {state}"><div role="meter" aria-label="{label}" aria-valuenow="{used}" aria-valuemin="0" '
        f'aria-valuemax="{context}"><span style="width:{share:.1%}"></span></div>'
        f"<p>{label}: {used:,} / {context:,} · {rule}</p></div>"
    )


def speed_plot(dialogue: Dialogue, language: str) -> str:
    """Tokens a second of each reply so far, as a line."""
    speeds = [turn.figures["tokens_per_second"] for turn in dialogue.turns if turn.figures]
    label = word("speed", language)
    if not speeds:
        return f'<div class="plot"><p>{label}: –</p></div>'
    top, step = max(speeds) * 1.1 or 1.0, _WIDTH / max(1, len(speeds) - 1)
    points = [(index * step, _HEIGHT - value / top * _HEIGHT) for index, value in enumerate(speeds)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points)
    told = f"{label}: {', '.join(f'{value:.0f}' for value in speeds)}"
    return (
        f'<div class="plot"><p>{label}: {speeds[-1]:.1f}</p>'
        f'<svg role="img" aria-label="{escape(told)}" viewBox="-4 -4 {_WIDTH + 8} {_HEIGHT + 8}">'
        f'<polyline points="{line}"/>{dots}</svg></div>'
    )


def reply_line(figures: dict, backend: str, language: str) -> str:
    """Device, backend, tokens and speed of a reply, and whether it was cut short."""
    parts = [figures["device"], backend, f"{figures['completion_tokens']} {word('tokens', language)}"]
    parts.append(f"{word('first', language)} {figures['time_to_first_token'] * 1000:.0f} ms")
    parts.append(f"{figures['tokens_per_second']:.1f} {word('tokens', language)}/s")
    cut = {"length": word("cut", language), "cancelled": word("stopped", language)}.get(figures["finish_reason"])
    if cut:
        parts.append(cut)
    if figures["truncated_messages"]:
        parts.append(f"{figures['truncated_messages']} {word('truncated_messages', language)}")
    return f'<p class="figures">{escape(" · ".join(parts))}</p>'
