"""GLM's attention and KV cache under transformers without its copies: what a backend in PyTorch decodes with."""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import DynamicCache
from transformers.models.glm.modeling_glm import GlmSdpaAttention, apply_rotary_pos_emb

_LEAST_ROOM = 256
"""Tokens that a grown buffer has room for beyond those it holds, at least."""


class GroupedAttention(GlmSdpaAttention):  # type: ignore[misc]
    """For a single token, the query heads that share a key-value head are that head's rows.

    transformers copies keys and values for every query head instead: GLM-4-9B's two heads 16 times over, in every layer
    for every token.
    """

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_value: DynamicCache | None = None,
        *,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **others: Any,
    ) -> tuple[torch.Tensor, None, DynamicCache | None]:
        """[1, tokens, hidden size] in and out, as GlmSdpaAttention has it."""
        if hidden_states.shape[:2] != (1, 1) or past_key_value is None or attention_mask is not None:
            whole: tuple[torch.Tensor, None, DynamicCache | None] = super().forward(
                hidden_states, attention_mask, past_key_value=past_key_value, position_embeddings=position_embeddings,
                **others,
            )  # fmt: skip
            return whole
        shape = (1, 1, -1, self.head_dim)
        projections = (self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (project(hidden_states).view(shape).transpose(1, 2) for project in projections)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        keys, values = past_key_value.update(key, value, self.layer_idx)
        grouped = query.reshape(1, self.num_key_value_heads, self.num_key_value_groups, self.head_dim)
        attended = scaled_dot_product_attention(grouped, keys, values, scale=self.scaling)
        return self.o_proj(attended.reshape(1, 1, -1)), None, past_key_value


class GrowingCache(DynamicCache):  # type: ignore[misc]
    """Keys and values in buffers with room ahead: a token is written behind the others, which stay where they are."""

    def __init__(self) -> None:
        super().__init__()
        self._buffers: list[torch.Tensor] = []
        """Of each layer: [2 (keys, values), 1, heads, room in tokens, head size]."""

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        cache_kwargs: dict[str, Any] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [1, heads, tokens, head size] behind what layer `layer_idx` holds; returns all of them."""
        known = self.get_seq_length(layer_idx)
        end = known + key_states.shape[-2]
        if layer_idx == len(self._buffers):
            self._buffers.append(_buffer(key_states, end))
            self.key_cache.append(key_states)
            self.value_cache.append(value_states)
        buffer = self._buffers[layer_idx]
        if end > buffer.shape[-2]:
            self._buffers[layer_idx] = grown = _buffer(key_states, end)
            grown[..., :known, :] = buffer[..., :known, :]
            buffer = grown
        buffer[0, ..., known:end, :] = key_states
        buffer[1, ..., known:end, :] = value_states
        self.key_cache[layer_idx], self.value_cache[layer_idx] = buffer[..., :end, :]
        return self.key_cache[layer_idx], self.value_cache[layer_idx]


def _buffer(like: torch.Tensor, tokens: int) -> torch.Tensor:
    room = tokens + max(_LEAST_ROOM, tokens // 4)
    return torch.empty(2, *like.shape[:-2], room, like.shape[-1], dtype=like.dtype)
