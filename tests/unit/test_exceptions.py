"""Errors: the tree, what they say, and that they cross process boundaries whole."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from pixcrawler import exceptions
from pixcrawler.exceptions import (
    ArchiveError,
    DownloadError,
    JobNotCompleteError,
    NetworkError,
    PixCrawlerError,
    ProtocolError,
    RateLimitError,
    escape,
)

CLASSES = [getattr(exceptions, name) for name in exceptions.__all__]
BUILT_IN = {
    "AuthenticationError": PermissionError,
    "NotFoundError": LookupError,
    "JobNotCompleteError": RuntimeError,
    "NetworkError": ConnectionError,
    "RateLimitError": ConnectionError,
    "ProtocolError": ValueError,
    "DownloadError": OSError,
    "IntegrityError": OSError,
    "DecompressionError": ValueError,
    "ArchiveError": ValueError,
    "ImageDecodeError": ValueError,
    "UnsupportedImageError": ValueError,
    "LimitError": ValueError,
    "ImageSizeError": ValueError,
    "TooManyFailuresError": RuntimeError,
}


def make(kind: type[PixCrawlerError]) -> PixCrawlerError:
    if kind is JobNotCompleteError:
        return JobNotCompleteError("is running", status="running", progress=41.5)
    if issubclass(kind, NetworkError):
        return kind("no answer", code="connection", chunk_id="chunk-7", retryable=True, retry_after_s=2.5)
    return kind("expected 5, got 3", code="crc", chunk_id="chunk-7", member="cat/1.jpg", offset=12, retryable=True)


def test_all_public_classes_are_listed() -> None:
    found = {
        name for name, value in vars(exceptions).items() if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert found == set(exceptions.__all__)


def test_tree_in_the_docstring_names_every_class() -> None:
    assert all(name in (exceptions.__doc__ or "") for name in exceptions.__all__)


@pytest.mark.parametrize(("name", "built_in"), BUILT_IN.items())
def test_inherits_the_built_in(name: str, built_in: type[Exception]) -> None:
    kind = getattr(exceptions, name)
    assert issubclass(kind, built_in)
    assert issubclass(kind, PixCrawlerError)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_keep_all_fields(kind: type[PixCrawlerError], duplicate: object) -> None:
    error = make(kind)
    assert callable(duplicate)
    twin = duplicate(error)
    assert type(twin) is kind
    assert vars(twin) == vars(error)
    assert twin.args == error.args
    assert str(twin) == str(error)


def test_subclass_fields_survive_pickling() -> None:
    job = pickle.loads(pickle.dumps(make(JobNotCompleteError)))
    assert (job.status, job.progress) == ("running", 41.5)
    assert pickle.loads(pickle.dumps(make(RateLimitError))).retry_after_s == 2.5


def test_text_says_where_cause_detail_code_remedy_in_this_order() -> None:
    error = DownloadError("expected 5, got 3", code="short_body", chunk_id="c1", member="cat/1.jpg", offset=12)
    assert str(error) == (
        "chunk c1, member cat/1.jpg, byte 12: The answer ended too early: expected 5, got 3 [short_body]. "
        "Try again later; if it stays, ask whoever runs the server."
    )


def test_unknown_code_is_no_second_error() -> None:
    assert str(PixCrawlerError("detail", code="from_the_future")) == "detail [from_the_future]."


@pytest.mark.parametrize("nasty", ["\x1b[31m", "a\nb", "\u202e", "\ud800", "\x00", "\x9b"])
def test_control_characters_are_escaped(nasty: str) -> None:
    text = str(ArchiveError(f"d{nasty}", code="crc", chunk_id=f"c{nasty}", member=f"m{nasty}"))
    assert text.isprintable()
    assert text.encode("utf-8")


def test_long_names_are_cut_in_the_text_only() -> None:
    error = ArchiveError("x", code="crc", member="n" * 65_535)
    assert len(str(error)) < 1000
    assert error.member == "n" * 65_535


def test_escape_leaves_plain_text_alone() -> None:
    assert escape("grüße/猫 1.jpg") == "grüße/猫 1.jpg"


def test_with_place_fills_in_and_keeps_what_is_known() -> None:
    error = ArchiveError("x", code="crc", member="a.jpg")
    assert error.with_place(chunk_id="c", member="b.jpg") is error
    assert (error.chunk_id, error.member) == ("c", "a.jpg")


def test_protocol_error_is_a_network_error() -> None:
    assert issubclass(ProtocolError, NetworkError)
