"""The table of codes: complete, consistent, spelled once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pixcrawler import _native, codes, exceptions
from pixcrawler.barecat import exceptions as archive_exceptions

PACKAGE = Path(codes.__file__).parent


def test_every_code_names_a_class_a_cause_and_a_remedy() -> None:
    for code, entry in codes.table().items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
        if code != "interrupted":
            home = archive_exceptions if "Barecat" in entry.exception else exceptions
            assert issubclass(getattr(home, entry.exception), exceptions.PixCrawlerError), code
        assert entry.cause.endswith("."), code
        assert entry.remedy.endswith("."), code


def test_an_interrupted_call_is_a_keyboard_interrupt() -> None:
    assert codes.table()["interrupted"].exception == "KeyboardInterrupt"


def test_no_code_is_in_both_tables() -> None:
    own = {code for code in codes.table() if code not in _native.error_codes()}
    assert len(own) + len(_native.error_codes()) == len(codes.table())
    assert not own & set(_native.error_codes())
    assert {"auth", "download_failed", "chunk_integrity"} <= own


def test_lookup_of_native_and_unknown_codes() -> None:
    crc = codes.lookup("crc")
    assert crc is not None
    assert crc.exception == "ArchiveError"
    assert codes.lookup("no_such_code") is None


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_code_raised_in_the_package_is_in_the_table(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # The store's own errors are the server's business.
    if "server" not in path.relative_to(PACKAGE).parts:
        assert set(re.findall(r'\bcode="([a-z0-9_]+)"', text)) <= set(codes.table())
