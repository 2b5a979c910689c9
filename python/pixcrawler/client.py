"""The API's operations, one method each."""

from __future__ import annotations

import dataclasses
import logging
import math
import multiprocessing.context
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from pixcrawler import _wire
from pixcrawler._constants import API_PREFIX, DEFAULT_TIMEOUT_S, ITEMS_MAX, PAGE_SIZE, SMALL_REQUESTS
from pixcrawler._credentials import Credentials, SecretText, mask, resolve
from pixcrawler._retry import Attempts, Clock, RetryPolicy
from pixcrawler.exceptions import PixCrawlerError, ProtocolError
from pixcrawler.limits import Limits
from pixcrawler.records import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import httpx
    from typing_extensions import Self

    from pixcrawler._http import Http
    from pixcrawler.downloader import Downloader
    from pixcrawler.records import ChunkRecord, Job

__all__ = ["PixCrawlerClient"]

_logger = logging.getLogger("pixcrawler")
# All pages of one list may take this many times the bytes of one answer.
_LIST_ANSWERS = 4
_BEGINNING = datetime.min.replace(tzinfo=timezone.utc)


class PixCrawlerClient:
    """A connection to a PixCrawler API. Thread-safe; safe after fork.

    Args:
        api_key: The key; else the environment's ``PIXCRAWLER_API_KEY``, else that of ``pixcrawler login``. A key is
            sent to the origin of ``base_url`` only; the environment's not if ``PIXCRAWLER_BASE_URL`` has another.
        base_url: The API's address; else ``PIXCRAWLER_BASE_URL``, else that of ``pixcrawler login``, else
            https://api.pixcrawler.com.
        timeout: Total time of one request, in seconds.
        verify_ssl: Check the server's certificate.
        limits: Bounds on untrusted input.
        http_client: Use this httpx client; it is not closed. A client with one cannot be pickled. Its own cookies and
            headers go to the API's origin only. Its connections are its own: names that resolve to private addresses
            are refused before it resolves them again.
        allow_private_hosts: Let a public API point to chunks at private addresses. Behind a proxy, which resolves names
            itself, only literal addresses are judged.
        max_workers: Requests of a pass at once; eight times as many connections are kept alive, for single samples.
        clock: Where time and chance come from; for tests.
        policy: When to give up and when to try again; by default as ``timeout`` says. For tests.

    Raises:
        ValueError: An argument is out of range. A key is never part of the message.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        verify_ssl: bool = True,
        *,
        limits: Limits | None = None,
        http_client: httpx.Client | None = None,
        allow_private_hosts: bool = False,
        max_workers: int = 4,
        clock: Clock | None = None,
        policy: RetryPolicy | None = None,
    ) -> None:
        if not 0 < timeout < math.inf:
            message = f"timeout must be a positive number of seconds, not {timeout!r}"
            raise ValueError(message)
        if not verify_ssl:
            _logger.warning(
                "verify_ssl=False: the server's certificate is not checked, and anybody on the way can read the key"
            )
        self._credentials: Credentials = resolve(api_key, base_url)
        self._timeout_s = float(timeout)
        self._verify_ssl = verify_ssl
        self._limits = limits or Limits()
        self._injected = http_client
        self._allow_private_hosts = allow_private_hosts
        self._max_workers = max_workers
        self._clock = clock or Clock()
        self._policy = policy or RetryPolicy.of_timeout(self._timeout_s)
        self._start()

    def _start(self) -> None:
        from pixcrawler._http import Http

        self._http: Http = Http(
            self._credentials,
            limits=self._limits,
            timeout_s=self._timeout_s,
            policy=self._policy,
            verify_ssl=self._verify_ssl,
            max_connections=self._max_workers * SMALL_REQUESTS,
            http_client=self._injected,
            allow_private_hosts=self._allow_private_hosts,
        )

    @property
    def base_url(self) -> str:
        """The API's address."""
        return self._credentials.base_url

    @property
    def limits(self) -> Limits:
        """Bounds on untrusted input."""
        return self._limits

    def __repr__(self) -> str:
        """The address, with the key masked."""
        return f"PixCrawlerClient(api_key={mask(self._credentials.api_key)}, base_url={self.base_url!r})"

    def __enter__(self) -> Self:
        """This client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the connections. Further calls raise RuntimeError."""
        self._http.close()

    def __getstate__(self) -> dict[str, Any]:
        """All but connections; the key only into a child that multiprocessing is starting: it stays on this machine."""
        if self._injected is not None:
            message = "a client with an http_client cannot be pickled"
            raise TypeError(message)
        state = self.__dict__.copy()
        del state["_http"], state["_credentials"], state["_clock"]
        state["base_url"] = self.base_url
        if multiprocessing.context.get_spawning_popen() is not None:
            state["api_key"] = self._credentials.api_key
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the key from the pickle, else from the environment or the login file."""
        base_url = state.pop("base_url")
        carried = "api_key" in state
        api_key = state.pop("api_key", None)
        self.__dict__.update(state)
        self._credentials = Credentials(api_key, base_url) if carried else resolve(None, base_url)
        self._clock = Clock()
        self._start()

    def list_jobs(
        self, project_id: str | None = None, status: JobStatus | str | None = None, tag: str | None = None
    ) -> list[Job]:
        """All jobs that the key may see; however many pages that takes.

        Args:
            project_id: Only those of this project.
            status: Only those of this status: a :class:`JobStatus` or its text.
            tag: Only those with this tag.

        Returns:
            Newest first, without chunks. The first one's id is what ``load_dataset`` takes.

        Raises:
            ValueError: There is no such status; nothing was asked for.
            AuthenticationError: The key is refused.
            NetworkError: The API cannot be reached, or keeps failing.
            ProtocolError: Its answer breaks the wire contract.
        """
        filters = {"project_id": project_id, "status": _filter_status(status), "tag": tag}
        query = {name: value for name, value in filters.items() if value is not None}
        jobs: dict[str, Job] = {}
        for items, first, where in self._pages("/jobs", query):
            for i, item in enumerate(items, first):
                job = _wire.job_from_json(item, where=f"{where}.items[{i}]")
                jobs.setdefault(job.id, dataclasses.replace(job, chunks=None))
        return sorted(jobs.values(), key=lambda job: job.created_at or _BEGINNING, reverse=True)

    def get_job(self, job_id: str) -> Job:
        """One job, with its chunks if the API embeds them.

        Args:
            job_id: As ``load_dataset`` takes it.

        Raises:
            NotFoundError: There is none of this id.
            AuthenticationError, NetworkError, ProtocolError: As in :meth:`list_jobs`.
        """
        return _wire.job_from_json(self._get(_job_path(job_id))[0], where="job", job_id=job_id)

    def check_access(self) -> None:
        """Make one small request, to see that the API answers and accepts the key.

        Raises:
            AuthenticationError, NetworkError, ProtocolError: As in :meth:`list_jobs`.
        """
        _wire.page_from_json(self._get("/jobs?page=1&size=1")[0], where="the jobs")

    def iter_chunks(self, job: str | Job) -> Iterator[ChunkRecord]:
        """The chunks of a job, in order.

        Args:
            job: A job or its id. A job that holds its chunks costs no request.

        Yields:
            The chunks by index.

        Raises:
            ProtocolError: Two chunks have one id or one index; or as in :meth:`list_jobs`.
            NotFoundError, AuthenticationError, NetworkError: As in :meth:`get_job`.
        """
        if isinstance(job, str):
            job = self.get_job(job)
        chunks = list(job.chunks or ())
        if job.chunks is None:
            for items, first, where in self._pages(f"{_job_path(job.id)}/chunks", {}):
                chunks += _wire.chunks_from_json(items, where=f"{where}.items", first_index=first)
        for field in ("id", "index"):
            if len({getattr(chunk, field) for chunk in chunks}) != len(chunks):
                message = f"two chunks of one job have the same {field}"
                raise ProtocolError(message, code="protocol")
        yield from sorted(chunks, key=lambda chunk: chunk.index)

    def chunk_url(self, chunk: ChunkRecord) -> str:
        """The absolute address of a chunk's bytes; a secret if presigned.

        Args:
            chunk: As the API gave it; an address without a host is taken relative to the base URL.
        """
        try:
            parts = urlsplit(chunk.url)
        except ValueError:
            # Whoever asks for it finds what is wrong with it.
            return SecretText(chunk.url)
        is_absolute = parts.scheme or parts.netloc
        return SecretText(chunk.url if is_absolute else f"{self.base_url}/{chunk.url.lstrip('/')}")

    def downloader(self, job_id: str) -> Downloader:
        """A downloader of one job's chunks over this client's connections.

        Args:
            job_id: The job that expired addresses are asked anew from.
        """
        from pixcrawler.downloader import Downloader

        return Downloader(
            self._http,
            limits=self._limits,
            policy=self._policy,
            clock=self._clock,
            address=self.chunk_url,
            refresh=lambda: self.iter_chunks(job_id),
            max_workers=self._max_workers,
        )

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[tuple[list[Any], int, str]]:
        """(items, index of the first, name for errors) of each page of a list."""
        seen = 0
        page = 0
        left_bytes = _LIST_ANSWERS * self._limits.json_bytes
        while True:
            page += 1
            document, size_bytes = self._get(f"{path}?{urlencode({**query, 'page': page, 'size': PAGE_SIZE})}")
            where = f"page {page} of {path.rpartition('/')[2]}"
            items, total = _wire.page_from_json(document, where=where)
            left_bytes -= size_bytes
            if left_bytes < 0:
                message = f"{where}: all pages have more than {_LIST_ANSWERS} x {self._limits.json_bytes} bytes"
                raise ProtocolError(f"{message} (Limits.json_bytes)", code="answer_too_large")
            if max(seen + len(items), total or 0) > ITEMS_MAX:
                message = f"{where}: {total or 'too many'} items, at most {ITEMS_MAX} are read"
                raise ProtocolError(message, code="protocol")
            yield items, seen, where
            seen += len(items)
            # A server may give shorter pages than asked for; only an empty one ends a list of unknown length.
            if not items or (total is not None and seen >= total):
                return

    def _get(self, path: str) -> tuple[Any, int]:
        attempts = Attempts(self._policy, self._clock)
        while True:
            try:
                return self._http.get_json(f"{self.base_url}{API_PREFIX}{path}")
            except PixCrawlerError as error:
                attempts.failed(error)


def _filter_status(status: JobStatus | str | None) -> str | None:
    known = [one.value for one in JobStatus if one is not JobStatus.UNKNOWN]
    if status is not None and status not in known:
        message = f"status must be one of {', '.join(known)}, not {str(status)!r}"
        raise ValueError(message)
    return None if status is None else str(status)


def _job_path(job_id: str) -> str:
    if job_id in {"", ".", ".."}:
        message = f"job_id must be the id of a job, not {job_id!r}"
        raise ValueError(message)
    return f"/jobs/{quote(job_id, safe='')}"
