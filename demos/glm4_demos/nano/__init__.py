"""The nano model: a real GlmForCausalLM of 7 million parameters that ships with the toolkit.

It exists to run, test and demonstrate the toolkit: everything that works on GLM-4-9B works on it, in seconds.
"""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"
"""The embedded Hugging Face checkpoint; `glm4-intel export nano OUT` exports it."""
ADAPTERS = Path(__file__).parent / "adapters"
"""Adapters of it that PEFT trained (`train_adapter.py`), a folder for each, by the names of their skills."""
