"""Writes docs/errors.md: the package's table of error codes. Run it (``make docs``) when a code changes."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from pixcrawler import codes

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

HEAD = """\
# Errors

Every error is a subclass of `pixcrawler.PixCrawlerError` and carries a stable `code`: it is the last word in brackets
of the message, `error.code` of the exception and `failure.code` in `dataset.failures`. A message says where (chunk,
member, byte), what the code means, what was expected and what was found, and what to do next. `error.retryable` says
whether the same request may succeed later. All errors pickle with all their fields.

With `on_error="raise"` the first bad sample raises; with `on_error="skip"` bad samples and chunks are left out and
recorded in `dataset.failures` under these codes. This page is made from the table in the code (`make docs`).
"""


def page() -> str:
    """The page's text."""
    entries = sorted(codes.table().items(), key=lambda item: (item[1].exception, item[0]))
    parts = [HEAD]
    for exception, group in groupby(entries, key=lambda item: item[1].exception):
        parts.append(f"## {exception}\n\n| code | means | what to do |\n| ---- | ----- | ---------- |")
        parts.append("\n".join(f"| `{code}` | {entry.cause} | {entry.remedy} |" for code, entry in group) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: {len(codes.table())} codes")
