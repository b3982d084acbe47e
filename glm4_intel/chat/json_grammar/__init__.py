"""A JSON schema as an EBNF grammar of the JSON that GLM-4 writes, for the engine's grammar-guided decoding.

The engine has a converter of its own, which lets any white space through, and a model that has never seen the schema's
keys then writes spaces to the end. This one lets through `{"a": 1, "b": [2, 3]}` alone, properties in their order.
What it lets through satisfies the schema; it may be less than the schema allows. What can't be held is refused, and
unknown keywords are ignored (https://json-schema.org/draft/2020-12/json-schema-validation).
"""

from typing import Any

from ...errors import Glm4Error
from .ebnf import literal
from .regexes import regex_grammar
from .writer import Writer

__all__ = ["any_text_grammar", "choice_grammar", "json_grammar", "literal_grammar", "regex_grammar"]


def json_grammar(schema: Any, where: str) -> str:
    """The grammar, with the rule `root`. Raises Glm4Error naming the place in `where` that can't be guided."""
    try:
        return Writer(schema).grammar(where)
    except RecursionError as error:
        raise Glm4Error(f"{where} is too deep to guide by", "Make the schema flatter.") from error
    except (TypeError, ValueError, AttributeError, KeyError) as error:  # a keyword that holds what no schema holds
        raise Glm4Error(f"{where} is no JSON schema: {error}", "Check what its keywords hold.") from error


def choice_grammar(choices: list[str]) -> str:
    """The grammar of one of the texts. Raises Glm4Error for one that can't be written."""
    return f"root ::= {' | '.join(literal(choice).text for choice in choices)}\n"


def literal_grammar(text: str) -> str:
    """The grammar of one text."""
    return choice_grammar([text])


def any_text_grammar() -> str:
    """The grammar of any text without `<|`, which begins the special tokens that a reply is taken apart at."""
    return 'root ::= [^<]* ("<"+ [^<|] [^<]*)*\n'
