"""What holds of every bad input, whatever is wrong with it: checked in a child process under a memory cap.

``Examiner.chunk`` and ``Examiner.images`` read a chunk several times in a process of bounded address space and assert
what docs/reliability.md promises of all input:

- O1 time: the pass ends within its budget;
- O2 alive: the process lives, and decodes a good image afterwards;
- O3 typed: nothing but a PixCrawlerError comes out, with its code, place, cause and remedy, printable, and it pickles;
- O4 memory: the peak grows by no more than a bound;
- O5 neighbours: good images beside the bad ones come out as when they are alone;
- O6 accounting: every sample is delivered or reported, once, in the directory's order;
- O7 leaks: as many open files and threads after as before;
- O8 no stale bytes: the pixels do not depend on what the memory held before;
- O9 determinism: the same with one thread and with several;
- O10 silence: nothing on stderr.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import encode, picture, write_zip

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from typing_extensions import Self

CHILD = Path(__file__).with_name("oracle_child.py")
# What the child may take beyond what it has when its modules are loaded.
ADDRESS_SPACE_MIB = 1024
# A hang is a failure, a loaded machine is not.
PATIENCE_S = 45

GOOD = {
    "good/first.jpg": encode(picture(30, 41, 1), "JPEG"),
    "good/last.png": encode(picture(23, 17, 2)),
}


@dataclass(frozen=True)
class Reported:
    """A failure in the ledger: of a member, or of the chunk as a whole (member None)."""

    chunk_id: str
    member: str | None
    code: str
    reason: str
    num_samples: int


@dataclass(frozen=True)
class Outcome:
    """What became of a chunk.

    Attributes:
        delivered: Member -> (shape, hash of the pixels), in order.
        failures: The ledger.
        error: The error that ended the pass though ``on_error`` was "skip": its fields, and ``text``.
        raised: The error that ``on_error="raise"`` raised.
        seconds: Of the first pass.
        growth_bytes: By how much that pass raised the peak of resident memory.
    """

    delivered: Mapping[str, tuple[tuple[int, ...], str]]
    failures: tuple[Reported, ...]
    error: Mapping[str, Any] | None
    raised: Mapping[str, Any] | None
    seconds: float
    growth_bytes: int

    @property
    def codes(self) -> dict[str | None, str]:
        """Failed member -> code."""
        return {failure.member: failure.code for failure in self.failures}

    @property
    def code(self) -> str | None:
        """The code that the chunk as a whole was refused with."""
        if self.error is not None:
            return str(self.error["code"])
        return self.codes.get(None)

    @property
    def text(self) -> str:
        """All messages."""
        errors = [error["text"] for error in (self.error, self.raised) if error is not None]
        return "\n".join([*errors, *(failure.reason for failure in self.failures)])


class Examiner:
    """A child process that reads chunks, started anew when one kills it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="pixcrawler-oracle-")
        self._stderr = Path(self._folder.name) / "stderr"
        self._alone: dict[str, Outcome] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._folder.cleanup()

    def images(
        self,
        files: Mapping[str, bytes],
        *,
        seconds: float | None = None,
        growth_bytes: int = 96 << 20,
        **options: Any,
    ) -> Outcome:
        """Read image files, packed with good ones before and behind them.

        Args:
            files: By name.
            seconds: What the pass may take; by default 2 s an image.
            growth_bytes: By how much it may raise the peak memory.
            **options: Of ``load_dataset``; ``limits`` as a dict of its fields.

        Returns:
            What became of ``files``: the good neighbours are checked and left out.
        """
        first, last = GOOD.items()
        path = write_zip(Path(self._folder.name) / "images.zip", dict([first, *files.items(), last]))
        outcome = self.chunk(
            path,
            seconds=2.0 * len(files) + 1 if seconds is None else seconds,
            growth_bytes=growth_bytes,
            entries=[*GOOD, *files],
            **options,
        )
        delivered = dict(outcome.delivered)
        for name, data in GOOD.items():
            alone = self._good_alone(name, data, options)
            assert delivered.pop(name, None) == alone.delivered[name], f"{name}: other pixels beside {list(files)}"
        return Outcome(
            delivered, outcome.failures, outcome.error, outcome.raised, outcome.seconds, outcome.growth_bytes
        )

    def chunk(
        self,
        chunk: Path | bytes,
        *,
        seconds: float = 60,
        growth_bytes: int = 96 << 20,
        entries: Collection[str] | None = None,
        **options: Any,
    ) -> Outcome:
        """Read a chunk, or a folder of chunks.

        Args:
            chunk: Its path, or the bytes of a zip.
            seconds: What the pass may take.
            growth_bytes: By how much it may raise the peak memory.
            entries: The members of which each must be delivered or reported; None: as many as the caller checks.
            **options: Of ``load_dataset``; ``limits`` as a dict of its fields.
        """
        if isinstance(chunk, bytes):
            path = Path(self._folder.name) / "chunk.zip"
            path.write_bytes(chunk)
        else:
            path = chunk
        answer = self._ask({"path": str(path), "options": options}, PATIENCE_S + seconds)
        assert "untyped" not in answer, answer["untyped"]
        outcome = Outcome(
            {member: (tuple(shape), pixels) for member, shape, pixels in answer["delivered"]},
            tuple(Reported(*failure) for failure in answer["failures"]),
            answer["error"],
            answer["raised"]["error"],
            answer["seconds"],
            answer["growth_bytes"],
        )
        _check(answer, outcome, seconds, growth_bytes)
        if entries is not None:
            told = [*outcome.delivered, *(failure.member for failure in outcome.failures)]
            assert sorted(map(str, told)) == sorted(entries), "O6: not every entry once"
        return outcome

    def _good_alone(self, name: str, data: bytes, options: Mapping[str, Any]) -> Outcome:
        key = f"{name} {sorted(options.items(), key=str)}"
        if key not in self._alone:
            path = write_zip(Path(self._folder.name) / "alone.zip", {name: data})
            self._alone[key] = self.chunk(path, **options)
        return self._alone[key]

    def _ask(self, request: Mapping[str, Any], patience_s: float) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = self._read_line(process, patience_s)
        stderr = self._stderr.read_text(encoding="utf-8", errors="replace")
        if not line:
            status = process.wait(5)
            self._end()
            raise AssertionError(f"O2: the process died, exit status {status}\n{stderr}")
        if stderr:
            self._end()
            raise AssertionError(f"O10: {stderr}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read_line(self, process: subprocess.Popen[str], patience_s: float) -> str:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(patience_s):
                self._end()
                raise AssertionError(f"O1: no answer within {patience_s:.0f} s")
        return process.stdout.readline()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONPATH": str(CHILD.parent)}
            if inherited := os.environ.get("PYTHONPATH"):
                environment["PYTHONPATH"] += os.pathsep + inherited
            with self._stderr.open("w", encoding="utf-8") as stderr:
                self._process = subprocess.Popen(
                    [sys.executable, str(CHILD), str(ADDRESS_SPACE_MIB)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    env=environment,
                )
            assert self._read_line(self._process, PATIENCE_S) == "ready\n", self._stderr.read_text(encoding="utf-8")
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


def _check(answer: Mapping[str, Any], outcome: Outcome, seconds: float, growth_bytes: int) -> None:
    """What holds of every outcome."""
    assert answer["decodes_still"], "O2: a good image decodes differently afterwards"
    assert outcome.seconds <= seconds, f"O1: {outcome.seconds:.2f} s"
    assert outcome.growth_bytes <= growth_bytes, f"O4: {outcome.growth_bytes} bytes more"
    assert not answer["differs_with_threads"], f"O9: other results with {answer['differs_with_threads']} threads"
    assert not answer["stale"], f"O8: {answer['stale']}"
    assert answer["descriptors"][0] == answer["descriptors"][1], f"O7: open files {answer['descriptors']}"
    assert answer["threads"][0] == answer["threads"][1], f"O7: threads {answer['threads']}"
    members = [member for member, _, _ in answer["delivered"]]
    failed = [failure.member for failure in outcome.failures if failure.member is not None]
    assert len(set(members)) == len(members), "O6: delivered twice"
    assert not set(members) & set(failed), "O6: delivered and reported"
    for failure in outcome.failures:
        assert failure.code, failure
        assert failure.reason.isprintable(), failure
        assert f"[{failure.code}]" in failure.reason, failure
        assert failure.num_samples >= 0, failure
    for error in (outcome.error, outcome.raised):
        if error is not None:
            assert error["text"].isprintable(), error
            assert error["chunk_id"], error
            assert error["cause"], error
            assert error["remedy"], error
    # In "raise" mode the pass ends at the first of these failures, and all before it was delivered.
    if outcome.error is None:
        raised = answer["raised"]
        assert (raised["error"] is not None) == bool(outcome.failures), "O6: other failures when raising"
        if raised["error"] is not None:
            first = outcome.failures[0]
            assert (raised["error"]["member"], raised["error"]["code"]) == (first.member, first.code)
            assert raised["delivered"] == answer["delivered"][: len(raised["delivered"])]
