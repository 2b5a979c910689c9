"""The commands on archives, ours and those of the real Barecat, as a user runs them."""

from __future__ import annotations

import io
import sys
import warnings
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from pixcrawler.cli import main

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-c", "from pixcrawler.cli import main; main(prog_name='pixcrawler')", "barecat"]


def ours(*arguments: str | Path, code: int = 0, stdin: bytes | None = None) -> Result:
    """Run a command in this process."""
    result = CliRunner().invoke(main, ["barecat", *map(str, arguments)], input=stdin)
    assert result.exit_code == code, (arguments, result.output, result.exception)
    if code == 1:
        (line,) = result.stderr.splitlines()[-1:]
        assert line.startswith("Error: "), result.stderr
        assert "Hint" not in result.stderr
        assert "Traceback" not in result.stderr
    return result


def theirs(*arguments: str | Path, code: int = 0) -> bytes:
    """Run the real command in this process, for its imports take half a second; its stdout."""
    with warnings.catch_warnings():
        # Its dependencies' business.
        warnings.simplefilter("ignore")
        from barecat.cli.main import main as run

        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["barecat", *map(str, arguments)])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            try:
                found = run() or 0
            except SystemExit as exc:
                found = exc.code or 0
    out.flush()
    err.flush()
    assert found == code, (arguments, found, err.buffer.getvalue())
    return bytes(out.buffer.getvalue())


def make_tree(folder: Path) -> dict[str, bytes]:
    """Files and folders for an archive, and their contents by path."""
    files = {
        "zero": b"",
        "top.txt": b"top",
        "a/1.txt": b"one" * 1000,
        "a/2.jpg": b"\xff\xd8" * 30,
        "a/b/c/deep.bin": bytes(range(256)) * 40,
        "a/b/2.txt": b"two",
        ".hidden/.file": b"h",
        "sp ace/ü[1]*?.txt": b"odd",
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "empty").mkdir()
    (folder / "a/1.txt").chmod(0o640)
    return files
