"""The public API as users write it: never run, only type-checked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

from pixcrawler import (
    ArrayFolder,
    ChunkRecord,
    Dataset,
    DatasetInfo,
    DecodedSample,
    DecompressionError,
    DownloadProgress,
    DownloadReport,
    EncodedSample,
    Failure,
    FailureLedger,
    ImageDecodeError,
    Job,
    JobNotCompleteError,
    JobStatus,
    LabelCount,
    Limits,
    NetworkError,
    PixCrawlerClient,
    PixCrawlerError,
    RateLimitError,
    Stats,
    VerifyReport,
    download_dataset,
    load_dataset,
    open_arrays,
    verify_dataset,
)


def train(images: NDArray[np.uint8], labels: list[Any]) -> None: ...


def load() -> None:
    assert_type(load_dataset("job_abc123"), Dataset)
    load_dataset("job_abc123", "key", "http://127.0.0.1:8000", 8, 60.0, verify_ssl=False)
    load_dataset(Path("photos.zip"), image_size=224)
    load_dataset(
        "photos/",
        image_size=(224, 320),
        resize_mode="crop",
        interpolation="lanczos",
        mode="L",
        apply_exif=False,
        draft=True,
        on_error="skip",
        max_failures=0.01,
        on_truncated="keep",
        limits=Limits(pixels=10_000_000),
        memory_limit="512MB",
        decode_threads=4,
        label_fn=lambda member, label, metadata: (member, label, metadata.get("source")),
        allow_private_hosts=True,
    )
    load_dataset("photos/", on_error=only_truncated)
    # What is refused when it runs is refused before it does.
    load_dataset("photos/", resize_mode="fit")  # type: ignore[arg-type]
    load_dataset("photos/", mode="BGR")  # type: ignore[arg-type]
    load_dataset("photos/", image_size="224")  # type: ignore[arg-type]
    load_dataset("photos/", on_error="ignore")  # type: ignore[arg-type]
    load_dataset("photos/", on_error=lambda failure: None)  # type: ignore[arg-type,return-value]
    load_dataset("photos/", resize="crop")  # type: ignore[call-arg]


def only_truncated(failure: Failure) -> Literal["raise", "skip"]:
    return "skip" if failure.code == "truncated_image" else "raise"


def iterate(dataset: Dataset) -> None:
    for image, label in dataset:
        assert_type(image, NDArray[np.uint8])
        assert_type(label, Any)
    for images, labels in dataset.iter_batches(batch_size=64, image_size=224):
        assert_type(images, NDArray[np.uint8])
        assert_type(labels, list[Any])
        train(images, labels)
    for images, _ in dataset.iter_batches(64, drop_last=True, resize_mode="pad", interpolation="bicubic"):
        images[:] = 0
    with dataset.iter_batches(8) as batches:
        next(batches)
    batches.close()
    images, labels = next(iter(dataset.iter_batches()))
    dataset.iter_batches("8")  # type: ignore[arg-type]


def encoded(dataset: Dataset) -> None:
    for sample in dataset.iter_encoded(chunks=[0, 2], probe=True):
        assert_type(sample, EncodedSample)
        assert_type(sample.data, bytes)
        assert_type(sample.metadata, dict[str, Any])
        assert_type(sample.size, tuple[int, int] | None)


def decoded(dataset: Dataset) -> None:
    for sample in dataset.iter_decoded():
        assert_type(sample, DecodedSample)
        assert_type(sample.image, NDArray[np.uint8])
        sample.label = 1  # type: ignore[misc]


def whole(dataset: Dataset) -> None:
    images, labels = dataset.to_arrays()
    assert_type(images, NDArray[np.uint8])
    assert_type(labels, NDArray[Any])


def frames(dataset: Dataset) -> None:
    dataset.to_dataframe()["label"].value_counts()
    dataset.to_dataframe(decode=False).to_parquet("photos.parquet")
    dataset.to_hf().train_test_split(0.2)
    dataset.to_hf(streaming=True).take(3)
    dataset.to_hf(streaming="yes")  # type: ignore[call-overload]


def index(dataset: Dataset) -> None:
    assert_type(dataset[17], tuple[NDArray[np.uint8], Any])
    assert_type(dataset[10:20], list[tuple[NDArray[np.uint8], Any]])
    assert_type(dataset[[1, 5, 3]], list[tuple[NDArray[np.uint8], Any]])
    assert_type(len(dataset), int)
    dataset["a"]  # type: ignore[index]


def describe(dataset: Dataset) -> None:
    assert_type(dataset.info, DatasetInfo)
    assert_type(dataset.info.image_size, tuple[int, int] | None)
    assert_type(dataset.info.labels, tuple[LabelCount, ...])
    assert_type(dataset.classes, tuple[str, ...])
    assert_type(dataset.class_to_idx, dict[str, int])
    assert_type(dataset.num_images, int)
    assert_type(dataset.num_chunks, int)
    assert_type(dataset.chunk_size, int | None)
    assert_type(dataset.stats(), Stats)
    assert_type(dataset.stats().limit, str)
    assert_type(dataset.failures, FailureLedger)
    assert_type(dataset.failures[0], Failure)
    assert_type(dataset.failures[0].stage, Literal["download", "archive", "decode", "limit"])
    assert_type(dataset.kept, FailureLedger)
    assert_type(dataset.failures.counts(), dict[str, int])
    dataset.failures.save("failures.jsonl")
    dataset.failures.to_dataframe().groupby("code").size()
    for failure in dataset.failures:
        assert_type(failure.member, str | None)
    dataset.info.name = "other"  # type: ignore[misc]


def torch_form(dataset: Dataset) -> None:
    samples = dataset.to_torch(transform=lambda image: image.mean())
    assert_type(samples[0][1], int)
    assert_type(len(samples), int)
    assert_type(dataset.to_torch().__getitems__([0, 1]), list[tuple[Any, int]])
    stream = dataset.to_torch(streaming=True, batch_size=64, shuffle=True, seed=1, drop_last=True, layout="NHWC")
    stream.set_epoch(2)
    assert_type(len(stream), int)
    assert_type(iter(stream), Iterator[tuple[Any, Any]])


def close(dataset: Dataset) -> None:
    with dataset as same:
        assert_type(same, Dataset)
    dataset.close()


def client() -> None:
    with PixCrawlerClient("key", base_url="http://127.0.0.1:8000") as api:
        assert_type(api.list_jobs(status="completed", tag="cats"), list[Job])
        api.list_jobs(project_id="pets", status=JobStatus.COMPLETED)
        assert_type(api.check_access(), None)
        job = api.get_job("job_abc123")
        assert_type(job, Job)
        assert_type(job.status, JobStatus)
        assert_type(job.created_at, datetime | None)
        assert_type(job.tags, tuple[str, ...])
        job.status = JobStatus.FAILED  # type: ignore[misc]
        for chunk in api.iter_chunks(job):
            assert_type(chunk, ChunkRecord)


def errors() -> None:
    try:
        load_dataset("job_abc123")
    except JobNotCompleteError as exc:
        assert_type(exc.progress, float | None)
        assert_type(exc.status, str | None)
    except RateLimitError as exc:
        assert_type(exc.retry_after_s, float | None)
    except NetworkError as exc:
        assert_type(exc.retryable, bool)
    except ImageDecodeError as exc:
        assert_type(exc.member, str | None)
    except DecompressionError as exc:
        assert_type(exc.chunk_id, str | None)
    except PixCrawlerError as exc:
        assert_type(exc.code, str)
        assert_type(exc.offset, int | None)
        assert_type(exc.remedy, str)


def download() -> None:
    def show(state: DownloadProgress) -> None:
        assert_type(state.left_s, float | None)

    report = download_dataset("job_abc123", Path("datasets"), "numpy", image_size=(240, 320), on_progress=show)
    assert_type(report, DownloadReport)
    arrays = open_arrays(report.folder)
    assert_type(arrays, ArrayFolder)
    assert_type(arrays[0], tuple[NDArray[np.uint8], Any])
    assert_type(arrays[:8], tuple[NDArray[np.uint8] | list[NDArray[np.uint8]], NDArray[Any]])


def verify() -> None:
    report = verify_dataset("photos.zip", on_truncated="keep", repair_to=Path("repaired"), on_progress=progress)
    assert_type(report, VerifyReport)
    assert_type([problem.member for problem in report.problems], list[str | None])
    assert_type(report.chunks[0].good, int)


def progress(done: int, total: int | None) -> None: ...
