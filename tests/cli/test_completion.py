"""Completion: what a shell asks for, and, where there is the shell, what it completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli.command import COMMAND, run
from pixcrawler.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_and_what_it_asks_for(shell: str) -> None:
    script = CliRunner().invoke(main, ["completion", shell])
    assert script.exit_code == 0
    assert f"_PIXCRAWLER_COMPLETE={shell}_complete" in script.stdout
    assert "pixcrawler" in script.stdout
    environment = {**os.environ, "_PIXCRAWLER_COMPLETE": f"{shell}_complete", "COMP_CWORD": "1"}
    environment["COMP_WORDS"] = "pixcrawler lo"
    if shell == "fish":
        environment["COMP_CWORD"] = "lo"
    done = run(env=environment)
    assert done.returncode == 0
    assert "login" in done.stdout
    assert "logout" in done.stdout
    assert "list" not in done.stdout


def test_bash_completes(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    program = tmp_path / "pixcrawler"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{COMMAND[2]}" "$@"\n')
    program.chmod(0o755)
    script = """
    eval "$(pixcrawler completion bash)" || exit
    complete -p pixcrawler
    for words in "pixcrawler who" "pixcrawler list --sta" "pixcrawler list --status comp"; do
        COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
        _pixcrawler_completion pixcrawler
        echo "${COMPREPLY[@]}"
    done
    """
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=False, env=environment, timeout=50
    )
    assert done.stdout.splitlines()[1:] == ["whoami", "--status", "completed"], done.stderr


def test_paths_are_left_to_the_shell() -> None:
    for command in ("info", "verify", "pack"):
        environment = {**os.environ, "_PIXCRAWLER_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
        environment["COMP_WORDS"] = f"pixcrawler {command} ./ph"
        assert run(env=environment).stdout.strip() == "file,./ph"
