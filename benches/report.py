"""What a benchmark found: its table, its bars, the machine; as text, as JSON, and in the README."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import textwrap
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixcrawler import _native
from pixcrawler._machine import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairing import Spread

_VERSIONS = ("numpy", "httpx", "pillow", "opencv-python-headless", "torch", "torchvision", "tensorflow-cpu")
_BEGIN, _END = "<!-- tables: begin -->", "<!-- tables: end -->"


@dataclass(frozen=True)
class Bar:
    """A figure that has a bar to reach.

    Attributes:
        what: What is measured, in words.
        value: The figure.
        bound: The bar.
        at_most: Whether the figure may not be above the bar; else it may not be below.
        is_disturbed: Whether other programs took so much of the machine that the figure tells neither.
    """

    what: str
    value: float
    bound: float
    at_most: bool = False
    is_disturbed: bool = False

    @property
    def holds(self) -> bool:
        """Whether the bar is reached."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def text(self) -> str:
        """One line."""
        sign = "at most" if self.at_most else "at least"
        verdict = "unclear" if self.is_disturbed else "reached" if self.holds else "MISSED "
        return f"{verdict}  {self.what}: {self.value:.3g} ({sign} {self.bound:.3g})"


@dataclass
class Report:
    """One benchmark's result.

    Attributes:
        name: Of the benchmark.
        title: What the table shows.
        columns: Headings; the first column is text, the others are numbers.
        rounds: How often contestants took turns.
        data: Which photographs.
        fast: Whether this is a smoke test.
        rows: Cells.
        bars: The figures that have bars.
        notes: What a reader must know.
        plot: Label and value with its spread of each mark of the plot.
        plot_axis: What its values are.
        samples: The single measurements, by contestant.
    """

    name: str
    title: str
    columns: Sequence[str]
    rounds: int
    data: str
    fast: bool
    rows: list[list[str]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plot: list[tuple[str, Spread]] = field(default_factory=list)
    plot_axis: str = ""
    samples: dict[str, Any] = field(default_factory=dict)

    def add(self, *cells: str) -> None:
        """A row."""
        self.rows.append(list(cells))

    def text(self) -> str:
        """The table, its bars and its notes."""
        lines = [f"{self.title}", f"Rounds: {self.rounds}. Photographs: {self.data}.", ""]
        lines += _table(self.columns, self.rows)
        # A smoke test's figures mean nothing, bars least of all.
        if self.bars and not self.fast:
            lines += ["", *(f"    {bar.text}" for bar in self.bars)]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines)

    def save(self, folder: Path, machine: dict[str, Any]) -> None:
        """Write the JSON, and the plot if matplotlib is installed."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "name": self.name,
            "fast": self.fast,
            "machine": machine,
            "text": self.text(),
            "title": self.title,
            "rounds": self.rounds,
            "data": self.data,
            "columns": list(self.columns),
            "rows": self.rows,
            "bars": [{**asdict(bar), "holds": bar.holds} for bar in self.bars],
            "notes": self.notes,
            "samples": self.samples,
        }
        (folder / f"{self.name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        _draw(self, folder / f"{self.name}.png")


def _table(columns: Sequence[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table that reads well as plain text."""
    widths = [max(len(row[at]) for row in [list(columns), *rows]) for at in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(columns), line(rule), *map(line, rows)]


def _draw(report: Report, path: Path) -> None:
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        print(f"no plot: matplotlib is not installed ({path.name})")
        return
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.35 * len(report.plot)), layout="constrained")
    places = range(len(report.plot))
    medians = [spread.median for _, spread in report.plot]
    below = [spread.median - spread.low for _, spread in report.plot]
    above = [spread.high - spread.median for _, spread in report.plot]
    colours = ["tab:blue" if "pixcrawler" in label else "tab:gray" for label, _ in report.plot]
    axes.barh(places, medians, xerr=[below, above], color=colours, ecolor="black", capsize=2)
    axes.set_yticks(places, [label for label, _ in report.plot])
    axes.invert_yaxis()
    axes.set_xlabel(report.plot_axis)
    axes.margins(y=0.01)
    figure.suptitle("\n".join(textwrap.wrap(report.title, 100)), fontsize=9)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def describe_machine() -> dict[str, Any]:
    """Processor, memory, load, and the versions of what is measured."""
    versions = {}
    for name in _VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "when": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "processor": _processor(),
        "cpus": usable_cpus(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "load_1_min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "pixcrawler": dict(_native.build_info()),
        "versions": versions,
    }


def machine_text(machine: dict[str, Any]) -> str:
    """The machine in a few lines."""
    build = machine["pixcrawler"]
    versions = {"Python": machine["python"], **machine["versions"]}
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{machine['processor']}, {machine['cpus']} processors usable, {machine['memory_gb']} GB, "
        f"{machine['system']}; load before the run {machine['load_1_min']} ({machine['when']})\n"
        f"pixcrawler {build['version']} ({build['profile']}, {build['jpeg_library']}, JPEG SIMD "
        f"{'on' if build['jpeg_simd'] else 'off'}, resize {build['resize_kernel']}), {named}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def write_readme(results: Path, readme: Path, names: Sequence[str]) -> list[str]:
    """Put the last tables into the README, between its marks; a table that there is no newer one for stays.

    Returns:
        The benchmarks whose tables are new. One that was only smoke-tested, or not run, is left as it was.
    """
    before, _, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
    tables, _, after = rest.partition(_END)
    known = _read_tables(tables)
    written = []
    for name in names:
        path = results / f"{name}.json"
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"fast": True}
        if not document["fast"]:
            known[name] = (f"On {machine_text(document['machine'])}.", document["text"])
            written.append(name)
    parts, machine = [], ""
    for name in (name for name in names if name in known):
        ran_on, text = known[name]
        if ran_on != machine:
            parts.append(ran_on)
            machine = ran_on
        parts.append(f"### {name}\n\n{text.strip()}")
    joined = "\n\n".join(parts)
    readme.write_text(f"{before}{_BEGIN}\n\n{joined}\n\n{_END}{after}", "utf-8")
    return written


def _read_tables(text: str) -> dict[str, tuple[str, str]]:
    """By benchmark: the line that says on what it ran, and what follows its heading."""
    tables: dict[str, tuple[str, str]] = {}
    machine, name = "", ""
    for part in re.split(r"^(On .+\n(?:.+\n)*|### .+\n)", text, flags=re.MULTILINE):
        if part.startswith("On "):
            machine, name = part.strip(), ""
        elif part.startswith("### "):
            name = part.removeprefix("### ").strip()
        elif name:
            tables[name] = (machine, part.strip())
    return tables
