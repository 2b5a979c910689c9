"""What begins anew in a forked child: locks that other threads of the parent may have held, and calls under way."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["restart_in_children"]


class _Restarts(Protocol):
    def start_after_fork(self) -> None: ...


_owners: weakref.WeakSet[_Restarts] = weakref.WeakSet()


def restart_in_children(owner: _Restarts) -> None:
    """Have an object's ``start_after_fork`` called in every child that is forked while it lives.

    Args:
        owner: Kept by a weak reference.
    """
    _owners.add(owner)


def _start_after_fork() -> None:
    for owner in list(_owners):
        owner.start_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_after_fork)
