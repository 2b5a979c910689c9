"""The numbers and names that the network side shares, each with its unit and its reason."""

from __future__ import annotations

DEFAULT_BASE_URL = "https://api.pixcrawler.com"
API_PREFIX = "/api/v1"

# Timeouts of one request, in seconds.
DEFAULT_TIMEOUT_S = 300.0
CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 30.0
# An attempt whose answer brings fewer bytes than this in such a time has a server that trickles (curl's --speed-limit
# and --speed-time): 1 kB/s. Four requests that share an honest line of 20 kB/s get five times as much.
SLOW_TIME_S = 30.0
SLOW_BYTES = 30_000
# A blocked read wakes this often to look whether it was cancelled or its request ran out of time, so that close() takes
# less than a second.
WAKE_S = 0.25

# Of single samples this many times the requests of a pass are under way at once, and connections are kept for them:
# theirs are 50 kB each, not 4 MiB, and at 20 ms of latency a batch of 64 is one round of waiting or two, not sixteen.
SMALL_REQUESTS = 8

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

# Ranges in a row whose retries are used up, none having come between them: of a chunk, then its rest is not asked for;
# of a run, then the server is down, and the run ends. With many requests at once one short outage hits them all, so a
# run may have at least twice as many as it has requests at once.
CHUNK_GIVEN_UP = 2
RUN_GIVEN_UP = 8

# The end of a zip: 22 bytes and a comment of at most 65,535 bytes; and a directory of 500 entries fits beside it.
TAIL_BYTES = 65_536

# Items asked for on one page of a list.
PAGE_SIZE = 200

# Longest address followed, in characters.
URL_MAX_CHARACTERS = 8192

# Most items of one list, over all its pages.
ITEMS_MAX = 1_000_000
