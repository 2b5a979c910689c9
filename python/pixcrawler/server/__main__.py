"""``python -m pixcrawler.server``: a server for another program, which reads the URL from the first line of stdout."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from pixcrawler.exceptions import PixCrawlerError
from pixcrawler.server.run import serve


def main() -> int:
    """Serve until a signal, or until stdin ends if that is asked for.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m pixcrawler.server", description="Serve a store.")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when the starting process is gone")
    arguments = parser.parse_args()

    def on_ready(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        if arguments.until_stdin_ends:
            threading.Thread(target=_stop_at_end_of_stdin, daemon=True).start()

    try:
        serve(arguments.store, host=arguments.host, port=arguments.port, on_ready=on_ready)
    except PixCrawlerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _stop_at_end_of_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
