"""Several adapters in one model, each reply with its own: the graph is edited when the model is loaded.

The stock engine batches replies that differ in nothing but their tokens, so a token carries which adapter a reply has.
1. A reply's first token, [gMASK], is replaced by an id that no text has, one for each adapter; P-Tuning's virtual
   tokens are so many of them before the prompt. The graph looks up [gMASK]'s embedding in their place.
2. One attention layer more, with keys and values of constants, carries the adapter to every later token through the KV
   cache (`marker`). Its heads are as the others': with another number the CPU's paged attention computes garbage.
3. Every product that an adapter changes gets its low-rank branches, and the marker opens one of them (`branches`).
4. At P-Tuning's virtual tokens, keys and values are those that were learnt (`virtual`).
The prefix cache is right by construction, since prompts of different adapters differ from their first token on.
"""

from .loading import AdapterSet, adapted_directory, read_set
from .prompts import AdapterPrompts

__all__ = ["AdapterPrompts", "AdapterSet", "adapted_directory", "read_set"]
