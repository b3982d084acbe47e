"""Attention without copies computes what transformers' own does, in ITREX's environment."""

import importlib.util

import pytest

pytestmark = pytest.mark.itrex
if importlib.util.find_spec("intel_extension_for_transformers") is None:
    pytest.skip("needs the environment of quantize/requirements-itrex.txt", allow_module_level=True)

import torch
from transformers import Cache, DynamicCache, GlmForCausalLM

from glm4_demos.nano import CHECKPOINT
from glm4_intel.backends.itrex.attention import GroupedAttention, GrowingCache


def nano(grouped: bool) -> GlmForCausalLM:
    model = GlmForCausalLM.from_pretrained(CHECKPOINT, torch_dtype=torch.float32).eval()
    for layer in model.model.layers if grouped else ():
        replaced = GroupedAttention(model.config, layer.self_attn.layer_idx).eval()
        replaced.load_state_dict(layer.self_attn.state_dict())
        layer.self_attn = replaced
    return model


@torch.inference_mode()
def logits(model: GlmForCausalLM, cache: Cache, pieces: list[int], cut: int) -> torch.Tensor:
    """[tokens, vocabulary] of ids read in pieces; then the cache is cut and as many are read again behind the cut."""
    ids = torch.arange(sum(pieces))[None] * 7 % 500 + 3
    rows = []
    for start in (0, cut):
        cache.crop(start)
        for number, length in enumerate(pieces):
            begin = start + sum(pieces[:number])
            piece = ids[:, begin - start : begin - start + length]
            rows.append(model(piece, past_key_values=cache, use_cache=True).logits[0])
    return torch.cat(rows)


def test_it_computes_what_transformers_does_over_grown_and_cut_caches() -> None:
    pieces = [40, *[1] * 300, 30, *[1] * 10]  # single tokens outgrow the first buffer, a piece comes behind them
    want = logits(nano(grouped=False), DynamicCache(), pieces, cut=100)
    got = logits(nano(grouped=True), GrowingCache(), pieces, cut=100)
    assert torch.allclose(got, want, atol=2e-3), (got - want).abs().max()
    assert (got.argmax(-1) == want.argmax(-1)).all()


def test_a_token_is_written_behind_the_others_where_they_are() -> None:
    cache = GrowingCache()
    cache.update(torch.zeros(1, 2, 10, 4), torch.zeros(1, 2, 10, 4), 0)
    place = cache.key_cache[0].data_ptr()
    for _ in range(200):
        keys, _ = cache.update(torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4), 0)
        assert keys.data_ptr() == place
    assert cache.get_seq_length() == 210 and keys.sum() == 200 * 8
