"""The benchmarks run and their pixels are right; their figures are nobody's test."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def benchmark_names() -> tuple[str, ...]:
    """What ``run.py`` runs by default; read, not imported: its modules have names of their own folder."""
    tree = ast.parse((ROOT / "benches/run.py").read_text())
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "NAMES"
    )
    return tuple(names)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", benchmark_names())
def test_a_benchmark_runs_on_little(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benches/run.py"), name, "--fast", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=220, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (written,) = tmp_path.glob("*.json")
    assert written.stem == name
    assert json.loads(written.read_text())["rows"]


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
