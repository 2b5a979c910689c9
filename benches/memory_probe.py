"""A fresh process that streams a dataset once and tells its peak memory. Started by a benchmark."""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from pathlib import Path

import httpx
import numpy as np
from throttled_server import JOB_ID

from pixcrawler import _native, load_dataset


def status_bytes(name: str) -> int:
    """A field of the kernel's account of this process, such as VmRSS."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--memory-limit", required=True)
    parser.add_argument("--size", type=int, help="batches of 64 images of this size; without it images as they are")
    arguments = parser.parse_args()
    # What users have in memory anyway: the interpreter and its modules. Naming one that loads on first use loads it.
    _ = (np.ndarray, httpx.Client, _native.Decoder)
    before = max(status_bytes("VmHWM"), status_bytes("VmRSS"))
    count, crc = 0, 0
    with load_dataset(JOB_ID, "key", base_url=arguments.url, memory_limit=arguments.memory_limit) as dataset:
        if arguments.size:
            for images, labels in dataset.iter_batches(64, image_size=arguments.size):
                crc = zlib.crc32(images.data, crc)
                count += len(labels)
        else:
            for image, _ in dataset:
                crc = zlib.crc32(image.data, crc)
                count += 1
    peak = status_bytes("VmHWM")
    sys.stdout.write(json.dumps({"before": before, "peak": peak, "images": count, "crc": crc}) + "\n")


if __name__ == "__main__":
    main()
