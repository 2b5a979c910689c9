"""What this process may use of the machine: processors and memory, container limits included."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["available_bytes", "usable_cpus"]

_CGROUP = Path("/sys/fs/cgroup")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _cgroup_cpus() -> float:
    """Processors that the control group's quota allows; infinite if it sets none."""
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(_CGROUP / "cpu/cpu.cfs_quota_us"), _read(_CGROUP / "cpu/cpu.cfs_period_us")
    try:
        allowed = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return math.inf
    return allowed if allowed > 0 else math.inf


def usable_cpus() -> int:
    """Processors that this process may keep busy: its affinity mask, cut to the control group's quota; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, math.ceil(_cgroup_cpus()) if _cgroup_cpus() < math.inf else affinity))


def available_bytes() -> int | None:
    """Memory in bytes that can be had without swapping: the system's, cut to the control group's; None if unknown."""
    lines = _read(Path("/proc/meminfo")).splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, used = _read(_CGROUP / limit_name), _read(_CGROUP / used_name)
        if limit.isdigit() and used.isdigit():
            found.append(max(int(limit) - int(used), 0))
    return min(found, default=None)
