"""The low-rank branches of a model's products, one gate for those that enter together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from openvino import opset13 as op

from ....model_directory.weight_shapes import SAME_VALUES
from ...adapters import LowRank
from .constants import floats, halves, integer, part_sizes


@dataclass(frozen=True)
class _Piece:
    """One adapter's down projection, which several products may share."""

    adapter: int
    change: LowRank


class Branches:
    """Adds branches to products; `chosen` [batch, tokens, adapters] opens one adapter's, or none."""

    def __init__(self, chosen: Any, adapters: Sequence[Mapping[str, LowRank]]) -> None:
        self._chosen, self._adapters = chosen, adapters
        self._gates: dict[tuple[tuple[int, int, float], ...], Any] = {}

    def add(self, products: Mapping[str, Any]) -> None:
        """Give every product that an adapter changes its branches, in place."""
        done = set[str]()
        for name in products:
            layer, _, kind = name.partition(".self_attn.")
            alike = f"self_attn.{kind}" in SAME_VALUES
            together = [f"{layer}.{each}" for each in SAME_VALUES] if alike else [name]
            group = [each for each in together if each in products and each not in done]
            done.update(group)
            self._add_group({each: products[each] for each in group if self._changes(each)})

    def _changes(self, product: str) -> list[_Piece]:
        return [_Piece(index, each[product]) for index, each in enumerate(self._adapters) if product in each]

    def _add_group(self, nodes: Mapping[str, Any]) -> None:
        """One product with all that goes down, one gate, and a product for each that goes up."""
        if not nodes:
            return
        by_down: dict[tuple[int, ...], list[str]] = {}
        for name in nodes:  # with one down projection for all, as where they were fused, it is computed once
            by_down.setdefault(tuple(id(piece.change.down) for piece in self._changes(name)), []).append(name)
        shares = [self._changes(names[0]) for names in by_down.values()]
        pieces = [piece for share in shares for piece in share]
        source = next(iter(nodes.values())).input_value(0)
        down = op.matmul(source, halves(np.concatenate([piece.change.down for piece in pieces])), False, True)
        opened = op.multiply(down, self._gate(pieces))
        sizes = [sum(len(piece.change.down) for piece in share) for share in shares]
        parts = [opened.output(0)]
        if len(shares) > 1:
            parts = op.variadic_split(opened, integer(-1), part_sizes(sizes)).outputs()
        for part, names in zip(parts, by_down.values(), strict=True):
            for name in names:
                self._go_up(nodes[name], part, self._changes(name))

    def _go_up(self, node: Any, opened: Any, pieces: Sequence[_Piece]) -> None:
        targets = list(node.output(0).get_target_inputs())
        up = halves(np.concatenate([piece.change.up for piece in pieces], axis=1))
        changed = op.add(node, op.matmul(opened, up, False, True))
        for target in targets:
            target.replace_source_output(changed.output(0))

    def _gate(self, pieces: Sequence[_Piece]) -> Any:
        """[batch, tokens, ranks]: the scale at the ranks of the chosen adapter. The same in all layers, as a rule."""
        key = tuple((piece.adapter, len(piece.change.down), piece.change.scale) for piece in pieces)
        if key not in self._gates:
            rows = np.zeros((len(self._adapters), sum(rank for _, rank, _ in key)), np.float32)
            at = 0
            for adapter, rank, scale in key:
                rows[adapter, at : at + rank] = scale
                at += rank
            self._gates[key] = op.matmul(self._chosen, floats(rows), False, False)
        return self._gates[key]
