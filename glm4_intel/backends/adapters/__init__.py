"""Adapters that people fine-tuned with PEFT: what a folder holds, and on which products of a GLM-4 it lands."""

from ...model_directory.weight_shapes import product_shapes
from .prefix import Prefix
from .products import tensor_name
from .reading import Adapter, named_adapters, read_adapter
from .values import LowRank

__all__ = ["Adapter", "LowRank", "Prefix", "named_adapters", "product_shapes", "read_adapter", "tensor_name"]
