"""The benchmarks run and their pixels are right; their figures are nobody's test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.timeout(240)
def test_every_benchmark_runs_on_little(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benches/run.py"), "--fast", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=220, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    names = {path.stem for path in tmp_path.glob("*.json")}
    assert {"decode", "batches", "http", "first-batch", "memory", "scaling", "import"} <= names
    for path in tmp_path.glob("*.json"):
        assert json.loads(path.read_text())["rows"], path.name
