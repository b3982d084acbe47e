"""Conversations in which the model calls Python functions.

for event in run(glm, [{"role": "user", "content": "What is the weather in Oslo?"}], [get_weather]):
    match event: ...
"""

from .callables import Tool, tool
from .loop import Called, Event, Finished, Observed, Wrote, run

__all__ = ["Called", "Event", "Finished", "Observed", "Tool", "Wrote", "run", "tool"]
