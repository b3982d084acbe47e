"""A glm checkpoint rewritten in the other forms that checkpoints come in."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from glm4_intel.chat.tokenizer import byte_of_character


def read_config(checkpoint: Path) -> dict[str, Any]:
    return json.loads((checkpoint / "config.json").read_text())


def change_config(checkpoint: Path, **changes: Any) -> None:
    change_json(checkpoint / "config.json", **changes)


def change_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes))


def change_tensors(checkpoint: Path, change: Any) -> None:
    """Rewrite model.safetensors with what `change` does to its dict of tensors."""
    tensors = load_file(checkpoint / "model.safetensors")
    change(tensors)
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})


def shard(checkpoint: Path) -> None:
    """Split the checkpoint's tensors over two files."""
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    names, weight_map = sorted(tensors), {}
    for file, part in (("model-1.safetensors", names[::2]), ("model-2.safetensors", names[1::2])):
        save_file({name: tensors[name] for name in part}, checkpoint / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def as_pytorch(checkpoint: Path) -> None:
    """PyTorch's own files in two shards."""
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    names, weight_map = sorted(tensors), {}
    for file, part in (("pytorch_model-1.bin", names[::2]), ("pytorch_model-2.bin", names[1::2])):
        torch.save({name: tensors[name] for name in part}, checkpoint / file)
        weight_map |= dict.fromkeys(part, file)
    (checkpoint / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


_CHATGLM = {
    "model.embed_tokens.": "transformer.embedding.word_embeddings.",
    "model.layers.": "transformer.encoder.layers.",
    "model.norm.": "transformer.encoder.final_layernorm.",
    "lm_head.": "transformer.output_layer.",
    ".self_attn.o_proj.": ".self_attention.dense.",
    ".self_attn.": ".self_attention.",
    ".mlp.gate_up_proj.": ".mlp.dense_h_to_4h.",
    ".mlp.down_proj.": ".mlp.dense_4h_to_h.",
}


def as_chatglm(glm: Path, out: Path) -> Path:
    """The original GLM-4 layout of a glm checkpoint: fused projections, rope_ratio, tiktoken's tokenizer.model."""
    out.mkdir()
    config, tensors = read_config(glm), load_file(glm / "model.safetensors")
    renamed: dict[str, torch.Tensor] = {"transformer.rotary_pos_emb.inv_freq": torch.ones(4)}
    for name, tensor in tensors.items():
        for ours, theirs in _CHATGLM.items():
            name = name.replace(ours, theirs)
        renamed[name] = tensor
    for name in [name for name in renamed if ".q_proj." in name]:
        parts = [renamed.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        renamed[name.replace("q_proj", "query_key_value")] = torch.cat(parts)
    save_file(renamed, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(_chatglm_config(config)))
    _write_tokenizer(glm, out)
    shutil.copyfile(glm / "generation_config.json", out / "generation_config.json")
    return out


def _chatglm_config(config: dict[str, Any]) -> dict[str, Any]:
    kept = ("hidden_size", "num_attention_heads", "eos_token_id", "pad_token_id", "torch_dtype", "tie_word_embeddings")
    return {key: config[key] for key in kept} | {
        "model_type": "chatglm",
        "architectures": ["ChatGLMModel"],
        "auto_map": {"AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"},
        "add_qkv_bias": True,
        "add_bias_linear": False,
        "ffn_hidden_size": config["intermediate_size"],
        "kv_channels": config["head_dim"],
        "layernorm_epsilon": config["rms_norm_eps"],
        "multi_query_attention": True,
        "multi_query_group_num": config["num_key_value_heads"],
        "num_layers": config["num_hidden_layers"],
        "original_rope": True,
        "padded_vocab_size": config["vocab_size"],
        "rmsnorm": True,
        "rope_ratio": config["rope_theta"] / 10000,
        "seq_length": config["max_position_embeddings"],
    }


def _write_tokenizer(glm: Path, out: Path) -> None:
    tokenizer = json.loads((glm / "tokenizer.json").read_text(encoding="utf-8"))
    table, lines = byte_of_character(), []
    for token, rank in sorted(tokenizer["model"]["vocab"].items(), key=lambda entry: entry[1]):
        lines.append(base64.b64encode(bytes(table[character] for character in token)) + f" {rank}\n".encode())
    (out / "tokenizer.model").write_bytes(b"".join(lines))
    settings = json.loads((glm / "tokenizer_config.json").read_text()) | {
        "auto_map": {"AutoTokenizer": ["tokenization_chatglm.ChatGLM4Tokenizer", None]},
        "tokenizer_class": "ChatGLM4Tokenizer",
        "chat_template": (glm / "chat_template.jinja").read_text(encoding="utf-8"),
        "added_tokens_decoder": {str(each["id"]): {"content": each["content"]} for each in tokenizer["added_tokens"]},
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings))


def with_outliers(checkpoint: Path, out: Path, columns: int = 3, factor: float = 64.0) -> Path:
    """A checkpoint that computes the same with some columns of the activations so many times as large: norms' weights
    are multiplied, and the products' after them divided; down's activations by the rows of up."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(checkpoint, out, copy_function=shutil.copyfile)
    file, random = out / "model.safetensors", torch.Generator().manual_seed(0)
    tensors = load_file(file)
    layers = read_config(checkpoint)["num_hidden_layers"]
    for prefix in (f"model.layers.{layer}." for layer in range(layers)):
        attention = [f"self_attn.{each}_proj" for each in "qkv"]
        for norm, products in (("input_layernorm", attention), ("post_attention_layernorm", ["mlp.gate_up_proj"])):
            some = torch.randperm(len(tensors[f"{prefix}{norm}.weight"]), generator=random)[:columns]
            tensors[f"{prefix}{norm}.weight"][some] *= factor
            for product in products:
                tensors[f"{prefix}{product}.weight"][:, some] /= factor
        down = tensors[f"{prefix}mlp.down_proj.weight"]
        some = torch.randperm(down.shape[1], generator=random)[:columns]
        down[:, some] /= factor
        tensors[f"{prefix}mlp.gate_up_proj.weight"][down.shape[1] + some] *= factor
    save_file(tensors, file, metadata={"format": "pt"})
    return out


def random_checkpoint(texts: Path, out: Path, layout: str = "glm", **changes: Any) -> Path:
    """Two layers of random bf16 weights in an architecture, with the tokenizer and template of `texts`."""
    import transformers

    out.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(texts / name, out / name)
    config = read_config(texts) | {
        "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "head_dim": 64, "num_hidden_layers": 2,
    } | changes  # fmt: skip
    config |= {"model_type": layout, "architectures": [f"{layout.capitalize()}ForCausalLM"]}
    torch.manual_seed(0)
    name = layout.capitalize()
    model = getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, f"{name}Config")(**config))
    model.to(torch.bfloat16).save_pretrained(out)
    (out / "config.json").write_text(json.dumps(config))
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": config["eos_token_id"]}))
    return out
