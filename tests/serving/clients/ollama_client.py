"""Ollama's client against a server, whose address is the argument. Run by test_clients.py."""

import sys

import ollama

client = ollama.Client(host=sys.argv[1])
ask = [{"role": "user", "content": "What is 17 + 25?"}]
assert [model.model for model in client.list().models] == ["nano"]
reply = client.chat(model="nano", messages=ask, options={"temperature": 0})
assert "42" in reply.message.content and reply.eval_count
pieces = list(client.chat(model="nano:latest", messages=ask, options={"temperature": 0}, stream=True))
assert "".join(piece.message.content for piece in pieces) == reply.message.content and pieces[-1].done
schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
made = client.generate(model="nano", prompt="What is 17 + 25?", format=schema, options={"temperature": 0})
assert made.response.startswith("{"), made
try:
    client.chat(model="nano", messages=ask, options={"mirostat": 1})
    raise SystemExit("it was ignored in silence")
except ollama.ResponseError as error:
    assert error.status_code == 400 and "mirostat" in error.error
print("ok")
