"""What this process may use of the machine: processors and memory, container limits included."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["available_bytes", "usable_cpus"]

_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


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


def _own_groups() -> set[Path]:
    """The memory control groups that bound this process: its own and those above it, as far as they can be seen."""
    groups = {_CGROUP, _CGROUP / "memory"}
    for line in _read(_PROC / "self/cgroup").splitlines():
        # hierarchy:controllers:path; the unified hierarchy names no controllers.
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        top = _CGROUP / "memory" if controllers else _CGROUP
        names = [name for name in path.split("/") if name]
        # Outside the namespace that is mounted here.
        if ".." not in names:
            groups |= {top.joinpath(*names[:depth]) for depth in range(len(names) + 1)}
    return groups


def _left_in_group(group: Path) -> int | None:
    """Bytes that a control group still allows; None if it sets no limit."""
    for limit_name, used_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _read(group / limit_name), _read(group / used_name)
        if limit.isdigit() and used.isdigit():
            # What was read from files counts as used, but makes room when room is needed.
            counted = dict(line.split(maxsplit=1) for line in _read(group / "memory.stat").splitlines() if " " in line)
            cached = counted.get(cache_name, "")
            return max(int(limit) - int(used) + (int(cached) if cached.isdigit() else 0), 0)
    return None


def _left_in_address_space() -> int | None:
    """Bytes that ``ulimit -v`` still allows; None if it sets no limit."""
    try:
        import resource
    except ModuleNotFoundError:  # not on Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages, _, _ = _read(_PROC / "self/statm").partition(" ")
    if limit == resource.RLIM_INFINITY or not pages.isdigit():
        return None
    return max(limit - int(pages) * resource.getpagesize(), 0)


def available_bytes() -> int | None:
    """Memory in bytes that can be had without swapping, None if unknown.

    The system's, cut to what the process's control groups and its ``ulimit -v`` still allow.
    """
    lines = _read(_PROC / "meminfo").splitlines()
    found: list[int | None] = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    found += [_left_in_group(group) for group in _own_groups()]
    found.append(_left_in_address_space())
    return min((left for left in found if left is not None), default=None)
