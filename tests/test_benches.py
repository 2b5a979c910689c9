"""The benchmarks run and their pixels are right; their figures are nobody's test."""

from __future__ import annotations

import json
import os
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
    assert {"decode", "batches", "http", "first-batch", "memory", "scaling", "damaged", "import"} <= names
    for path in tmp_path.glob("*.json"):
        assert json.loads(path.read_text())["rows"], path.name


@pytest.mark.timeout(240)
def test_the_comparison_leaves_out_by_name_what_is_not_installed(tmp_path: Path) -> None:
    # As if none were: the loaders' one common need is missing.
    (tmp_path / "psutil.py").write_text("raise ModuleNotFoundError('psutil', name='psutil')\n")
    command = [sys.executable, str(ROOT / "benches/run.py"), "peers-batches", "--fast", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=220, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    table = json.loads((tmp_path / "peers-batches.json").read_text())
    assert table["rows"][0][0] == "pixcrawler"
    told = {note.split(":")[1].strip() for note in table["notes"] if note.startswith("Left out: ")}
    assert {"DALI, CPU", "SPDL", "WebDataset", "LitData", "MosaicML Streaming"} <= told
