"""PEFT's adapter_config.json: what it says of an adapter, and what it says that is refused by its name."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import Glm4Error
from ...model_directory import read_json

CONFIG = "adapter_config.json"
_KINDS = ("LORA", "PREFIX_TUNING")
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Ways to begin LoRA's weights that leave the base as it is; the others (PiSSA, OLoRA, CorDA, LoftQ) change it."""
_FOREIGN = (
    "use_qalora", "alora_invocation_tokens", "layer_replication", "trainable_token_indices", "target_parameters",
    "use_bdlora", "arrow_config", "kasa_config", "velora_config", "monteclora_config", "megatron_config",
)  # fmt: skip
"""PEFT's options under which a folder's tensors mean something else."""
_AGAIN = "Is it the whole folder that PEFT's save_pretrained wrote? Copy it again."


@dataclass(frozen=True)
class Settings:
    """What an adapter's config says. Raises Glm4Error, on reading, for what can't be."""

    folder: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Of a folder. Raises Glm4Error where it is no adapter's, or one of a kind that is not known here."""
        if not (folder / CONFIG).is_file():
            raise Glm4Error(f"{folder} is no adapter: it has no {CONFIG}", "Give the folder that PEFT wrote.")
        values = read_json(folder / CONFIG)
        kind = values.get("peft_type")
        if kind not in _KINDS:
            raise Glm4Error(
                f"{folder} is an adapter of the kind {kind!r:.40}, which is not one of {', '.join(_KINDS)}",
                "Merge it into its base with PEFT (merge_and_unload), and export that.",
            )
        foreign = next((name for name in _FOREIGN if values.get(name)), None)
        start = values.get("init_lora_weights")
        if foreign is None and start not in _PLAIN_STARTS:
            foreign = f"init_lora_weights {start!r:.40}"
        if foreign:
            raise Glm4Error(
                f"{folder} was trained with {foreign}, which is not read here",
                "Merge it into its base with PEFT (merge_and_unload), and export that.",
            )
        return cls(folder, values)

    @property
    def is_prefix(self) -> bool:
        """Whether it is P-Tuning v2, which PEFT calls prefix tuning."""
        return bool(self.values["peft_type"] == "PREFIX_TUNING")

    @property
    def base(self) -> str:
        """What it was trained on, as far as it says."""
        return str(self.values.get("base_model_name_or_path") or "")

    @property
    def dora(self) -> bool:
        return bool(self.values.get("use_dora"))

    def number(self, name: str, value: Any = None) -> int:
        """A whole number from 1 on. Raises Glm4Error naming one that is none."""
        found = self.values.get(name) if value is None else value
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise Glm4Error(f"{self.folder / CONFIG} has {name} {found!r:.40}, which must be 1 or more", _AGAIN)
        return found

    def rank(self, module: str) -> int:
        """The rank at a module: `rank_pattern`'s, else `r`."""
        return self.number("r", self._by_pattern("rank_pattern", module))

    def scale(self, module: str) -> float:
        """What a module's change is multiplied by: alpha over the rank, or over its root with rsLoRA."""
        alpha = self._by_pattern("alpha_pattern", module)
        found = self.values.get("lora_alpha", 8) if alpha is None else alpha
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
            raise Glm4Error(f"{self.folder / CONFIG} has lora_alpha {found!r:.40}, which is no number", _AGAIN)
        rank = self.rank(module)
        return float(found) / (math.sqrt(rank) if self.values.get("use_rslora") else rank)

    def _by_pattern(self, name: str, module: str) -> Any:
        """What the first pattern says that is a module's name from its end, as PEFT looks it up."""
        patterns = self.values.get(name) or {}
        if not isinstance(patterns, Mapping):
            raise Glm4Error(f"{self.folder / CONFIG} has a {name} that is no object", _AGAIN)
        matching = (value for key, value in patterns.items() if self._matches(rf"(.*\.)?({key})", module))
        return next(matching, None)

    def _matches(self, pattern: str, module: str) -> bool:
        try:
            return re.fullmatch(pattern, module) is not None
        except re.error as error:
            raise Glm4Error(f"{self.folder / CONFIG} has a pattern that is none: {pattern!r:.60}", _AGAIN) from error

    def targeted(self, modules: Iterable[str]) -> list[str]:
        """Of a model's modules those that it was trained on, as PEFT chooses them; none where it does not say."""
        targets, left_out = self.values.get("target_modules"), self.values.get("exclude_modules")
        if not targets or targets == "all-linear":
            return []
        layers = self.values.get("layers_to_transform")
        wanted = [layers] if isinstance(layers, int) else layers
        return [
            module
            for module in modules
            if self._named(targets, module)
            and not (left_out and self._named(left_out, module))
            and (not wanted or _layer(module) in wanted)
        ]

    def _named(self, names: Any, module: str) -> bool:
        if isinstance(names, str):
            return self._matches(names, module)
        return any(module == name or module.endswith(f".{name}") for name in names)


def _layer(module: str) -> int | None:
    found = re.search(r"\.layers\.(\d+)\.", module)
    return int(found[1]) if found else None
