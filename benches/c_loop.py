"""Builds and starts the C loop, against the very libjpeg-turbo that the package was built with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from data import ROOT, Photos, read_members, write_payloads
from workers import BENCHES, BenchError, Worker

if TYPE_CHECKING:
    from typing import Literal


def build(work: Path, name: str = "decode_loop") -> Path:
    """Compile one of the C programs with ``gcc -O3``.

    Raises:
        BenchError: There is no compiler, or the library is not built.
    """
    program = work / name
    if program.exists():
        return program
    gcc = shutil.which("gcc")
    if gcc is None:
        raise BenchError("gcc is needed for the C programs")
    out = library_folder()
    command: list[str | Path] = [gcc, "-O3", "-Wall", "-o", program, BENCHES / f"{name}.c"]
    subprocess.run([*command, f"-I{out / 'include'}", out / "lib" / "libturbojpeg.a", "-lpthread"], check=True)
    return program


def library_folder() -> Path:
    """Where cargo's release build put libjpeg-turbo: the newest, if there are several."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    # With a target triple the release folder lies one level deeper.
    pattern = "release/build/turbojpeg-sys-*/out/lib/libturbojpeg.a"
    found = [library.parent.parent for library in (*target.glob(pattern), *target.glob(f"*/{pattern}"))]
    if not found:
        message = (
            f"no libturbojpeg.a below {target}/release/build: build the package there first "
            "(make bench does), or set CARGO_TARGET_DIR to where it was built"
        )
        raise BenchError(message)
    return max(found, key=lambda out: out.stat().st_mtime)


def start(work: Path, photos: Photos, threads: int, handle: Literal["reused", "fresh"]) -> Worker:
    """The loop over a zip's images, ready."""
    payloads = work / f"{photos.path.stem}.payloads"
    if not payloads.exists():
        write_payloads(payloads, read_members(photos.path))
    return start_with(work, payloads, threads, handle)


def start_with(work: Path, payloads: Path, threads: int, handle: Literal["reused", "fresh"]) -> Worker:
    """The loop over a file of images, ready."""
    return Worker(f"C loop, {handle} handle", [build(work), payloads, str(threads), handle])
