"""What the process may use of the machine, container limits included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixcrawler import _machine


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group that sets nothing."""
    monkeypatch.setattr(_machine, "_CGROUP", tmp_path)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("garbage", 8),
        ("", 8),
        ("0 100000", 8),
    ],
)
def test_processors_by_quota(cgroup: Path, eight_cpus: None, quota: str, cpus: int) -> None:
    write(cgroup / "cpu.max", quota + "\n")
    assert _machine.usable_cpus() == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("300000", 3), ("-1", 8)])
def test_processors_by_the_older_control_groups(cgroup: Path, eight_cpus: None, quota: str, cpus: int) -> None:
    write(cgroup / "cpu/cpu.cfs_quota_us", quota)
    write(cgroup / "cpu/cpu.cfs_period_us", "100000")
    assert _machine.usable_cpus() == cpus


def test_processors_by_affinity(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5}, raising=False)
    assert _machine.usable_cpus() == 1


def test_processors_where_there_is_no_affinity(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert _machine.usable_cpus() == 1


def test_processors_of_this_machine() -> None:
    assert 1 <= _machine.usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({"memory.max": "1000000", "memory.current": "400000"}, 600_000),
        ({"memory.max": "1000000", "memory.current": "1400000"}, 0),
        ({"memory/memory.limit_in_bytes": "5000", "memory/memory.usage_in_bytes": "1000"}, 4000),
    ],
)
def test_memory_by_control_group(cgroup: Path, files: dict[str, str], available: int) -> None:
    for name, text in files.items():
        write(cgroup / name, text + "\n")
    assert _machine.available_bytes() == available


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="no /proc/meminfo")
def test_memory_of_the_machine(cgroup: Path) -> None:
    write(cgroup / "memory.max", "max")
    available = _machine.available_bytes()
    assert available is not None
    assert 1 << 20 < available < 1 << 50
