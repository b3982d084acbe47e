"""Recipes say what they do, and NNCF does what they say."""

import pytest

from glm4_intel import Glm4Error
from glm4_quantize.recipes import RECIPES, compress, recipe_named


def test_every_recipe_has_a_device_and_a_reason() -> None:
    for name, recipe in RECIPES.items():
        assert recipe.name == name and recipe_named(name) is recipe
        assert set(recipe.targets) <= {"CPU", "GPU", "NPU"} and recipe.targets
        assert recipe.reason.endswith(".")
        assert recipe.to_dict() == {**vars(recipe)}


def test_a_recipe_that_is_not_there_is_told() -> None:
    with pytest.raises(Glm4Error, match="There is no recipe 'int3'") as raised:
        recipe_named("int3")
    assert "cpu" in raised.value.hint


@pytest.mark.parametrize(("name", "types"), [("cpu", {"i4"}), ("npu", {"i4"}), ("int8", {"u8"}), ("none", set())])
def test_weights_have_the_type_that_the_recipe_says(name: str, types: set[str]) -> None:
    """Three matrix products, of which NNCF keeps the last at int8 where the others become int4."""
    import numpy as np
    import openvino
    from openvino import opset13 as op

    rng = np.random.default_rng(0)
    layer = op.parameter([1, 4, 256], np.float32)
    for width in (256, 256, 128):
        weights = rng.normal(size=(width, layer.get_output_shape(0)[-1])).astype(np.float32)
        layer = op.relu(op.matmul(layer, op.constant(weights), False, True))
    inputs = [node for node in _above(layer) if node.get_type_name() == "Parameter"]
    model = compress(openvino.Model([layer], inputs), RECIPES[name])
    found = {
        node.get_element_type().get_type_name()
        for node in model.get_ops()
        if node.get_type_name() == "Constant" and len(node.get_output_shape(0)) >= 2
    }
    assert types <= found
    if not types:
        assert found == {"f32"}


def _above(node: object) -> list:
    """A node and all that feed it."""
    feeding = [value.get_node() for value in node.input_values()]  # type: ignore[attr-defined]
    return [node, *(above for each in feeding for above in _above(each))]
