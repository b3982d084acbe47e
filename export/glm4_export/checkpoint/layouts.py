"""The checkpoint layouts of the GLM-4 family, and how each becomes a transformers model without its own code."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from glm4_intel.errors import Glm4Error

if TYPE_CHECKING:
    from torch import Tensor

Config = dict[str, Any]
Tensors = dict[str, "Tensor"]


@dataclass(frozen=True)
class Layout:
    """A checkpoint's form: the architecture that it is exported as, and how its config and tensors get there."""

    architecture: str
    config: Callable[[Config], Config]
    """The checkpoint's config.json to one of `architecture`. Raises KeyError naming a field that is not there."""
    tensors: Callable[[Tensors, Config], Tensors]
    """The checkpoint's tensors, by name, to those of `architecture`; views, none is copied."""
    tokenizer_files: tuple[str, ...] = ("tokenizer.json",)


_ARCHITECTURES = {"glm": "GlmForCausalLM", "glm4": "Glm4ForCausalLM"}
_TRANSFORMERS = (
    "model_type", "attention_bias", "attention_dropout", "dtype", "eos_token_id", "head_dim", "hidden_act",
    "hidden_size", "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers",
    "num_key_value_heads", "pad_token_id", "partial_rotary_factor", "rms_norm_eps", "rope_parameters", "rope_scaling",
    "rope_theta", "tie_word_embeddings", "torch_dtype", "vocab_size",
)  # fmt: skip
"""What the weights or the tokenizer are read by, in configs of transformers' own."""


def transformers_config(config: Config) -> Config:
    """A config of transformers' own, of what a model is computed by; its architecture is that of the model type.

    Anything else would come up in the middle of the work where it is of a wrong kind: `use_cache`, `layer_types`, what
    a merge left of a quantized base.
    """
    architecture = _ARCHITECTURES[config["model_type"]]
    return {"architectures": [architecture]} | {key: config[key] for key in _TRANSFORMERS if key in config}


def unchanged_tensors(tensors: Tensors, config: Config) -> Tensors:
    return tensors


_KEPT = (
    "hidden_size", "num_attention_heads", "attention_dropout", "eos_token_id", "pad_token_id",
    "tie_word_embeddings", "torch_dtype",
)  # fmt: skip


def chatglm_config(config: Config) -> Config:
    """GLM-4's original config as one of GlmForCausalLM.

    Half of each head rotates and the base is 10,000 times `rope_ratio`, as the original modeling_chatglm.py has it.
    """
    if not (config.get("multi_query_attention") and config.get("rmsnorm", True) and config.get("original_rope", True)):
        raise Glm4Error("This ChatGLM checkpoint is older than GLM-4", "Give a GLM-4-9B checkpoint.")
    return {key: config[key] for key in _KEPT if key in config} | {
        "architectures": [_ARCHITECTURES["glm"]],
        "model_type": "glm",
        "attention_bias": config["add_qkv_bias"],
        "head_dim": config["kv_channels"],
        "hidden_act": "silu",
        "intermediate_size": config["ffn_hidden_size"],
        "max_position_embeddings": config["seq_length"],
        "num_hidden_layers": config["num_layers"],
        "num_key_value_heads": config["multi_query_group_num"],
        "partial_rotary_factor": 0.5,
        "rms_norm_eps": config["layernorm_epsilon"],
        "transformers_version": version("transformers"),
        "rope_theta": 10000.0 * config.get("rope_ratio", 1),
        "vocab_size": config["padded_vocab_size"],
    }


_CHATGLM_NAMES = {
    "transformer.embedding.word_embeddings.": "model.embed_tokens.",
    "transformer.encoder.final_layernorm.": "model.norm.",
    "transformer.encoder.layers.": "model.layers.",
    "transformer.output_layer.": "lm_head.",
    ".self_attention.dense.": ".self_attn.o_proj.",
    ".self_attention.query_key_value.": ".self_attn.qkv_proj.",
    ".mlp.dense_h_to_4h.": ".mlp.gate_up_proj.",
    ".mlp.dense_4h_to_h.": ".mlp.down_proj.",
}


def chatglm_tensors(tensors: Tensors, config: Config) -> Tensors:
    """GLM-4's original tensors under GlmForCausalLM's names; the fused projection cut into its rows.

    `config` is the mapped one. The rotary table is left out: it follows from the config.
    """
    return dict(_chatglm_tensors(tensors, config))


def _chatglm_tensors(tensors: Mapping[str, "Tensor"], config: Config) -> Iterator[tuple[str, "Tensor"]]:
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    for old, tensor in tensors.items():
        if old.endswith("rotary_pos_emb.inv_freq"):
            continue
        name = old
        for theirs, ours in _CHATGLM_NAMES.items():
            name = name.replace(theirs, ours)
        if ".qkv_proj." not in name:
            yield name, tensor
        elif tensor.shape[0] != queries + 2 * keys:
            raise Glm4Error(
                f"{old} has {tensor.shape[0]} rows, not the {queries + 2 * keys} of the config",
                "Is config.json this checkpoint's own? Fetch both again.",
            )
        else:
            for part, rows in zip("qkv", tensor.split([queries, keys, keys]), strict=True):
                yield name.replace("qkv_proj", f"{part}_proj"), rows


LAYOUTS = {  # by the config's model_type
    "glm": Layout(_ARCHITECTURES["glm"], transformers_config, unchanged_tensors),
    "glm4": Layout(_ARCHITECTURES["glm4"], transformers_config, unchanged_tensors),
    "chatglm": Layout(
        _ARCHITECTURES["glm"], chatglm_config, chatglm_tensors, ("tokenizer.model", "tokenizer_config.json")
    ),
}

ROPE_THETA = {  # of converted repositories: that of the original, 10,000 times its rope_ratio
    "glm-4-9b-chat-hf": 5_000_000.0,
    "glm-4-9b-chat-1m-hf": 100_000_000.0,
    "glm-4-9b-hf": 10_000.0,
}
_CONTEXTS = {131072: "glm-4-9b-chat-hf", 1048576: "glm-4-9b-chat-1m-hf", 8192: "glm-4-9b-hf"}
_SIZE_9B = {"hidden_size": 4096, "num_hidden_layers": 40, "vocab_size": 151552}


def rope_theta(config: Config, names: tuple[str, ...]) -> float | None:
    """The base of the rotary embedding that a `glm` config states, None if it is transformers' default.

    `names` are those that the checkpoint goes by: its repository, its folder, its config's `_name_or_path`. Raises
    Glm4Error where the known original of that repository, or of a 9B with that context, has another base: transformers'
    converter lost `rope_ratio` in some of them.
    """
    stated = config.get("rope_theta", (config.get("rope_parameters") or {}).get("rope_theta"))
    original = next((name.rpartition("/")[2] for name in names if name.rpartition("/")[2] in ROPE_THETA), None)
    if original is None and all(config.get(key) == value for key, value in _SIZE_9B.items()):
        original = _CONTEXTS.get(config.get("max_position_embeddings", 0))
    if original and float(stated or 10_000.0) != ROPE_THETA[original]:
        right = ROPE_THETA[original]
        raise Glm4Error(
            f"config.json has rope_theta {stated or 10_000.0:g}, and the original of {original} has {right:g}: "
            "the conversion to the -hf layout lost its rope_ratio, and the model would go wrong after some tokens",
            f"Say which holds: --rope-theta {right:.0f} (the original's), or --rope-theta {stated or 10_000.0:.0f}.",
        )
    return None if stated is None else float(stated)
