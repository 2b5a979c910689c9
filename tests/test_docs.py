"""What is documented is true: the README's examples run, its commands exist, every command has help."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from pixcrawler.cli import main
from pixcrawler.options import Options
from support import encode, picture, run_child, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Enough photographs for every number that the README names."""
    members = {
        f"{('cat', 'dog', 'owl')[number % 3]}/{number:03d}.jpg": encode(picture(40 + number % 7, 60, number), "JPEG")
        for number in range(70)
    }
    return write_zip(tmp_path / "photos.zip", members)


# By the method that makes it of a dataset, the framework that an example needs.
FRAMEWORKS = {"to_torch": "torch", "to_tensorflow": "tensorflow", "to_dataframe": "pandas", "to_hf": "datasets"}


def framework_of(block: str) -> str | None:
    methods = re.findall(r"^[^#\n]*\.(to_\w+)\(", block, re.MULTILINE)
    return next((FRAMEWORKS[method] for method in methods if method in FRAMEWORKS), None)


@pytest.fixture
def run_blocks(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[str]], str]]:
    """Runs blocks of the README as one program, with a job, a key and an address that there are for its own."""
    pytest.importorskip("uvicorn")
    from pixcrawler.server.run import ServerProcess
    from pixcrawler.server.store import JobSpec, Store

    store, key = Store.create(tmp_path / "store")
    with store:
        job = store.pack(photos, JobSpec("photos")).job
    monkeypatch.chdir(tmp_path)
    with ServerProcess(tmp_path / "store") as server:

        def run(blocks: list[str]) -> str:
            code = "\n".join(blocks)
            for written, real in (
                ("job_abc123", job.id),
                ('api_key="..."', f'api_key="{key}"'),
                ("http://127.0.0.1:8000", server.url),
            ):
                code = code.replace(written, real)
            return run_child(code, timeout_s=200)

        yield run


def test_the_readmes_examples_run(run_blocks: Callable[[list[str]], str]) -> None:
    blocks = [block for block in python_blocks(README) if framework_of(block) is None]
    assert len(blocks) >= 5
    for written in ("job_abc123", 'api_key="..."', "http://127.0.0.1:8000"):
        assert written in blocks[0]
    printed = run_blocks(["import warnings\nwarnings.simplefilter('error')", *blocks])
    assert "limits this run" in printed


# Each framework in a process of its own, and with nothing but the first line in front of what is pasted.
@pytest.mark.timeout(240)
@pytest.mark.parametrize("framework", sorted({framework_of(block) or "" for block in python_blocks(README)} - {""}))
def test_the_readmes_examples_of_frameworks_run(framework: str, run_blocks: Callable[[list[str]], str]) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"not installed: {framework}")
    blocks = [block for block in python_blocks(README) if framework_of(block) == framework]
    run_blocks(["from pixcrawler import load_dataset", *blocks])


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "examples/README.md",
        "docs/jpeg.md",
        "docs/cli.md",
        "docs/errors.md",
        "docs/formats.md",
        "docs/reliability.md",
    ],
)
def test_links_to_files_lead_somewhere(name: str) -> None:
    path = ROOT / name
    assert path.is_file()
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), f"{name}: {target}"


def test_the_page_of_errors_is_that_of_the_table() -> None:
    path = ROOT / "scripts" / "errors_page.py"
    spec = importlib.util.spec_from_file_location("errors_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == module.page(), "run `make docs`"


def test_the_readmes_table_has_the_arguments_and_their_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)=([^`]*)`", README, re.MULTILINE)
    assert len(rows) >= 8
    options: Any = Options()
    for name, default in rows:
        assert hasattr(options, name), name
        if name not in {"image_size", "limits"}:
            assert repr(getattr(options, name)).strip("'") == default.strip('"'), name


def commands(group: click.Group = main, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of the program, those of groups included."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
class TestCommands:
    def test_has_help(self, name: str, command: click.Command) -> None:
        for flag in ("--help", "-h"):
            result = CliRunner().invoke(main, [*name.split(), flag])
            assert result.exit_code == 0, result.output
            assert command.help
            assert command.help.split("\n")[0].split(".")[0] in " ".join(result.output.split())

    def test_each_option_has_help(self, name: str, command: click.Command) -> None:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"

    def test_is_in_the_readme(self, name: str, command: click.Command) -> None:
        assert f"pixcrawler {name}" in README or f"`{name}`" in README

    def test_is_in_the_page_of_the_command(self, name: str, command: click.Command) -> None:
        assert re.search(rf"`(?:pixcrawler )?{name}\b", (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"))


def test_the_commands_that_users_were_promised() -> None:
    assert {name for name, _ in commands()} >= {
        "completion", "demo", "doctor", "info", "list", "login", "logout", "pack", "serve", "verify", "whoami"
    }  # fmt: skip


def test_the_readme_names_no_command_that_is_not_there() -> None:
    written = set(
        re.findall(
            r"\bpixcrawler ([a-z]+)\b",
            "\n".join(re.findall(r"^    pixcrawler .*$|`pixcrawler [^`]*`", README, re.MULTILINE)),
        )
    )
    assert written <= {name.split()[0] for name, _ in commands()}


def test_the_makefile_lists_the_tasks_that_the_readme_names() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for task in set(re.findall(r"\bmake ([a-z-]+)\b", README)) - {"what"}:
        assert re.search(rf"^{task}:.*##", makefile, re.MULTILINE), task


def test_the_program_itself_has_help_and_a_version() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, _ in commands():
        assert re.search(rf"^  {name.split()[0]}\b", result.output, re.MULTILINE)
