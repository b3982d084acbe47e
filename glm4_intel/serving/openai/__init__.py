"""OpenAI's API: chat completions, completions, responses, models, and the refusal of what is not served."""
