"""Contestants in processes of their own, so that none disturbs another, and the line protocol that they speak.

The benchmark writes a line, the contestant answers with a line of JSON: first by itself, when it is ready; to ``go``
after one epoch; to ``pixels PATH`` after writing all its pixels there. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

BENCHES = Path(__file__).resolve().parent
_ANSWER_TIMEOUT_S = 900.0


class BenchError(Exception):
    """A benchmark cannot be run, or its result is wrong; the message says why."""


class NotInstalledError(BenchError):
    """What a contestant needs is not installed."""


@dataclass(frozen=True)
class Epoch:
    """One pass over all images.

    Attributes:
        seconds: Wall time.
        cpu_s: Processor time of the contestant's process, all its threads together.
        images: How many.
        extra: What else the contestant tells.
    """

    seconds: float
    cpu_s: float
    images: int
    extra: dict[str, Any]


class Worker:
    """The benchmark's side: one contestant.

    Args:
        name: What the table calls it.
        command: Its command line.

    Attributes:
        told: What it said when it was ready.

    Raises:
        NotInstalledError: It says so.
        BenchError: It did not start.
    """

    def __init__(self, name: str, command: Sequence[str | Path]) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the worker
        self._child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.told = self._answer()
        if "missing" in self.told:
            self.close()
            raise NotInstalledError(f"{name}: {self.told['missing']} is not installed")

    @classmethod
    def python(cls, name: str, script: str, *arguments: str | Path) -> Self:
        """A contestant that is a script of this folder."""
        return cls(name, [sys.executable, BENCHES / script, *arguments])

    def go(self) -> Epoch:
        """Let it run one epoch."""
        answer = self._ask("go")
        return Epoch(answer.pop("seconds"), answer.pop("cpu_s"), answer.pop("images"), answer)

    def write_pixels(self, path: Path) -> None:
        """Let it write all pixels of an epoch, in order."""
        self._ask(f"pixels {path}")

    def close(self) -> None:
        """End it."""
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._log.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    def _ask(self, request: str) -> dict[str, Any]:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(f"{request}\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            self._raise()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        timer = threading.Timer(_ANSWER_TIMEOUT_S, self._child.kill)
        timer.start()
        try:
            line = self._child.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            self._raise()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _raise(self) -> None:
        code = self._child.wait()
        self._log.seek(0)
        raise BenchError(f"{self.name} ended with exit code {code}:\n{self._log.read()[-4000:]}")


def serve_contestant(
    epoch: Callable[[], dict[str, Any]], pixels: Callable[[], Iterable[NDArray[np.uint8]]], **told: object
) -> None:
    """The contestant's side: answer until the benchmark ends.

    Args:
        epoch: Runs once over all images; returns ``images`` and what else is to be told.
        pixels: The pixels of all images, in order.
        told: What to say when ready.
    """
    # Libraries that print must not be taken for answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**fields: object) -> None:
        answers.write(json.dumps(fields) + "\n")

    answer(ready=True, **told)
    for line in sys.stdin:
        request, _, path = line.strip().partition(" ")
        if request == "go":
            began, cpu_began = time.perf_counter(), cpu_seconds()
            result = epoch()
            answer(seconds=time.perf_counter() - began, cpu_s=cpu_seconds() - cpu_began, **result)
        elif request == "pixels":
            with Path(path).open("wb") as file:
                file.writelines(array.data for array in pixels())
            answer(done=True)
        else:
            raise BenchError(f"unknown request {line!r}")


def tell_missing(module: str) -> None:
    """The contestant's side: a module that it needs is not installed."""
    sys.stdout.write(json.dumps({"missing": module}) + "\n")


def cpu_seconds() -> float:
    """Processor time of this process so far, without its children."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
