"""A model directory with two ways for prompts as one with its int4 way alone, for a machine without memory for both.

The IR's text is rewritten: the branch that a token takes is put in the place of each `If`. The weights stay in their
file, where those of the other way are never touched.
"""

import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import Glm4Error
from .openvino_ir import INT8_PREFILL, MODEL
from .standing_in import standing_in

_Value = tuple[str, str]
"""An output: the ids of its layer and of its port."""


@contextmanager
def in_one_way(directory: Path) -> Iterator[Path]:
    """A temporary directory that is the model's with prompts in int4; for loading alone.

    Raises Glm4Error where it can't be written.
    """
    place = Path(tempfile.gettempdir())
    with ExitStack() as kept:
        try:
            folder = kept.enter_context(standing_in(directory, place, (MODEL,)))
            tree = ET.parse(directory / MODEL)
            put_int4_in_place(tree.getroot())
            tree.write(folder / MODEL, encoding="utf-8", xml_declaration=True)
        except OSError as error:
            raise Glm4Error(
                f"One of the two ways of {directory} is to be loaded, and {place} has no room for its graph: {error}",
                "Name another place with TMPDIR, or export it again with --recipe cpu.",
            ) from error
        yield folder


def put_int4_in_place(net: ET.Element) -> None:
    """Put the int4 branch of every block in the place of its `If`, in place."""
    layers, edges = _part(net, "layers"), _part(net, "edges")
    blocks = [layer for layer in layers if layer.get("name", "").startswith(INT8_PREFILL)]
    into = {(edge.get("to-layer", ""), edge.get("to-port", "")): _source(edge) for edge in edges}
    moved: dict[_Value, _Value] = {}
    for block in blocks:
        layers.remove(block)
        inner, inner_edges = _inlined(block, into, moved)
        layers.extend(inner)
        edges.extend(inner_edges)
    gone = {block.get("id") for block in blocks}
    for edge in list(edges):
        if edge.get("to-layer") in gone:
            edges.remove(edge)
            continue
        source = _source(edge)
        while source in moved:
            source = moved[source]
        edge.set("from-layer", source[0])
        edge.set("from-port", source[1])


def _inlined(
    block: ET.Element, into: dict[_Value, _Value], moved: dict[_Value, _Value]
) -> tuple[list[ET.Element], list[ET.Element]]:
    """The layers and edges of a block's int4 branch, its ids made unique; `moved` learns where values are now, those of
    the block's outputs and of the branch's parameters."""
    number, ports, body = block.get("id", ""), _part(block, "else_port_map"), _part(block, "else_body")

    def unique(inner: str | None) -> str:
        return f"{number}{int(inner or 0):06}"

    results = {}
    for port in ports:
        outer, inner = (number, port.get("external_port_id", "")), unique(port.get("internal_layer_id"))
        if port.tag == "input":
            moved[inner, "0"] = into[outer]
        else:
            results[inner] = outer
    kept, edges = [], []
    for layer in _part(body, "layers"):
        layer.set("id", unique(layer.get("id")))
        if layer.get("type") not in ("Parameter", "Result"):
            kept.append(layer)
    for edge in _part(body, "edges"):
        edge.set("from-layer", unique(edge.get("from-layer")))
        edge.set("to-layer", unique(edge.get("to-layer")))
        if edge.get("to-layer", "") in results:
            moved[results[edge.get("to-layer", "")]] = _source(edge)
        else:
            edges.append(edge)
    return kept, edges


def _source(edge: ET.Element) -> _Value:
    return edge.get("from-layer", ""), edge.get("from-port", "")


def _part(element: ET.Element, name: str) -> ET.Element:
    found = element.find(name)
    if found is None:
        raise Glm4Error(f"A graph with two ways has no {name} where it should", "Copy or export the model again.")
    return found
