"""Records, limits, and the reading of the wire contract into them."""

from __future__ import annotations

import dataclasses
import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler import _wire
from pixcrawler.exceptions import ProtocolError
from pixcrawler.limits import Limits
from pixcrawler.records import ChunkRecord, Job, JobStatus, LabelCount

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = {
    "id": "c0",
    "index": 0,
    "url": "https://h/c0.zip?sig=secret",
    "size_bytes": 9,
    "num_images": 2,
    "sha256": "A" * 64,
}
JOB: dict[str, Any] = {
    "id": "j1",
    "name": "Cats",
    "project_id": "p",
    "status": "completed",
    "progress": 100,
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:04:05.5+02:00",
    "version": 3,
    "num_images": 2,
    "num_chunks": 1,
    "chunk_size": 500,
    "size_bytes": 9,
    "image_size": [32, 64],
    "labels": [{"name": "cat", "count": 2}],
    "tags": ["a", "b"],
    "chunks": [CHUNK],
    "a_field_of_the_future": {"x": 1},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(JOB) + list(CHUNK)), inner, max_size=4)
    ),
    max_leaves=8,
)


def test_full_job() -> None:
    job = _wire.job_from_json(JOB, where="job")
    assert job.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert job.updated_at is not None
    assert job.updated_at.utcoffset() == timedelta(hours=2)
    assert (job.image_size, job.labels, job.tags) == ((32, 64), (LabelCount("cat", 2),), ("a", "b"))
    assert (job.progress, job.version, job.num_images, job.chunk_size) == (100.0, 3, 2, 500)
    assert job.chunks == (ChunkRecord("c0", 0, "https://h/c0.zip?sig=secret", 9, 2, "a" * 64),)


def test_a_status_is_its_text_as_well() -> None:
    job = _wire.job_from_json(JOB, where="job")
    assert job.status is JobStatus.COMPLETED
    assert job.status == "completed"
    assert (str(job.status), f"{job.status}", f"{job.status:>10}") == ("completed", "completed", " completed")
    assert json.dumps({"status": job.status}) == '{"status": "completed"}'
    assert {job.status: 1}["completed"] == 1
    assert pickle.loads(pickle.dumps(job)).status is JobStatus.COMPLETED
    assert JobStatus("failed") is JobStatus.FAILED
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.status = JobStatus.FAILED  # type: ignore[misc]


@pytest.mark.parametrize("status", ["paused", "Completed", "\x1b[31m", "unknown"])
def test_a_status_of_the_future_fails_no_list(status: str) -> None:
    job = _wire.job_from_json({"status": status, "progress": 30}, where="job", job_id="j")
    assert (job.status, job.progress) == (JobStatus.UNKNOWN, 30.0)


def test_missing_fields_take_the_documented_defaults() -> None:
    assert _wire.job_from_json({}, where="job", job_id="j") == Job(id="j", name="j", progress=100.0)
    assert _wire.job_from_json({"status": "running"}, where="job", job_id="j").progress == 0.0
    assert _wire.job_from_json({"name": None, "labels": None}, where="job", job_id="j") == Job("j", "j", progress=100.0)
    chunks = _wire.chunks_from_json([{"id": "a", "url": "u"}, {"id": "b", "url": "v"}], where="c", first_index=7)
    assert [chunk.index for chunk in chunks] == [7, 8]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 3),
        ("status", ["completed"]),
        ("progress", "50"),
        ("progress", True),
        ("progress", 101),
        ("progress", float("nan")),
        ("created_at", "yesterday"),
        ("created_at", 5),
        ("version", "1"),
        ("num_images", -1),
        ("num_images", 2.0),
        ("num_images", 10**400),
        ("num_chunks", False),
        ("image_size", [1]),
        ("image_size", [0, 5]),
        ("image_size", "32x32"),
        ("labels", {"cat": 1}),
        ("labels", ["cat"]),
        ("labels", [{"name": 1}]),
        ("tags", [1]),
        ("chunks", {}),
        ("chunks", [1]),
    ],
)
def test_wrong_type_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(ProtocolError, match=rf"job\.{field}") as caught:
        _wire.job_from_json({**JOB, field: value}, where="job")
    assert caught.value.code == "protocol"


@pytest.mark.parametrize("field", ["id", "url"])
def test_chunk_without_what_it_needs(field: str) -> None:
    with pytest.raises(ProtocolError, match=rf"chunks\[0\]\.{field}"):
        _wire.chunks_from_json([{name: value for name, value in CHUNK.items() if name != field}], where="chunks")


def test_wrong_sha256_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ProtocolError) as caught:
        _wire.chunks_from_json([{**CHUNK, "sha256": "canary"}], where="chunks")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "read",
    [
        lambda document: _wire.job_from_json(document, where="job"),
        lambda document: _wire.chunks_from_json([document], where="chunks"),
        lambda document: _wire.page_from_json(document, where="page"),
    ],
    ids=["job", "chunk", "page"],
)
@given(document=JSON)
def test_any_json_is_a_record_or_a_protocol_error(read: Callable[[Any], object], document: Any) -> None:
    try:
        read(document)
    except ProtocolError as error:
        assert str(error).isprintable()  # noqa: PT017  (both outcomes are right)


def test_a_presigned_address_is_not_in_the_repr() -> None:
    assert "secret" not in repr(_wire.job_from_json(JOB, where="job"))
    assert "secret" not in repr(_wire.job_from_json(JOB, where="job").chunks)


def test_records_are_immutable_and_pickle() -> None:
    job = _wire.job_from_json({**JOB, "chunks": [{**CHUNK, "url": "https://h/c0.zip"}]}, where="job")
    assert pickle.loads(pickle.dumps(job)) == job
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.name = "x"  # type: ignore[misc]


def test_limits_refuse_what_is_no_limit() -> None:
    with pytest.raises(ValueError, match=r"Limits\.pixels must be from 0"):
        Limits(pixels=-1)
    with pytest.raises(ValueError, match=r"Limits\.scans"):
        Limits(scans=1 << 32)
    with pytest.raises(TypeError, match=r"Limits\.entries must be an int"):
        Limits(entries=1.5)  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(Limits(pixels=5))) == Limits(pixels=5)
