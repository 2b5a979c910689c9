"""What the process may use of the machine, container limits included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixcrawler import _machine
from support import run_child


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


# As the kernel tells a process where it is: the older layout by controller, and the unified one.
OWN = {
    "unified": ("0::/user.slice/job_7/step_0\n", "", ("memory.max", "memory.current"), "inactive_file"),
    "older": (
        "9:name=systemd:/\n5:cpu,cpuacct:/elsewhere\n4:memory:/user.slice/job_7/step_0\n0::/\n",
        "memory/",
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    ),
}


@pytest.mark.parametrize("layout", OWN)
class TestOwnGroups:
    @pytest.fixture
    def files(self, layout: str, cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str, str]:
        groups, top, (limit, used), cached = OWN[layout]
        write(cgroup / "proc/self/cgroup", groups)
        write(cgroup / "proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
        monkeypatch.setattr(_machine, "_PROC", cgroup / "proc")
        return cgroup / top, limit, used, cached

    def test_the_tightest_of_those_around_the_process_holds(self, files: tuple[Path, str, str, str]) -> None:
        top, limit, used, _ = files
        assert _machine.available_bytes() == 8000 * 1024
        write(top / "user.slice/job_7" / limit, "5000000")
        write(top / "user.slice/job_7" / used, "1000000")
        write(top / "user.slice/job_7/step_0" / limit, "max")
        write(top / "user.slice/job_7/step_0" / used, "1000000")
        write(top / "user.slice/job_8" / limit, "1")
        write(top / "user.slice/job_8" / used, "1")
        assert _machine.available_bytes() == 4_000_000

    def test_what_is_kept_of_files_makes_room(self, files: tuple[Path, str, str, str]) -> None:
        top, limit, used, cached = files
        write(top / limit, "5000000")
        write(top / used, "4900000")
        write(top / "memory.stat", f"anon 7\n{cached} 2000000\nother text here\nbroken\n")
        assert _machine.available_bytes() == 2_100_000
        write(top / "memory.stat", f"{cached} many")
        assert _machine.available_bytes() == 100_000


@pytest.mark.parametrize("text", ["", "garbage", "0::/../../other", "::", "4:memory:"])
def test_groups_that_cannot_be_told_limit_nothing(cgroup: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    write(cgroup / "proc/self/cgroup", text)
    monkeypatch.setattr(_machine, "_PROC", cgroup / "proc")
    assert _machine.available_bytes() is None


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="no /proc/self/statm")
def test_memory_by_a_limit_of_the_address_space() -> None:
    code = """
    import resource
    from pixcrawler import _machine
    from pathlib import Path
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
    print(_machine.available_bytes())
    """
    assert 90_000_000 < int(run_child(code)) <= 100_000_000


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="no /proc/meminfo")
def test_memory_of_the_machine(cgroup: Path) -> None:
    write(cgroup / "memory.max", "max")
    available = _machine.available_bytes()
    assert available is not None
    assert 1 << 20 < available < 1 << 50
