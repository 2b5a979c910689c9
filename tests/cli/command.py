"""The command in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
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


def run_on_terminal(*arguments: str | Path, typed: str = "", at: str = "", columns: int = 100) -> tuple[int, str]:
    """Run it with a terminal of its own for stdin, stdout and stderr.

    Args:
        *arguments: Of the command.
        typed: Written to the terminal when it shows ``at``.
        at: What it waits for.
        columns: The terminal's width.

    Returns:
        The exit code, and what the terminal got.
    """
    import pty

    reader, writer = pty.openpty()
    code = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); " + COMMAND[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=writer,
        stdout=writer,
        stderr=writer,
        env={**os.environ, "TERM": "xterm", "COLUMNS": str(columns)},
        start_new_session=True,
    )
    os.close(writer)
    shown = b""
    try:
        # The other end's closing is an error here, not an end.
        with contextlib.suppress(OSError):
            while part := os.read(reader, 1 << 16):
                shown += part
                if typed and at.encode() in shown:
                    # getpass throws away what comes before it has turned the echo off.
                    time.sleep(0.3)
                    os.write(reader, typed.encode())
                    typed = ""
        return process.wait(30), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(reader)


def assert_one_what_and_one_hint(stderr: str, *, hint: bool = True) -> None:
    """What is expected of every expected error."""
    lines = stderr.splitlines()
    assert lines[0].startswith("Error: "), stderr
    assert all(line.startswith("Hint: ") for line in lines[1:]), stderr
    assert len(lines) == 1 + hint, stderr
    assert stderr.replace("\n", "").isprintable(), stderr
