"""GLM-4-9B as the recipe `cpu` leaves it: what a machine is judged by before it has a model directory."""

from .footprint import USEFUL_CONTEXT, Footprint, kv_token_bytes, read_per_token

CONFIG = {"num_hidden_layers": 40, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 2,
          "head_dim": 128, "vocab_size": 151552}  # fmt: skip
WEIGHTS = 5_490_000_000
"""Bytes, as exported; also those that the model directory takes (benchmarks, "Exporting the 9B")."""
INT8_PREFILL_WEIGHTS = 13_610_000_000
"""The same with the second way for prompts that the recipe `cpu-int8-prefill` adds."""
DOWNLOAD = 18_800_000_000
"""Bytes of the checkpoint."""
SHARES = (0.6, 0.9)
"""Of what memory can give, the parts that decoding the 9B reached (benchmarks, "The 9B's graph on …")."""


def needed(weights: int = WEIGHTS) -> Footprint:
    """Memory for the weights and a conversation of USEFUL_CONTEXT tokens."""
    return Footprint(weights=weights, cache=USEFUL_CONTEXT * kv_token_bytes(CONFIG))


def bytes_per_token() -> int:
    """Bytes that one token reads at the beginning of a conversation."""
    return read_per_token(CONFIG, WEIGHTS, 0)


def tokens_per_second(bandwidth: float) -> tuple[float, float]:
    """The speeds to expect, from and to, where memory gives so many bytes a second."""
    limit = bandwidth / bytes_per_token()
    return SHARES[0] * limit, SHARES[1] * limit
