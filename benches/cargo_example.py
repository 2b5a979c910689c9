"""Builds contestants that are Rust programs: examples of the project's crates."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from data import ROOT
from workers import BenchError


def build(package: str, example: str) -> Path:
    """Build a crate's example with cargo, as release.

    Raises:
        BenchError: There is no cargo, or the build fails.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise BenchError(f"cargo is needed for {package}'s contestant")
    command = [cargo, "build", "--release", "--package", package, "--example", example]
    built = subprocess.run(
        [*command, "--message-format", "json-render-diagnostics"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        raise BenchError(f"cargo failed:\n{built.stderr[-4000:]}")
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return Path(next(message["executable"] for message in messages if message.get("executable")))
