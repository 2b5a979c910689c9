"""The package as it is installed: versions agree, nothing is missing, the wheel fits every Python."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

import pixcrawler
from pixcrawler import _native

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(pixcrawler.__file__).parent


@pytest.fixture(scope="module")
def distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("pixcrawler-sdk")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pixcrawler-sdk is not installed: the sources are used as they stand")


def files_of(distribution: importlib.metadata.Distribution) -> dict[str, int]:
    """Installed files by name, with their sizes in bytes."""
    return {str(file): file.size or 0 for file in distribution.files or ()}


def is_editable(distribution: importlib.metadata.Distribution) -> bool:
    return not any(name.startswith("pixcrawler/") for name in files_of(distribution))


def test_versions_agree() -> None:
    match = re.search(r'^version = "([^"]+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert match
    version = match[1]
    assert pixcrawler.__version__ == version
    assert _native.__version__ == version
    assert _native.build_info()["version"] == version
    assert (
        f"## {version}" in (ROOT / "CHANGELOG.md").read_text().replace("[", "").replace("]", "")
        or "Unreleased" in (ROOT / "CHANGELOG.md").read_text()
    )
    # pyproject takes it from there.
    assert re.search(r'^dynamic = \[.*"version".*\]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_the_installed_version_is_this_one(distribution: importlib.metadata.Distribution) -> None:
    assert distribution.version == pixcrawler.__version__


def test_types_and_photographs_are_in_the_package() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_native.pyi").is_file()
    photos = sorted((PACKAGE / "demo" / "photos").rglob("*.jpg"))
    assert len(photos) == 24
    assert len({photo.parent for photo in photos}) >= 2
    assert sum(photo.stat().st_size for photo in photos) <= 2_500_000
    assert (PACKAGE / "demo" / "PROVENANCE.md").is_file()


def test_the_wheel_fits_every_python_from_3_10(distribution: importlib.metadata.Distribution) -> None:
    tags = re.findall(r"^Tag: (\S+)$", distribution.read_text("WHEEL") or "", re.MULTILINE)
    assert tags
    assert all(tag.startswith("cp310-abi3-") for tag in tags), tags
    assert Path(_native.__file__).name in {"_native.abi3.so", "_native.pyd"}


def test_the_licences_come_with_it(distribution: importlib.metadata.Distribution) -> None:
    names = {Path(name).name: name for name in files_of(distribution)}
    for name in ("LICENSE", "NOTICE"):
        assert name in names
        text = Path(str(distribution.locate_file(names[name]))).read_text()
        assert text == (ROOT / name).read_text()
    notice = (ROOT / "NOTICE").read_text()
    for library in ("libjpeg-turbo", "libwebp", "pyo3", "rayon"):
        assert library in notice, library
    assert distribution.metadata["License-Expression"] == "MIT"


def test_the_wheel_holds_the_package_and_nothing_else(distribution: importlib.metadata.Distribution) -> None:
    if is_editable(distribution):
        pytest.skip("installed in place")
    installed = {name for name in files_of(distribution) if not name.endswith(".pyc")}
    tops = {Path(name).parts[0] for name in installed}
    assert tops <= {"pixcrawler", "..", f"pixcrawler_sdk-{distribution.version}.dist-info"}
    sources = {
        path.relative_to(ROOT / "python").as_posix()
        for path in (ROOT / "python" / "pixcrawler").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith((".so", ".pyc"))
    }
    packaged = {name for name in installed if name.startswith("pixcrawler/") and not name.endswith(".so")}
    assert packaged == sources


def test_what_is_imported_is_what_is_installed(distribution: importlib.metadata.Distribution) -> None:
    if is_editable(distribution):
        pytest.skip("installed in place")
    installed = Path(str(distribution.locate_file("pixcrawler/__init__.py"))).resolve()
    assert Path(pixcrawler.__file__).resolve() == installed


def test_the_extension_is_small() -> None:
    # Stripped, without debug information.
    assert Path(_native.__file__).stat().st_size < 6_000_000


def test_the_command_is_installed(distribution: importlib.metadata.Distribution) -> None:
    (entry,) = (one for one in distribution.entry_points if one.group == "console_scripts")
    assert (entry.name, entry.value) == ("pixcrawler", "pixcrawler.cli:main")
    assert callable(entry.load())


def test_what_it_needs_and_what_it_may_need(distribution: importlib.metadata.Distribution) -> None:
    extras = set(distribution.metadata.get_all("Provides-Extra") or ())
    assert {"torch", "tensorflow", "pandas", "server", "all", "dev"} <= extras
    needed = {
        re.split(r"[<>=!~; \[]", requirement)[0].lower()
        for requirement in distribution.requires or ()
        if "extra ==" not in requirement
    }
    assert needed == {"click", "h11", "httpcore", "httpx", "numpy", "rich"}
    assert sys.version_info >= (3, 10)
    assert distribution.metadata["Requires-Python"] == ">=3.10"
