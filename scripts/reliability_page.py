"""Writes docs/reliability.md: the cases of bad input, networks and callers, and what a run of their tests said.

``make reliability`` runs the tests and then this. A test belongs to a case if its name says so: ``test_Z26_...`` in
Python, ``z26_...`` in Rust.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"

# Section -> what it is about, and how many cases it has.
SECTIONS = {
    "Z": ("zip structure", 42),
    "B": ("bombs and limits", 20),
    "I": ("inflate and deflate64", 10),
    "J": ("JPEG", 18),
    "P": ("PNG", 15),
    "X": ("EXIF orientation and metadata", 5),
    "N": ("network: bodies, ranges, retries", 25),
    "R": ("redirects, credentials, TLS, private addresses", 10),
    "L": ("the command line", 6),
    "F": ("the boundary to Python, threads, forks", 10),
    "U": ("fuzzing and properties", 8),
}
LATER = {
    "N22": "comes with the cache on disk",
    "U07": "comes with the cache on disk",
    "U08": "comes with a second release",
}

HEAD = """\
# Reliability

What holds of every input, however bad:

- **Time**: 2 s for a member, 60 s for a chunk of 500, on a machine with two cores.
- **Life**: the process lives, and the next good image decodes as ever. No abort, no panic, no hang.
- **Typed errors**: nothing but a `PixCrawlerError` comes out ([the codes](errors.md)), with chunk, member and offset,
  printable, without secrets, and it pickles.
- **Memory**: nothing is allocated from a declared number; decoders share one bound.
- **Neighbours**: the other members of a chunk are what they are when they are alone.
- **Accounting**: every entry of the directory is delivered or reported, exactly once, in order.
- **No leaks**: open files, threads and memory are the same after a thousand repetitions.
- **No stale bytes**: pixels do not depend on what the memory held before.
- **Determinism**: the same result for any number of threads, any split of the reads.
- **Silence**: nothing on stderr but through logging.

`tests/oracle.py` asserts these of every hostile chunk and image, in a child process under a memory cap. The numbered
cases below state what is special to each; a test's name carries its case. Where a case cannot hold as one would wish,
ARCHITECTURE.md says so.

The tables are made from a run of the tests (`make reliability`).
"""


@dataclass
class Case:
    """What the tests of one case said.

    Attributes:
        passed: Test functions of which every example passed.
        skipped: Reason by test function.
        failed: Test functions with a failure.
    """

    passed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    @property
    def state(self) -> str:
        """One word, or the reason of a skip."""
        if self.failed:
            return "FAILED"
        if self.passed:
            return "passed"
        return f"skipped: {'; '.join(sorted(set(self.skipped.values())))}"


def read_pytest(path: Path, cases: dict[str, Case]) -> None:
    """Add the tests of a JUnit file."""
    for test in ET.parse(path).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        function = test.get("name", "").partition("[")[0]
        found = re.match(r"test_([A-Z]\d\d)_", function)
        if found is None:
            continue
        case = cases[found[1]]
        skip = test.find("skipped")
        if test.find("failure") is not None or test.find("error") is not None:
            case.failed.add(function)
        elif skip is not None:
            case.skipped[function] = skip.get("message", "")
        else:
            case.passed.add(function)


def read_cargo(path: Path, cases: dict[str, Case]) -> None:
    """Add the tests of what ``cargo test`` printed."""
    line = re.compile(r"^test (?:\w+::)*(((?:[a-z]\d\d_)+)\w+) \.\.\. (ok|FAILED|ignored)", re.MULTILINE)
    for function, numbers, result in line.findall(path.read_text(encoding="utf-8")):
        for number in numbers.upper().split("_")[:-1]:
            case = cases[number]
            if result == "ok":
                case.passed.add(function)
            elif result == "FAILED":
                case.failed.add(function)
            else:
                case.skipped[function] = "ignored"


def page(cases: dict[str, Case]) -> str:
    """The page's text."""
    summary = ["| section | | cases | passed | skipped |", "| --- | --- | ---: | ---: | --- |"]
    details = []
    for section, (title, count) in SECTIONS.items():
        numbers = [f"{section}{number:02}" for number in range(1, count + 1)]
        missing = [number for number in numbers if number not in cases and number not in LATER]
        if missing:
            message = f"no test carries the name of {', '.join(missing)}"
            raise SystemExit(message)
        passed = sum(number in cases and cases[number].state == "passed" for number in numbers)
        skipped = [f"{number}: {LATER[number]}" for number in numbers if number in LATER and number not in cases]
        skipped += [f"{n}: {cases[n].state}" for n in numbers if n in cases and cases[n].state != "passed"]
        summary.append(f"| {section} | {title} | {count} | {passed} | {'; '.join(skipped) or '-'} |")
        details.append(f"\n## {section}: {title}\n\n| case | tests | result |\n| --- | --- | --- |")
        for number in numbers:
            case = cases.get(number)
            if case is None:
                details.append(f"| {number} | - | later: {LATER[number]} |")
                continue
            functions = case.passed | case.failed | set(case.skipped)
            names = {re.sub(r"^(test_)?([A-Za-z]\d\d_)+", "", name).replace("_", " ") for name in functions}
            details.append(f"| {number} | {', '.join(sorted(names))} | {case.state} |")
    return "\n".join([HEAD, *summary, *details]) + "\n"


def main() -> None:
    """Read the results and write the page."""
    parser = argparse.ArgumentParser(description="Writes docs/reliability.md from the results of a test run.")
    parser.add_argument("--pytest", type=Path, nargs="+", required=True, help="what pytest --junitxml wrote")
    parser.add_argument("--cargo", type=Path, required=True, help="what cargo test printed")
    arguments = parser.parse_args()
    cases: dict[str, Case] = defaultdict(Case)
    for path in arguments.pytest:
        read_pytest(path, cases)
    read_cargo(arguments.cargo, cases)
    PAGE.write_text(page(dict(cases)), encoding="utf-8")
    print(f"{PAGE.name}: {sum(case.state == 'passed' for case in cases.values())} cases passed")


if __name__ == "__main__":
    main()
