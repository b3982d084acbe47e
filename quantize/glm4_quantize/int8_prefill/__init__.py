"""A second way for prompts: int8 weights by row and int8 activations by token, beside the int4 weights.

A prompt is bound by arithmetic, and the CPU plugin's int8 kernels compute on AMX or VNNI what its int4 kernels first
unpack; a single token is bound by reading weights, and int4 ones are half of int8. So everything between two attentions
(a block: the output projection, the norms, the MLP, and the next layer's projections) becomes an OpenVINO `If` on the
number of tokens in the pass, with the block as it was in one branch and its int8 form in the other. A block is coarse
enough that a token pays nothing for it; an `If` for every product cost 12 ms a token of the 9B.
"""

from .graph import TOKENS, add_int8_prefill
from .weights import Int8Weight, int8_weights

__all__ = ["TOKENS", "Int8Weight", "add_int8_prefill", "int8_weights"]
