"""What may keep a machine from loading datasets, or from loading them fast: looked at, and told with a remedy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pixcrawler import _credentials, _native
from pixcrawler._machine import available_bytes, usable_cpus
from pixcrawler._retry import RetryPolicy
from pixcrawler.client import PixCrawlerClient
from pixcrawler.exceptions import AuthenticationError, PixCrawlerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pixcrawler._credentials import Credentials

__all__ = ["Check", "examine"]

_FRAMEWORKS = (
    "numpy", "torch", "torchvision", "tensorflow", "tensorflow-cpu", "keras", "jax", "pandas", "pyarrow", "datasets",
    "scikit-learn", "pillow",
)  # fmt: skip
# The default memory_limit, and as much again for the interpreter and the arrays handed out.
_LEAST_MEMORY_BYTES = 512_000_000
_API_TIMEOUT_S = 10.0
# What the speed is measured with; less of a smaller chunk.
_SPEED_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        found: How it is, in words.
        facts: The same for programs.
        problem: What is wrong with it; None if nothing is.
        remedy: What to do about that.
    """

    name: str
    found: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    remedy: str | None = None


def examine(
    api_key: str | None = None, base_url: str | None = None, *, job_id: str | None = None, offline: bool = False
) -> Iterator[Check]:
    """Look at the installation, the machine, the frameworks, the login and the API.

    Imports no framework. Asks the API once, and once more for the start of a chunk if a job is given; nothing is tried
    again.

    Args:
        api_key: As in ``load_dataset``.
        base_url: As in ``load_dataset``.
        job_id: A job whose first chunk's beginning is fetched, to see how fast the line is.
        offline: Leave out the API.

    Yields:
        The checks, each as soon as it is made.
    """
    yield _versions()
    yield _build()
    yield _cores()
    yield _memory()
    yield _frameworks()
    try:
        credentials = _credentials.resolve(api_key, base_url)
    except (AuthenticationError, ValueError) as error:
        yield Check("login", "cannot be used", {}, *_told(error))
        return
    finally:
        del api_key
    yield _login(credentials)
    if not offline:
        yield from _api(credentials, job_id)


def _told(error: Exception) -> tuple[str, str]:
    """An error's problem and remedy."""
    if isinstance(error, PixCrawlerError):
        return f"{error.cause.rstrip('.')}: {error.detail}", error.remedy
    return str(error), "Correct it."


def _versions() -> Check:
    from pixcrawler import __version__

    python = platform.python_version()
    facts = {"pixcrawler": __version__, "native": _native.__version__, "python": python, "system": platform.platform()}
    found = f"pixcrawler {__version__}, Python {python}, {platform.platform()}"
    if _native.__version__ != __version__:
        problem = f"the native module is of version {_native.__version__}"
        return Check("version", found, facts, problem, "Install the package again.")
    return Check("version", found, facts)


def _build() -> Check:
    facts = dict(_native.build_info())
    simd = "with SIMD" if facts["jpeg_simd"] else "without SIMD"
    found = f"{facts['profile']}, {facts['jpeg_library']} {simd}, resize by {facts['resize_kernel']}"
    if facts["profile"] == "debug":
        problem, remedy = (
            "a debug build decodes many times slower",
            "Install a release build: a wheel, or `pip install .`.",
        )
    elif not facts["jpeg_simd"]:
        problem, remedy = "JPEGs decode at half the speed", "Install nasm and build again, or install a wheel."
    else:
        return Check("build", found, facts)
    return Check("build", found, facts, problem, remedy)


def _cores() -> Check:
    usable, all_of_them = usable_cpus(), os.cpu_count()
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else all_of_them
    facts = {"usable": usable, "allowed_by_affinity": allowed, "of_the_machine": all_of_them}
    found = f"{usable} of {all_of_them}"
    if allowed is not None and usable < allowed:
        found += f" (the container's quota; the affinity mask allows {allowed})"
    elif allowed != all_of_them:
        found += " (the affinity mask)"
    return Check("cores", found, facts)


