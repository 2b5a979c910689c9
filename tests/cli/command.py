"""The command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-c", "from pixcrawler.cli import main; main(prog_name='pixcrawler')"]


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it, and wait for its end; nothing is on its stdin."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    if "input" in options:
        del options["stdin"]
    return subprocess.run([*COMMAND, *arguments], text=True, check=False, timeout=50, **options)


def run_on_terminal(*arguments: str | Path, typed: str = "", columns: int = 100) -> tuple[int, str]:
    """Run it with a terminal for stdin, stdout and stderr; returns the exit code and what the terminal got."""
    import pty

    reader, writer = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=writer,
        stdout=writer,
        stderr=writer,
        env=environment,
        start_new_session=True,
    ) as process:
        os.close(writer)
        os.write(reader, typed.encode())
        shown = b""
        while True:
            try:
                part = os.read(reader, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(reader)
        return process.wait(50), shown.decode()


def assert_one_what_and_one_hint(stderr: str, *, hint: bool = True) -> None:
    """What is expected of every expected error."""
    lines = stderr.splitlines()
    assert lines[0].startswith("Error: "), stderr
    assert all(line.startswith("Hint: ") for line in lines[1:]), stderr
    assert len(lines) == 1 + hint, stderr
    assert stderr.replace("\n", "").isprintable(), stderr
