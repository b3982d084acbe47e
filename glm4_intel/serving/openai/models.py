"""`/v1/models`, `/tokenize`, `/detokenize`, and what is refused: what is asked of a model besides replies."""

from typing import Any

from starlette.responses import JSONResponse, Response

from ...chat.conversation import Conversation
from ..bodies import Fields, parse
from ..errors import BadRequest
from ..hall import Hall
from ..served import Served, told_by_field
from ..streams import Receive
from .completions import prompt_ids
from .messages import plain_messages, plain_tools


def listed(hall: Hall) -> dict[str, Any]:
    """The models, as OpenAI lists them."""
    return {"object": "list", "data": [described(model) for model in hall.models.values()]}


def described(model: Served) -> dict[str, Any]:
    """A model, with its context where it is loaded."""
    told = {"id": model.name, "object": "model", "created": model.created, "owned_by": "glm4-intel"}
    return told | ({"max_model_len": model.engine.facts.context} if model.engine.facts else {})


class TokenizeRequest(Fields):
    """A text, or messages."""

    model: str | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    add_generation_prompt: bool = True
    add_special_tokens: bool = True
    """Whether a text begins as GLM-4's texts do."""


def tokenizer_info(model: Served) -> dict[str, Any]:
    """What evaluations ask of a tokenizer before they use `/tokenize` (lm-eval's remote tokenizer)."""
    end = next((id for id in model.tokenizer.stop_ids), None)
    text = None if end is None else model.tokenizer.decode([end], skip_special=False)
    return {"tokenizer_class": "ChatTokenizer", "eos_token": text, "bos_token": None, "pad_token": text}


def _text_ids(model: Served, text: Any, begin: bool) -> list[int]:
    """The ids of a text. Without a beginning, the name of a special token alone is that token, as evaluations ask."""
    if begin or not isinstance(text, str):
        return prompt_ids(model, text)
    special = model.tokenizer.special_id(text)
    return model.tokenizer.encode_text(text) if special is None else [special]


async def tokenize(hall: Hall, data: Any, receive: Receive) -> Response:
    """The token ids of a text to go on with, or of messages."""
    body = parse(TokenizeRequest, data)
    model = hall.model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise BadRequest("Give either prompt or messages", field="prompt")
    with told_by_field():
        if body.messages is None:
            ids = _text_ids(model, body.prompt, body.add_special_tokens)
        else:
            conversation = Conversation.parse(plain_messages(body.messages), plain_tools(body.tools))
            ids = conversation.render(model.tokenizer, body.add_generation_prompt)
    context = model.engine.facts.context if model.engine.facts else None
    return JSONResponse({"tokens": ids, "count": len(ids), "max_model_len": context})


class DetokenizeRequest(Fields):
    """Token ids."""

    model: str | None = None
    tokens: list[int]


async def detokenize(hall: Hall, data: Any, receive: Receive) -> Response:
    """The text of token ids, special tokens included."""
    body = parse(DetokenizeRequest, data)
    model = hall.model(body.model)
    ids = prompt_ids(model, body.tokens, "tokens")
    return JSONResponse({"prompt": model.tokenizer.decode(ids, skip_special=False)})


async def refuse_embeddings(hall: Hall, data: Any, receive: Receive) -> Response:
    """Raises BadRequest."""
    raise BadRequest("GLM-4 writes text and has no embeddings", "Ask a model that is made for them.", "model")