def _memory() -> Check:
    free = available_bytes()
    if free is None:
        return Check("memory", "not known", {"available_bytes": None})
    found, facts = f"{free / 1e9:,.1f} GB available", {"available_bytes": free}
    if free < _LEAST_MEMORY_BYTES:
        problem = f"less than {_LEAST_MEMORY_BYTES / 1e6:.0f} MB are available"
        return Check("memory", found, facts, problem, "Free some, raise the container's limit, or lower memory_limit.")
    return Check("memory", found, facts)


def _frameworks() -> Check:
    versions = {}
    for name in _FRAMEWORKS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    least = _least_versions()
    old = [
        f"{name} {version} is older than {least[name]}"
        for name, version in versions.items()
        if name in least and _numbers(version) < _numbers(least[name])
    ]
    if old:
        names = " ".join(f'"{name}>={least[name]}"' for name in versions if any(o.startswith(f"{name} ") for o in old))
        return Check("frameworks", found, versions, "; ".join(old), f"pip install --upgrade {names}")
    return Check("frameworks", found or "none", versions)


def _least_versions() -> dict[str, str]:
    """The oldest version of each package that this one is made for."""
    try:
        requirements = importlib.metadata.requires("pixcrawler-sdk") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = (re.match(r"([\w.-]+)(?:\[[^\]]*\])?[^;]*>=\s*([\d.]+)", one) for one in requirements)
    return {match[1].lower(): match[2] for match in found if match}


def _numbers(version: str) -> tuple[int, ...]:
    start = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, start[0].split("."))) if start else ()


def _login(credentials: Credentials) -> Check:
    facts = {"base_url": credentials.base_url, "key_source": credentials.source}
    if credentials.source is None:
        problem, remedy = (
            "there is no API key",
            "Run `pixcrawler login`, or set PIXCRAWLER_API_KEY; local files need none.",
        )
        return Check("login", "no key", facts, problem, remedy)
    source = "`pixcrawler login`" if credentials.source == "login" else credentials.source
    return Check("login", f"a key from {source}", facts)


def _api(credentials: Credentials, job_id: str | None) -> Iterator[Check]:
    # Once: what needs a second attempt is worth knowing.
    policy = RetryPolicy(retries=0, total_s=_API_TIMEOUT_S, idle_s=_API_TIMEOUT_S)
    with PixCrawlerClient(credentials.api_key, credentials.base_url, _API_TIMEOUT_S, policy=policy) as client:
        began = time.perf_counter()
        error: PixCrawlerError | None = None
        try:
            client.check_access()
        except PixCrawlerError as caught:
            error = caught
        latency_s = time.perf_counter() - began
        reached = error is None or isinstance(error, AuthenticationError)
        facts = {"base_url": client.base_url, "reached": reached, "accepted": error is None}
        if not reached:
            assert error is not None
            yield Check("API", f"{client.base_url} does not answer as it should", facts, *_told(error))
            return
        facts["latency_s"] = round(latency_s, 4)
        found = f"{client.base_url} answers in {latency_s * 1e3:,.0f} ms, connecting included"
        if error is None:
            yield Check("API", f"{found}, and takes the key" if credentials.api_key else found, facts)
            if job_id is not None:
                yield _speed(client, job_id)
        else:
            # That there is no key was told.
            yield Check("API", found, facts, *(_told(error) if credentials.api_key else ()))


def _speed(client: PixCrawlerClient, job_id: str) -> Check:
    try:
        chunk = next(client.iter_chunks(job_id), None)
        if chunk is None or not chunk.size_bytes:
            return Check("speed", "the job has no chunk to measure with")
        with closing(client.downloader(job_id)) as downloader:
            began = time.perf_counter()
            size_bytes = len(downloader.fetch_range(chunk, 0, min(chunk.size_bytes, _SPEED_BYTES)))
            took_s = time.perf_counter() - began
    except PixCrawlerError as error:
        return Check("speed", "could not be measured", {}, *_told(error))
    facts = {"bytes": size_bytes, "seconds": round(took_s, 4)}
    return Check(
        "speed", f"{size_bytes / took_s / 1e6:,.1f} MB/s over one connection ({size_bytes / 1e3:,.0f} kB)", facts
    )
