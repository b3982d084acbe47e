"""Chat templates in the forms of GLM-4's relatives, whose own templates are not at hand."""

FORM_0414 = """
{{- '[gMASK]<sop>' -}}
{%- if tools -%}
{{- '<|system|>\\n# 可用工具\\n' -}}
{%- for tool in tools -%}
{{- '\\n## ' + tool.function.name + '\\n\\n' + (tool.function | tojson(indent=4, ensure_ascii=False)) -}}
{{- '\\n在调用上述函数时，请使用 Json 格式表示调用的参数。' -}}
{%- endfor -%}
{%- endif -%}
{%- for message in messages if message.role == 'system' -%}
{{- '<|system|>\\n' + message.content -}}
{%- endfor -%}
{%- for message in messages if message.role != 'system' -%}
{%- if message.role == 'assistant' and message.metadata -%}
{{- '<|assistant|>' + message.metadata + ' \\n' + message.content -}}
{%- elif message.role == 'assistant' -%}
{{- '<|assistant|>\\n' + message.content.split('</think>')[-1].lstrip('\\n') -}}
{%- else -%}
{{- '<|' + message.role + '|>\\n' + message.content -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
FORM_Z1 = FORM_0414.replace("{{- '<|assistant|>' -}}{%- endif -%}", "{{- '<|assistant|>\\n<think>' -}}{%- endif -%}")
"""A reasoning model's: the reply begins inside its thought, and history is rendered without."""


def chatglm(template: str) -> str:
    """The original repository's template: the name of the model is all that differs."""
    return template.replace("名为 GLM-4 的", "名为 ChatGLM 的")
