"""lm-eval against a server, whose address is the argument: how likely texts are, and what is written. Run by
test_clients.py in an environment of its own: pip install "lm-eval[api]"."""

import json
import sys
from pathlib import Path

import lm_eval
from lm_eval.tasks import TaskManager

HERE = Path.cwd()
SUMS = [(17, 25), (3, 4), (20, 30), (11, 22)]
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{target}"
{more}
metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true}}]
"""


def task(name: str, kind: str, metric: str, target: str, more: str = "") -> None:
    file = HERE / "sums.jsonl"
    lines = [
        {
            "question": f"What is {left} + {right}?",
            "answer": f"\n{left} + {right} = {left + right}",
            "sum": str(left + right),
            "wrong": f"\n{left} + {right} = {left + right + 1}",
        }
        for left, right in SUMS
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = TASK.format(name=name, file=file, kind=kind, metric=metric, target=target, more=more)
    (HERE / f"{name}.yaml").write_text(text)


task("sums_choice", "multiple_choice", "acc", "{{answer}}", 'doc_to_choice: ["{{answer}}", "{{wrong}}"]')
task("sums_likely", "loglikelihood", "acc", "{{answer}}")
task(
    "sums_written",
    "generate_until",
    "exact_match",
    "{{sum}}",
    'generation_kwargs: {until: ["<|user|>"], max_gen_toks: 40, temperature: 0.0}\n'
    "filter_list: [{name: last, filter: [{function: regex, regex_pattern: '(\\d+)\\D*$'}, {function: take_first}]}]",
)


def run(model: str, path: str, tasks: list[str], **more: object) -> dict:
    arguments = {"base_url": f"{sys.argv[1]}{path}", "model": "nano", "max_retries": 1, "num_concurrent": 2, **more}
    found = lm_eval.simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=tasks,
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(HERE), include_defaults=False),
        apply_chat_template=model == "local-chat-completions",
        log_samples=True,
    )
    return found


likely = run("local-completions", "/v1/completions", ["sums_choice", "sums_likely"], batch_size=2)
for name in ("sums_choice", "sums_likely"):
    for sample in likely["samples"][name]:
        for told in sample["resps"]:
            logprob, greedy = told[0] if isinstance(told[0], (list, tuple)) else told
            assert logprob < 0 and greedy in (True, False), told
written = run("local-chat-completions", "/v1/chat/completions", ["sums_written"])
assert written["results"]["sums_written"]["exact_match,last"] >= 0.75, written["results"]
print("ok")
