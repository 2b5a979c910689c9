"""The local store and its server: ``app`` -> ``store`` -> (``pack``, ``catalogue``).

A store is a folder: ``store.sqlite`` (jobs, chunks, labels, tags, projects, hashes of keys) and
``chunks/<sha256>.zip``. Nothing here imports the dataset side of the package; packing needs no web framework, serving
needs the extra ``server``.
"""

from __future__ import annotations
