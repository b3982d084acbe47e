"""Runs the code on standard input as `python_tool` starts it: under limits, with an audit hook, alone (`python -I`).

It imports nothing of the toolkit, since it is the code's process and not ours.
"""

import ast
import sys

_REFUSED = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.kill",
            "pty.", "ctypes.", "ftplib.", "smtplib.", "urllib.")  # fmt: skip


def main() -> None:
    memory, file, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    code = sys.stdin.read()
    _limit(memory, file, seconds)
    sys.addaudithook(_refuse)
    _run(code)


def _limit(memory: int, file: int, seconds: float) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith(_REFUSED):
        raise PermissionError(f"{event} is not allowed here")


def _run(code: str) -> None:
    """Execute the code; the value of a last line that is an expression is printed, as at Python's prompt."""
    tree = ast.parse(code, "<code>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    space: dict[str, object] = {"__name__": "__main__"}
    exec(compile(tree, "<code>", "exec"), space)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<code>", "eval"), space)
        if value is not None:
            print(repr(value))


if __name__ == "__main__":
    main()
