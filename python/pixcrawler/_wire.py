"""From the API's JSON to records: unknown fields are ignored, missing ones take defaults, wrong types are named."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from pixcrawler._constants import URL_MAX_CHARACTERS
from pixcrawler.exceptions import ProtocolError
from pixcrawler.records import ChunkRecord, Job, JobStatus, LabelCount

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_INTEGER_MAX = (1 << 63) - 1
_ID_MAX_CHARACTERS = 1024
_STATUSES = {status.value: status for status in JobStatus}


# A value in JSON takes at least this many bytes of a catalogue's text on the average (a chunk of seven fields has 25 a
# field), and up to 100 bytes of memory: `[],` takes 3 and 64.
_TEXT_BYTES_PER_VALUE = 16


class BadJsonError(Exception):
    """A text is not the JSON of the wire contract. Internal; its message holds nothing of the text."""


class TooManyValuesError(Exception):
    """A JSON text would take far more memory than its length. Internal."""


class _Object(dict[str, Any]):
    """A JSON object whose repr hides it: an address in it may be a secret, and a traceback may list variables."""

    def __repr__(self) -> str:
        return f"{{{len(self)} fields}}"


def parse_json(text: bytes, limit_bytes: int) -> Any:
    """Parse an answer, strictly (RFC 8259): no NaN, no number beyond a float's range, no name twice in an object.

    Args:
        text: The answer's body.
        limit_bytes: The answer's allowed length; values count as 16 bytes of it each, so that memory is bounded too.

    Raises:
        BadJsonError: It is not such a text.
        TooManyValuesError: It has more values.
    """
    # Each value but the first in its container follows a comma; the others each have an opening bracket before them.
    values = text.count(b",") + text.count(b"[") + text.count(b"{")
    if values * _TEXT_BYTES_PER_VALUE > limit_bytes:
        message = (
            f"about {values} JSON values, at most {limit_bytes // _TEXT_BYTES_PER_VALUE} are allowed "
            f"(Limits.json_bytes / {_TEXT_BYTES_PER_VALUE})"
        )
        raise TooManyValuesError(message)
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        problem = "its values are nested too deep"
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except json.JSONDecodeError as error:
        problem = f"at character {error.pos} of {len(text)} bytes"
    except ValueError:
        problem = "a number in it is too long"
    # Outside of the handlers: the parser's error would bring the text along.
    message = f"not a JSON document: {problem}"
    raise BadJsonError(message)


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) != len(pairs):
        # Parsers differ in which of them they take (RFC 8259, 4).
        message = "not a JSON document of one meaning: an object has a name twice"
        raise BadJsonError(message)
    return found


def _refuse_constant(name: str) -> NoReturn:
    message = f"not a JSON document: it has the number {name}"
    raise BadJsonError(message)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        message = "not a JSON document that can be read: a number is beyond the range of a float"
        raise BadJsonError(message)
    return number


class _Fields:
    """One JSON object whose fields are read with their types checked. A null counts as missing.

    Args:
        document: What should be an object.
        where: How errors name it.
    """

    def __init__(self, document: Any, where: str) -> None:
        self.where = where
        if not isinstance(document, dict):
            raise self.wrong("", "an object", document)
        self._fields: Mapping[str, Any] = document

    def wrong(self, name: str, expected: str, value: Any) -> ProtocolError:
        """The error for a field of a wrong type; it does not repeat the value, which can be a presigned address."""
        field = f"{self.where}.{name}" if name else self.where
        return ProtocolError(f"{field} must be {expected}, not {_kind(value)}", code="protocol")

    def get(self, name: str) -> Any:
        return self._fields.get(name)

    def text(self, name: str, *, most: int = 65_536) -> str | None:
        value = self._fields.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > most):
            raise self.wrong(name, f"a string of at most {most} characters", value)
        return value

    def required_text(self, name: str, *, most: int) -> str:
        value = self.text(name, most=most)
        if not value:
            raise self.wrong(name, "a string that is not empty", value)
        return value

    def integer(self, name: str, *, least: int = 0) -> int | None:
        value = self._fields.get(name)
        if value is not None and (type(value) is not int or not least <= value <= _INTEGER_MAX):
            raise self.wrong(name, f"an integer from {least}", value)
        return value

    def number(self, name: str) -> float | None:
        value = self._fields.get(name)
        if value is not None and (type(value) not in {int, float} or not 0 <= value <= 100):  # noqa: PLR2004
            raise self.wrong(name, "a number from 0 to 100", value)
        return None if value is None else float(value)

    def time(self, name: str) -> datetime | None:
        value = self._fields.get(name)
        if value is None:
            return None
        try:
            # Python 3.10 does not read the Z.
            when = datetime.fromisoformat(re.sub(r"[zZ]\Z", "+00:00", value))
        except (TypeError, ValueError):
            raise self.wrong(name, "a time in ISO 8601", value) from None
        return when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)

    def items(self, name: str) -> list[Any] | None:
        value = self._fields.get(name)
        if value is not None and not isinstance(value, list):
            raise self.wrong(name, "a list", value)
        return value


def _kind(value: Any) -> str:
    """What a value is, without showing it unless it is a plain number."""
    if value is None:
        return "missing or null"
    if type(value) in {int, float} and abs(value) <= _INTEGER_MAX:
        return str(value)
    names = {
        bool: "a boolean",
        int: "a huge number",
        float: "a huge number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    kind = names.get(type(value), type(value).__name__)
    return kind if not isinstance(value, str) else f"such a string ({len(value)} characters)"


def job_from_json(document: Any, *, where: str, job_id: str | None = None) -> Job:
    """Read one job.

    Args:
        document: The parsed JSON.
        where: How errors name it.
        job_id: The id that was asked for, for answers without one.

    Raises:
        ProtocolError: A field has a wrong type.
    """
    fields = _Fields(document, where)
    found_id = (
        fields.text("id", most=_ID_MAX_CHARACTERS) or job_id or fields.required_text("id", most=_ID_MAX_CHARACTERS)
    )
    # An API may learn further ones: a list of jobs is not to fail for one of them.
    status = _STATUSES.get(fields.text("status") or JobStatus.COMPLETED, JobStatus.UNKNOWN)
    progress = fields.number("progress")
    chunks = fields.items("chunks")
    return Job(
        id=found_id,
        name=fields.text("name") or found_id,
        project_id=fields.text("project_id"),
        status=status,
        progress=(100.0 if status is JobStatus.COMPLETED else 0.0) if progress is None else progress,
        created_at=fields.time("created_at"),
        updated_at=fields.time("updated_at"),
        version=fields.integer("version") or 1,
        num_images=fields.integer("num_images"),
        num_chunks=fields.integer("num_chunks"),
        chunk_size=fields.integer("chunk_size"),
        size_bytes=fields.integer("size_bytes"),
        image_size=_image_size(fields),
        labels=tuple(_label(item, f"{where}.labels[{i}]") for i, item in enumerate(fields.items("labels") or ())),
        tags=tuple(_tag(item, f"{where}.tags[{i}]") for i, item in enumerate(fields.items("tags") or ())),
        chunks=None if chunks is None else chunks_from_json(chunks, where=f"{where}.chunks"),
    )


def _image_size(fields: _Fields) -> tuple[int, int] | None:
    size = fields.items("image_size")
    if size is None:
        return None
    if len(size) != 2 or not all(type(side) is int and 0 < side <= _INTEGER_MAX for side in size):  # noqa: PLR2004
        raise fields.wrong("image_size", "[height, width]", size)
    return size[0], size[1]


def _label(item: Any, where: str) -> LabelCount:
    fields = _Fields(item, where)
    name = fields.text("name")
    if name is None:
        raise fields.wrong("name", "a string", name)
    return LabelCount(name=name, count=fields.integer("count") or 0)


def _tag(item: Any, where: str) -> str:
    if not isinstance(item, str):
        message = f"{where} must be a string, not {_kind(item)}"
        raise ProtocolError(message, code="protocol")
    return item


def chunks_from_json(items: list[Any], *, where: str, first_index: int = 0) -> tuple[ChunkRecord, ...]:
    """Read chunks, in the order of the answer.

    Args:
        items: The parsed JSON.
        where: How errors name the list.
        first_index: Index of the first one if the items carry none.

    Raises:
        ProtocolError: A field has a wrong type, or ``id`` or ``url`` is missing.
    """
    return tuple(_chunk(item, f"{where}[{i}]", first_index + i) for i, item in enumerate(items))


def _chunk(item: Any, where: str, position: int) -> ChunkRecord:
    fields = _Fields(item, where)
    index = fields.integer("index")
    sha256 = fields.text("sha256")
    if sha256 is not None and not _SHA256.match(sha256.lower()):
        raise fields.wrong("sha256", "64 hexadecimal digits", sha256)
    return ChunkRecord(
        id=fields.required_text("id", most=_ID_MAX_CHARACTERS),
        index=position if index is None else index,
        url=fields.required_text("url", most=URL_MAX_CHARACTERS),
        size_bytes=fields.integer("size_bytes"),
        num_images=fields.integer("num_images"),
        sha256=None if sha256 is None else sha256.lower(),
        expires_at=fields.time("expires_at"),
    )


def page_from_json(document: Any, *, where: str) -> tuple[list[Any], int | None]:
    """Read one page of a list.

    Args:
        document: The parsed JSON.
        where: How errors name it.

    Returns:
        (items, total over all pages if told).

    Raises:
        ProtocolError: It is not a page.
    """
    fields = _Fields(document, where)
    items = fields.items("items")
    if items is None:
        raise fields.wrong("items", "a list", None)
    return items, fields.integer("total")
