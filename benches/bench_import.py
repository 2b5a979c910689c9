"""What ``import pixcrawler`` and ``pixcrawler --version`` cost above bare Python."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from pairing import Spread, take_turns
from report import Bar, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from data import Setting

_BARE, _OURS, _USED = "bare Python", "import pixcrawler", "from pixcrawler import load_dataset"
_VERSION = "pixcrawler --version"
# The command as its entry point starts it.
_RUN_VERSION = "import sys; sys.argv[1:] = ['--version']; from pixcrawler.cli import main; main()"
_PROGRAMS = {_BARE: "pass", _OURS: _OURS, _USED: _USED, _VERSION: _RUN_VERSION}


def run(setting: Setting) -> Report:
    report = Report(
        "import",
        "What importing the package, and `pixcrawler --version`, cost above bare Python",
        ("program", "s", "above bare Python, s"),
        setting.rounds_or(20),
        "none",
        setting.fast,
        plot_axis="seconds (median, smallest to largest)",
    )
    seconds = take_turns({name: _starting(program) for name, program in _PROGRAMS.items()}, report.rounds)
    for name, own in seconds.items():
        above = Spread.of([a - b for a, b in zip(own, seconds[_BARE], strict=True)])
        report.add(name, Spread.of(own).text(".3f"), "-" if name == _BARE else above.text(".3f"))
        report.plot.append((name, Spread.of(own)))
        report.samples[name] = own
        if name == _OURS:
            report.bars.append(Bar("import pixcrawler above bare Python, s", above.median, 0.05, at_most=True))
    report.notes.append("Whole processes, from start to end, compiled modules in the page cache.")
    return report


def _starting(program: str) -> Callable[[], float]:
    def start() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return start
