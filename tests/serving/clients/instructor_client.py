"""instructor against a server, whose address is the argument. Run by test_clients.py."""

import sys

import instructor
import openai
from pydantic import BaseModel


class Sum(BaseModel):
    """A sum."""

    left: int
    right: int


ask = [{"role": "user", "content": "What is 17 + 25?"}]
plain = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0)
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS_STRICT):
    client = instructor.from_openai(plain, mode=mode)
    made = client.chat.completions.create(model="nano", messages=ask, response_model=Sum, temperature=0, max_tokens=200)
    assert isinstance(made, Sum), mode
    parts = list(client.chat.completions.create_partial(
        model="nano", messages=ask, response_model=Sum, temperature=0, max_tokens=200
    ))  # fmt: skip
    assert parts and parts[-1].left == made.left, mode
print("ok")
