"""Runs the benchmarks: ``run.py [NAME ...] [--fast] [--data DIR] [--rounds N] [--out DIR] [--readme]``."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import Setting, make_setting
from report import describe_machine, machine_text, write_readme
from workers import BENCHES, BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from report import Report

NAMES = (
    "jpeg",
    "decode",
    "batches",
    "resize",
    "http",
    "first-batch",
    "memory",
    "to-arrays",
    "tensorflow-loader",
    "scaling",
    "damaged",
    "import",
)
# They compare with libraries that .venv-peers alone has, and run only when named: `make bench-peers` does.
PEERS = ("peers-decode", "peers-batches", "torch-loader", "torch-latency")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmarks: tables on the terminal, JSON and plots in a folder.")
    known = (*NAMES, *PEERS)
    which = f"which ones; by default {', '.join(NAMES)}; on request {', '.join(PEERS)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=which)
    parser.add_argument("--fast", action="store_true", help="a smoke test: few images, one round; figures mean nothing")
    parser.add_argument("--data", type=Path, help="folder of photos-500.zip and photos-large.zip")
    parser.add_argument("--rounds", type=int, help="how often contestants take turns; each benchmark has its default")
    parser.add_argument("--out", type=Path, default=BENCHES / "out", help="where JSON and plots go (%(default)s)")
    parser.add_argument("--readme", action="store_true", help="run nothing, put the last tables into README.md")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(known)}")
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    if arguments.readme:
        written = write_readme(arguments.out, BENCHES / "README.md", (*NAMES, *PEERS))
        print(f"README.md has the tables of: {', '.join(written) or 'none'}")
        return 0
    machine = describe_machine()
    print(machine_text(machine))
    failed = []
    with tempfile.TemporaryDirectory(prefix="pixcrawler-bench-") as work:
        setting = make_setting(Path(work), arguments.data, arguments.rounds, fast=arguments.fast)
        for name in arguments.names or NAMES:
            began = time.perf_counter()
            try:
                report = _run(name, setting)
            except BenchError as exc:
                print(f"\n== {name} ==\nFAILED: {exc}", flush=True)
                failed.append(name)
                continue
            report.save(arguments.out, machine)
            took_s = time.perf_counter() - began
            print(f"\n== {name} == ({took_s:.0f} s)\n\n{report.text()}", flush=True)
    if setting.fast:
        print("\nThis was a smoke test: the figures mean nothing.")
    print(f"\nJSON and plots: {arguments.out}")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _run(name: str, setting: Setting) -> Report:
    module: Any = importlib.import_module(f"bench_{name.replace('-', '_')}")
    run: Callable[[Setting], Report] = module.run
    return run(setting)


if __name__ == "__main__":
    sys.exit(main())
