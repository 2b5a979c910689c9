"""The table of error codes: each code is spelled once, here or in the native core's table of the same form.

This module holds what goes wrong with the network, the API and local files; ``rust/core/src/error.rs`` holds what can
be wrong with the bytes of a chunk or an image. Imports nothing heavy: every error message looks its code up here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

__all__ = ["CodeEntry", "lookup", "table"]


class CodeEntry(NamedTuple):
    """What one code means.

    Attributes:
        exception: Name of the class in :mod:`pixcrawler.exceptions`, or in :mod:`pixcrawler.barecat.exceptions`.
        cause: What it means, one sentence.
        remedy: What to do about it, one sentence.
    """

    exception: str
    cause: str
    remedy: str


_LATER = "Try again later; if it stays, ask whoever runs the server."
_TRUSTED = "if the source is trusted."

_PYTHON_CODES: dict[str, CodeEntry] = {
    # The API's answer.
    "auth": CodeEntry(
        "AuthenticationError",
        "The API key is missing or wrong.",
        "Pass api_key=..., set PIXCRAWLER_API_KEY, or run `pixcrawler login`.",
    ),
    "login_file": CodeEntry(
        "AuthenticationError",
        "The file of `pixcrawler login` is broken.",
        "Run `pixcrawler login` again, or `pixcrawler logout`, which removes it.",
    ),
    "key_file": CodeEntry(
        "AuthenticationError",
        "The file of the API key cannot be used.",
        "Correct --api-key-file or PIXCRAWLER_API_KEY_FILE; the file's first line is the key.",
    ),
    "forbidden": CodeEntry(
        "AuthenticationError",
        "The server refuses access.",
        "Use a key that may read this dataset; if a link has expired, load the dataset again.",
    ),
    "not_found": CodeEntry(
        "NotFoundError",
        "The server has no such thing.",
        "Check the job's id and the base URL; `pixcrawler list` shows the jobs there are.",
    ),
    "path_not_found": CodeEntry("NotFoundError", "There is no such file or folder.", "Check the path."),
    "job_not_complete": CodeEntry(
        "JobNotCompleteError",
        "The job has no finished dataset.",
        "Wait until its status is completed; a failed or cancelled job has to be run again.",
    ),
    "rate_limited": CodeEntry(
        "RateLimitError",
        "The server asks to wait longer than is allowed, or keeps asking.",
        "Try again later, or lower max_workers.",
    ),
    "server_error": CodeEntry("NetworkError", "The server failed.", _LATER),
    "refused": CodeEntry(
        "NetworkError", "The server refuses the request.", "Check the base URL and this package's version."
    ),
    "protocol": CodeEntry(
        "ProtocolError",
        "The server's answer breaks the wire contract.",
        "Check that the base URL is that of a PixCrawler API; if it is, report the answer to whoever runs it.",
    ),
    "answer_too_large": CodeEntry(
        "ProtocolError",
        "The API's answer is larger than the limit allows.",
        f"Raise Limits.json_bytes {_TRUSTED}",
    ),
    # The way there.
    "connection": CodeEntry(
        "NetworkError",
        "The server cannot be reached, or closed the connection.",
        "Check the network, the base URL and any proxy; try again.",
    ),
    "timeout": CodeEntry(
        "NetworkError", "The server took too long.", "Try again, or raise timeout=... on a slow network."
    ),
    "tls": CodeEntry(
        "NetworkError",
        "The server's certificate is not trusted, or the TLS handshake failed.",
        "Check the host name; for a private authority set SSL_CERT_FILE.",
    ),
    "redirect": CodeEntry(
        "NetworkError", "A redirect was refused.", "Use the final https address, or ask whoever runs the server."
    ),
    "private_host": CodeEntry(
        "NetworkError",
        "A public API points to a private address.",
        "Pass allow_private_hosts=True if the API is trusted and this is meant.",
    ),
    "proxy": CodeEntry(
        "NetworkError",
        "The proxy that the environment names cannot be used.",
        "Correct http_proxy, https_proxy or all_proxy, or name the host in no_proxy.",
    ),
    "bad_url": CodeEntry("NetworkError", "The address cannot be used.", "Use an http or https address."),
    "closed": CodeEntry("NetworkError", "The download was cancelled.", "Open the dataset again."),
    "server_down": CodeEntry(
        "DownloadError",
        "Downloads fail one after the other, so the pass was ended.",
        "Check the network and the server, then begin a new pass.",
    ),
    # A chunk's bytes.
    "download_failed": CodeEntry("DownloadError", "The chunk could not be downloaded.", _LATER),
    "range_mismatch": CodeEntry("DownloadError", "The server sent other bytes than those asked for.", _LATER),
    "short_body": CodeEntry("DownloadError", "The answer ended too early.", _LATER),
    "file_io": CodeEntry(
        "DownloadError", "A local file cannot be read.", "Check the file, its permissions and the disk."
    ),
    "chunk_integrity": CodeEntry(
        "IntegrityError",
        "The chunk's size or SHA-256 is not the catalogue's.",
        "Try again; if it stays, pack the chunk again or update the catalogue.",
    ),
    "chunk_changed": CodeEntry(
        "IntegrityError", "The chunk was replaced on the server while it was read.", "Load the dataset again."
    ),
    "image_count": CodeEntry(
        "IntegrityError",
        "The chunk holds another number of images than the catalogue says.",
        "Load the dataset again; if it stays, update the catalogue.",
    ),
    "file_changed": CodeEntry(
        "IntegrityError", "A local file changed while it was read.", "Load the dataset again when nothing writes to it."
    ),
    "download_damaged": CodeEntry(
        "IntegrityError",
        "Files of a download are missing, or have changed since.",
        "Download it again with force (--force); of the format zip the same command fetches what is damaged.",
    ),
    "metadata": CodeEntry(
        "ArchiveError", "The chunk's metadata.jsonl breaks the convention.", "Correct it and pack the chunk again."
    ),
    # A store.
    "store_version": CodeEntry(
        "StoreError",
        "The store was made by another version.",
        "Use the version that made it, or pack into a new store.",
    ),
    "store_corrupt": CodeEntry(
        "StoreError", "The store's catalogue is broken.", "Restore it from a copy, or pack anew."
    ),
    "store_exists": CodeEntry("StoreError", "There is a store already.", "Choose another folder, or open it."),
    "store_busy": CodeEntry("StoreError", "Another process packs into this store.", "Wait for it to end."),
    "no_images": CodeEntry("StoreError", "There is no image to pack.", "Check the folder; content tells images."),
    "address": CodeEntry(
        "StoreError", "The server cannot listen there.", "Choose another host or port (0: a free one)."
    ),
    "server_start": CodeEntry("StoreError", "The server's process did not start.", "See what it printed above."),
    # An archive.
    "archive": CodeEntry("BarecatError", "The archive does not allow this.", "See the detail."),
    "archive_exists": CodeEntry(
        "FileExistsBarecatError", "There is an archive already.", "Choose another name, or pass overwrite=True."
    ),
    "archive_not_found": CodeEntry(
        "FileNotFoundBarecatError", "There is no such archive.", "Check the path, or pass readonly=False to make one."
    ),
    "archive_version": CodeEntry(
        "BarecatError", "The archive's index has a schema that is not read.", "Upgrade the archive, or this package."
    ),
    "archive_locked": CodeEntry(
        "BarecatError", "Another process writes to the archive.", "Wait until it has closed the archive, and try again."
    ),
    "archive_index": CodeEntry(
        "BarecatIntegrityError", "The archive's index is broken.", "Restore it from a copy, or make the archive anew."
    ),
    "foreign_archive": CodeEntry(
        "BarecatIntegrityError", "The tar or zip is broken, or ends too early.", "Fetch or make it anew."
    ),
    "entry_exists": CodeEntry(
        "FileExistsBarecatError", "The archive has an entry of that path.", "Delete it first, or choose another path."
    ),
    "entry_not_found": CodeEntry(
        "FileNotFoundBarecatError", "The archive has no entry of that path.", "Check the path."
    ),
    "entry_is_directory": CodeEntry("IsADirectoryBarecatError", "The path is a directory's.", "Name a file."),
    "entry_not_directory": CodeEntry(
        "NotADirectoryBarecatError", "The path, or one that it lies below, is a file's.", "Choose another path."
    ),
    "directory_not_empty": CodeEntry(
        "DirectoryNotEmptyBarecatError", "The directory has entries.", "Remove them first, or use rmtree."
    ),
    "no_space": CodeEntry("NotEnoughSpaceBarecatError", "The disk is full.", "Free some space and try again."),
    "file_too_large": CodeEntry(
        "FileTooLargeBarecatError", "The file is larger than a shard may be.", "Raise shard_size_limit."
    ),
    # Limits and budgets.
    "limit_chunk": CodeEntry(
        "LimitError", "The chunk is larger than the limit allows.", f"Raise Limits.chunk_bytes {_TRUSTED}"
    ),
    "memory": CodeEntry(
        "LimitError",
        "The result is larger than the memory available.",
        "Iterate over batches instead, or pass a smaller image_size.",
    ),
    "too_many_failures": CodeEntry(
        "TooManyFailuresError",
        "More samples failed than max_failures allows.",
        "Look at dataset.failures; raise max_failures if that many are acceptable.",
    ),
    # Promises of this package.
    "accounting": CodeEntry(
        "InternalError",
        "A pass lost or repeated samples.",
        "Report it with the dataset; the images delivered were those that their labels say.",
    ),
}


@lru_cache(maxsize=1)
def table() -> dict[str, CodeEntry]:
    """All codes, those of the native core included.

    Returns:
        code -> (exception class name, cause, remedy).
    """
    from pixcrawler import _native

    merged = {code: CodeEntry(*entry) for code, entry in _native.error_codes().items()}
    merged.update(_PYTHON_CODES)
    return merged


def lookup(code: str) -> CodeEntry | None:
    """What one code means, or None for one that this version does not know (an error unpickled from another version).

    Args:
        code: The code of an error.
    """
    return _PYTHON_CODES.get(code) or table().get(code)
