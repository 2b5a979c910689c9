"""The numbers and names that the network side shares, each with its unit and its reason."""

from __future__ import annotations

DEFAULT_BASE_URL = "https://api.pixcrawler.com"
API_PREFIX = "/api/v1"

# Timeouts of one request, in seconds.
DEFAULT_TIMEOUT_S = 300.0
CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 30.0
# A blocked read wakes this often to look whether it was cancelled or its request ran out of time, so that close() takes
# less than a second.
WAKE_S = 0.25

# Bytes taken from a socket at once: a tenth to a fifth less CPU per byte than with 64 KiB (measured, ranges of 4 MiB
# over loopback); beyond 512 KiB page faults eat the gain.
READ_BYTES = 262_144

# Idle connections are kept this long: a consumer that trains between batches comes back after seconds.
KEEPALIVE_S = 30.0

# Retries. The count starts anew whenever bytes advance, so the total time is what bounds a server that trickles.
RETRIES = 3
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 10.0
RETRY_AFTER_MAX_S = 60.0

# The end of a zip: 22 bytes and a comment of at most 65,535 bytes; and a directory of 500 entries fits beside it.
TAIL_BYTES = 65_536

# Items asked for on one page of a list.
PAGE_SIZE = 200

# Longest address followed, in characters.
URL_MAX_CHARACTERS = 8192

# Most items of one list, over all its pages.
ITEMS_MAX = 1_000_000
