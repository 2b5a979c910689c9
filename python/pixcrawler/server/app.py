"""The HTTP side of a store: the wire contract, answered from the catalogue and the chunk files."""

from __future__ import annotations

import logging
import os
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from pixcrawler.server.content import FileBytes
from pixcrawler.server.models import (
    ChunkModel,
    ChunkPage,
    ErrorAnswer,
    ErrorModel,
    JobDetailModel,
    JobModel,
    JobPage,
    JobStatus,
)
from pixcrawler.server.ranges import RangeNotSatisfiableError, parse_range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixcrawler.server.store import Store

__all__ = ["create_app"]

MAX_PAGE_SIZE: Final = 500

_MAX_PAGE = 1_000_000_000
_MAX_TEXT = 200

_log = logging.getLogger(__name__)

_bearer = HTTPBearer(auto_error=False, description="A key of this store, pxc_...")


class _ApiError(Exception):
    """An answer that is not a success, on its way to the handler that writes it."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _require_key(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    """Let a request with a valid key pass. Every other gets the same answer, whatever was wrong."""
    several = len(request.headers.getlist("authorization")) > 1
    if credentials is None or several or not _store(request).accepts_key(credentials.credentials):
        message = "A valid key is required: Authorization: Bearer pxc_..."
        raise _ApiError(401, "auth", message, {"WWW-Authenticate": "Bearer"})


def _not_found(what: str) -> _ApiError:
    return _ApiError(404, "not_found", f"There is no such {what}.")


_JobId = Annotated[str, Path(max_length=_MAX_TEXT)]
_PageNumber = Annotated[int, Query(ge=1, le=_MAX_PAGE)]
_PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)]
_Filter = Annotated[str | None, Query(max_length=_MAX_TEXT)]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorAnswer} for status in statuses}


_router = APIRouter(prefix="/api/v1", dependencies=[Depends(_require_key)], responses=_errors(401, 422))


@_router.get("/jobs")
def list_jobs(
    request: Request,
    *,
    project_id: _Filter = None,
    status: JobStatus | None = None,
    tag: _Filter = None,
    page: _PageNumber = 1,
    size: _PageSize = 50,
) -> JobPage:
    """The jobs, newest first."""
    jobs, total = _store(request).catalogue.list_jobs(
        project_id=project_id, status=status, tag=tag, page=page, size=size
    )
    return JobPage(items=[JobModel.of(job) for job in jobs], total=total, page=page, size=size)


@_router.get("/jobs/{job_id}", responses=_errors(404))
def get_job(request: Request, job_id: _JobId) -> JobDetailModel:
    """One job with its chunks. A job that is not completed has none."""
    job = _store(request).catalogue.get_job(job_id, with_chunks=True)
    if job is None:
        raise _not_found("job")
    return JobDetailModel.of(job)


@_router.get("/jobs/{job_id}/chunks", responses=_errors(404))
def list_chunks(request: Request, job_id: _JobId, page: _PageNumber = 1, size: _PageSize = 50) -> ChunkPage:
    """A job's chunks, in order."""
    found = _store(request).catalogue.list_chunks(job_id, page=page, size=size)
    if found is None:
        raise _not_found("job")
    chunks, total = found
    return ChunkPage(items=[ChunkModel.of(chunk) for chunk in chunks], total=total, page=page, size=size)


@_router.head("/chunks/{sha256}.zip", include_in_schema=False)
@_router.get(
    "/chunks/{sha256}.zip",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}}, "description": "The whole chunk."},
        206: {"content": {"application/zip": {}}, "description": "The range asked for."},
        304: {"description": "The client has it already (If-None-Match)."},
        **_errors(404, 416),
    },
)
def get_chunk(request: Request, sha256: _JobId) -> Response:
    """A chunk's bytes, or one range of them. The content of an address never changes."""
    store = _store(request)
    size_bytes = store.catalogue.chunk_size_bytes(sha256)
    if size_bytes is None:
        raise _not_found("chunk")
    etag = f'"{sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Type": "application/zip",
        "X-Content-Type-Options": "nosniff",
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    span = None
    # A Range means something for GET alone (RFC 9110, 14.2), and with If-Range only for the content that it names.
    if request.method == "GET" and request.headers.get("if-range", etag) == etag:
        try:
            ranges = request.headers.getlist("range")
            span = parse_range(ranges[0] if len(ranges) == 1 else None, size_bytes)
        except RangeNotSatisfiableError as error:
            content_range = {"Content-Range": f"bytes */{size_bytes}", "Accept-Ranges": "bytes"}
            raise _ApiError(416, "range_not_satisfiable", str(error), content_range) from None
    start, stop = span or (0, size_bytes)
    headers["Content-Length"] = str(stop - start)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size_bytes}"
    if request.method == "HEAD":
        return Response(status_code=200, headers=headers)
    file = store.chunk_path(sha256).open("rb", buffering=0)
    found_bytes = os.fstat(file.fileno()).st_size
    if found_bytes != size_bytes:
        file.close()
        message = f"chunk {sha256} has {found_bytes} bytes on disk, {size_bytes} in the catalogue"
        raise OSError(message)
    return FileBytes(file, start, stop, status_code=200 if span is None else 206, headers=headers)


def create_app(store: Store) -> FastAPI:
    """The ASGI application of one store.

    Args:
        store: Stays the caller's to close.
    """
    app = FastAPI(
        title="PixCrawler store",
        version="1",
        description="Image datasets as zip chunks of up to 500 images, with byte ranges.",
        # The interactive pages load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            _ApiError: _answer_api_error,
            HTTPException: _answer_http_error,
            RequestValidationError: _answer_bad_parameter,
            Exception: _answer_failure,
        },
    )
    app.state.store = store
    app.include_router(_router)
    return app


def _answer(status: int, error: ErrorModel, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": error.model_dump(exclude_none=True)}, status, headers)


async def _answer_api_error(_request: Request, error: _ApiError) -> Response:
    return _answer(error.status, ErrorModel(code=error.code, message=error.message), error.headers)


async def _answer_http_error(_request: Request, error: HTTPException) -> Response:
    """What the router itself refuses: unknown paths and methods."""
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return _answer(error.status_code, ErrorModel(code=code, message=str(error.detail)), error.headers)


async def _answer_bad_parameter(_request: Request, error: RequestValidationError) -> Response:
    # The names and the rules, never the values: those may be long, or hostile.
    problems = [f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in error.errors()]
    return _answer(422, ErrorModel(code="bad_parameter", message="; ".join(problems)))


async def _answer_failure(request: Request, error: Exception) -> Response:
    """A failure of the server: the client learns an id, the log the rest."""
    error_id = secrets.token_hex(8)
    _log.error("error %s at %s %s: %r", error_id, request.method, request.url.path, error)
    # The framework raises the error again for the log, upon which uvicorn closes the connection: the client must know.
    headers = {"Connection": "close"}
    return _answer(500, ErrorModel(code="server_error", message="The server failed.", id=error_id), headers)
