"""The page's blocks, which refuse what no page of ours sends in a line, and not on the server's stderr."""

from typing import Any

import gradio as gr


class Page(gr.Blocks):  # type: ignore[misc]  # Gradio's bases are untyped
    """Gradio's blocks. A value that is none of a component's choices, or of another kind, is no fault of the server."""

    async def preprocess_data(self, *given: Any, **options: Any) -> Any:
        """Gradio's, whose errors are told to the sender alone."""
        try:
            return await super().preprocess_data(*given, **options)
        except gr.Error as error:
            raise gr.Error(str(error.message), print_exception=False) from error
        except Exception as error:  # each component raises whatever an odd value leads to
            raise gr.Error(f"This is no value of the page: {type(error).__name__}", print_exception=False) from error
