"""Recipes say what they do, refuse what makes no sense, and NNCF does what they say."""

from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

from glm4_intel import Glm4Error
from glm4_quantize.compress import compress
from glm4_quantize.recipes import RECIPES, Recipe, recipe_named


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


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        ("cpu", {"mode": "int3"}, "can't have mode 'int3'"),
        ("cpu", {"group_size": 3}, "can't have group_size 3"),
        ("cpu", {"ratio": 1.5}, "can't have ratio 1.5"),
        ("int8", {"ratio": 0.5}, "can't have ratio with mode int8_asym"),
        ("int8", {"awq": True}, "can't have awq with mode int8_asym"),
        ("none", {"lm_head": "mode"}, "can't have lm_head with mode none"),
        ("int4-gptq", {"lora_correction": True}, "can't have gptq with lora_correction"),
        ("cpu", {"calibrated": True}, "can't have calibration data without a method"),
    ],
)
def test_what_makes_no_sense_is_refused(base: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Glm4Error, match=said):
        recipe_named(base).with_overrides(**changes)


def test_overrides_are_told_and_keep_to_the_devices_they_suit() -> None:
    changed = recipe_named("npu").with_overrides(mode="int4_asym", group_size=32)
    assert changed.name == "npu+" and changed.targets == ("CPU", "GPU")
    assert changed.reason.endswith("Changed by hand: mode int4_asym, group_size 32.")
    assert recipe_named("npu").with_overrides() is recipe_named("npu")
    assert recipe_named("int4-awq-data").with_overrides(mode="int8_asym").methods == ()


def test_which_recipes_need_data() -> None:
    needing = {name for name, recipe in RECIPES.items() if recipe.needs_data}
    assert needing == {"int4-mixed-data", "int4-awq-data", "int4-scale", "int4-gptq", "int4-lora"}


def model() -> openvino.Model:
    """An embedding and three matrix products, of which NNCF takes the last for lm_head."""
    rng = np.random.default_rng(0)
    ids = op.parameter([1, 4], np.int64)
    table = op.constant(rng.normal(size=(64, 256)).astype(np.float32))
    layer = op.gather(table, ids, op.constant(0))
    for width in (256, 256, 128):
        weights = rng.normal(size=(width, 256)).astype(np.float32)
        layer = op.matmul(op.relu(layer), op.constant(weights), False, True)
    return openvino.Model([layer], [ids])


def weight_types(made: openvino.Model) -> list[str]:
    """Of the embedding, the two layers and lm_head, told apart by their shapes."""
    types = {}
    for node in made.get_ordered_ops():
        if node.get_type_name() == "Constant" and np.prod(node.get_output_shape(0)) >= 64 * 256:
            rows = node.get_output_shape(0)[0]
            types.setdefault(rows, node.get_element_type().get_type_name())
    return [types[rows] for rows in (64, 256, 128)]


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("cpu", ["u8", "i4", "u8"]),
        ("npu", ["u8", "i4", "u8"]),
        ("int4-asym-g32", ["u8", "u4", "u8"]),
        ("int4-lmhead4", ["u8", "i4", "i4"]),
        ("int8", ["u8", "u8", "u8"]),
        ("int8-sym", ["i8", "i8", "i8"]),
        ("none", ["f32", "f32", "f32"]),
    ],
)
def test_weights_have_the_type_that_the_recipe_says(name: str, types: list[str]) -> None:
    assert weight_types(compress(model(), RECIPES[name])) == types


def test_what_nncf_refuses_is_one_line() -> None:
    recipe = Recipe("odd", "int4_sym", ("CPU",), "For a test.", group_size=96)
    with pytest.raises(Glm4Error, match="NNCF can't do the recipe odd"):
        compress(model(), recipe)
