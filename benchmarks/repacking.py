"""What the first inference costs, and whether anything makes it cheaper: each way in a process of its own.

    python benchmarks/repacking.py DIR             # DIR: a 9B model directory

Load, first token and memory with the chat profile, with the weights read instead of mapped, with huge pages, with a
cache folder, and with half the threads.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import environment

_PROBE = """
import json, sys, time
from glm4_intel import load
from glm4_intel.memory import own_memory
from glm4_intel.measuring import fresh_ids
started = time.perf_counter()
glm = load(sys.argv[1], properties=json.loads(sys.argv[2]), warmup=False)
loaded, held = time.perf_counter() - started, own_memory()
firsts = []
for _ in range(3):
    *_, last = glm.stream_ids(fresh_ids(glm, 8), temperature=0, max_new_tokens=2, ignore_eos=True)
    firsts.append(last.timing.time_to_first_token)
print(json.dumps([loaded, firsts[0], min(firsts[1:]), held / 1e9, own_memory() / 1e9]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    print(environment(), "\n")
    print("way                      load s   first token s   then s   own memory GB, loaded and after")
    with tempfile.TemporaryDirectory(dir=args.model.parent) as folder:
        ways: dict[str, tuple[dict, dict]] = {
            "chat profile": ({}, {}),
            "weights read, not mapped": ({"ENABLE_MMAP": False}, {}),
            "huge pages": ({}, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
            "cache folder, first": ({"CACHE_DIR": folder}, {}),
            "cache folder, second": ({"CACHE_DIR": folder}, {}),
            "half the threads": ({"INFERENCE_NUM_THREADS": max(1, (os.cpu_count() or 2) // 2)}, {}),
        }
        for name, (properties, environ) in ways.items():
            command = [sys.executable, "-c", _PROBE, str(args.model), json.dumps(properties)]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ})
            if done.returncode:
                print(f"{name:24} failed: {done.stderr.strip().splitlines()[-1]}")
                continue
            loaded, cold, warm, held, after = json.loads(done.stdout)
            print(f"{name:24} {loaded:6.1f}   {cold:13.1f}   {warm:6.2f}   {held:.2f} and {after:.2f}", flush=True)


if __name__ == "__main__":
    main()
