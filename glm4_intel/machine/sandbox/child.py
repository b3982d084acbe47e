"""The process that runs the code on its standard input, behind the walls, alone (`python -I`)."""

import ast
import ctypes  # noqa: F401  # numpy imports it, which the hook would refuse if it weren't there already
import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from .limits import Limits
from .walls import Walls, raise_walls

_NAME = "<code>"
_REFUSED = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.kill",
            "pty.", "ctypes.", "ftplib.", "smtplib.", "urllib.", "os.startfile")  # fmt: skip


def main() -> None:
    """`argv[1]` is JSON: the limits, and the walls that have to be there; without them, print those that there are."""
    asked = json.loads(sys.argv[1])
    code = sys.stdin.buffer.read().decode("utf-8", "replace")
    _close_input()
    walls = raise_walls(Path.cwd(), Limits(**asked["limits"]))
    if asked["walls"] is None:
        print(json.dumps(asdict(walls)))
    elif walls != Walls(**asked["walls"]):
        raise SystemExit(f"the code was not run: of the walls there are only {walls}")
    else:
        sys.argv = [""]
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # before an error, what was printed first
        sys.excepthook = _show
        sys.addaudithook(_refuse)
        run(code)


def _close_input() -> None:
    """Code that asks for input gets an end of file, and holds no pipe of ours."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Where the system has no wall, this stops the ordinary tricks of a model, and says so in its own words."""
    if event.startswith(_REFUSED):
        raise PermissionError(f"{event} is not allowed here")


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error of the code, without the frames that are ours."""
    while trace and trace.tb_frame.f_code.co_filename != _NAME:
        trace = trace.tb_next
    traceback.print_exception(kind, error, trace)


def run(code: str) -> None:
    """Execute the code; the value of a last line that is an expression is printed, as at Python's prompt."""
    tree = ast.parse(code, _NAME)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    space: dict[str, object] = {"__name__": "__main__"}
    exec(compile(tree, _NAME, "exec"), space)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), _NAME, "eval"), space)
        if value is not None:
            print(repr(value))
