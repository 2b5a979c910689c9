"""The process in which :mod:`oracle` has chunks read: one JSON request a line on stdin, one JSON answer on stdout."""

from __future__ import annotations

import gc
import hashlib
import json
import pickle
import resource
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pixcrawler import PixCrawlerError, load_dataset
from pixcrawler.limits import Limits
from support import decode_one, encode, make_decoder, member_name, picture

GOOD = encode(picture(40, 50), "JPEG")
THREADS = (1, 2, 3)


def read_status(field: str) -> int:
    """A field of /proc/self/status, in its own unit (kB for memory)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)


def open_descriptors() -> int:
    """Open files and sockets, without the one that lists them."""
    return len(list(Path("/proc/self/fd").iterdir())) - 1


def describe(error: PixCrawlerError) -> dict[str, Any]:
    """An error's fields and text, after a trip through pickle that must change nothing."""
    copy = pickle.loads(pickle.dumps(error))
    if type(copy) is not type(error) or vars(copy) != vars(error) or str(copy) != str(error):
        message = f"{error!r} does not pickle whole"
        raise AssertionError(message)
    return {
        "type": type(error).__name__,
        "code": error.code,
        "chunk_id": error.chunk_id,
        "member": error.member,
        "offset": error.offset,
        "retryable": error.retryable,
        "detail": error.detail,
        "text": str(error),
        "cause": error.cause,
        "remedy": error.remedy,
    }


def digest(image: Any) -> list[Any]:
    """Shape and a hash of the pixels."""
    return [list(image.shape), hashlib.blake2b(np.ascontiguousarray(image), digest_size=8).hexdigest()]


def read_pass(path: str, options: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One pass: what was delivered in order, the failures, and the error that ended it."""
    delivered: list[Any] = []
    failures: list[Any] = []
    error = None
    try:
        with load_dataset(path, label_fn=member_name, **options, **more) as dataset:
            try:
                for image, member in dataset:
                    delivered.append([member, *digest(image)])
            finally:
                failures = [[f.chunk_id, f.member, f.code, f.reason, f.num_samples] for f in dataset.failures]
    except PixCrawlerError as exc:
        error = describe(exc)
    return {"delivered": delivered, "failures": failures, "error": error}


def find_stale(path: str, options: dict[str, Any]) -> list[str]:
    """Members whose pixels depend on what the memory held before."""
    known = {"mode", "image_size", "resize_mode", "interpolation", "apply_exif", "draft", "limits"}
    chosen = {name: value for name, value in options.items() if name in known}
    decoder = make_decoder(**chosen, keep_truncated=options.get("on_truncated") == "keep")
    stale = []
    with load_dataset(path, on_error="skip", limits=options.get("limits")) as dataset:
        source = dataset._source  # what no public call shows: two decodes of the same bytes
        for chunk in source.chunks:
            try:
                members = source.open(chunk)
            except PixCrawlerError:
                continue
            directory = members.directory
            for index in directory.samples:
                start, stop = directory.extent(index)
                try:
                    item = (source.read(chunk, start, stop), start, directory, index)
                except PixCrawlerError:
                    continue
                (size,) = decoder.probe([item])
                if isinstance(size, PixCrawlerError) or size[0] * size[1] > 4_000_000:
                    continue
                channels = {"RGB": 3, "L": 1, "RGBA": 4}[str(chosen.get("mode", "RGB"))]
                outs = []
                for fill in (0x00, 0xFF):
                    out = np.full((1, *size, channels), fill, np.uint8)
                    (error,) = decoder.decode_into([item], out)
                    outs.append(None if isinstance(error, PixCrawlerError) else out)
                if (outs[0] is None) != (outs[1] is None) or (outs[0] is not None and not np.array_equal(*outs)):
                    stale.append(directory.name(index))
    return stale


def examine(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Everything that is asked of one chunk."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before_kb = read_status("VmRSS")
    descriptors, threads = open_descriptors(), threading.active_count()
    began = time.perf_counter()
    answer = read_pass(path, options, on_error="skip", decode_threads=THREADS[1])
    answer["seconds"] = time.perf_counter() - began
    answer["growth_bytes"] = (read_status("VmHWM") - before_kb) * 1024
    answer["raised"] = read_pass(path, options, on_error="raise", decode_threads=THREADS[1])
    answer["differs_with_threads"] = [
        count
        for count in THREADS
        if read_pass(path, options, on_error="skip", decode_threads=count)
        != {key: answer[key] for key in ("delivered", "failures", "error")}
    ]
    answer["stale"] = [] if answer["error"] else find_stale(path, options)
    time.sleep(0.1)
    gc.collect()
    answer["descriptors"] = [descriptors, open_descriptors()]
    answer["threads"] = [threads, threading.active_count()]
    return answer


def main() -> None:
    warnings.simplefilter("ignore")
    expected = decode_one(GOOD)
    cap = read_status("VmSize") * 1024 + (int(sys.argv[1]) << 20)
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        options = request["options"]
        if "limits" in options:
            options["limits"] = Limits(**options["limits"])
        if isinstance(options.get("image_size"), list):
            options["image_size"] = tuple(options["image_size"])
        try:
            answer = examine(request["path"], options)
            answer["decodes_still"] = bool(np.array_equal(decode_one(GOOD), expected))
        except BaseException:  # noqa: BLE001 - told to the parent, which fails the test
            answer = {"untyped": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
