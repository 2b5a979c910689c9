"""What all tests share: a clean environment, the test data, Hypothesis profiles."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

import pixcrawler

ROOT = Path(__file__).resolve().parent.parent

# Failures must not depend on the machine's load: the runner's own time limit catches what hangs.
hypothesis.settings.register_profile("fast", max_examples=40, deadline=None)
hypothesis.settings.register_profile("slow", max_examples=150, deadline=None, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "slow" if os.environ.get("CI") else "fast"))

NETWORK_VARIABLES = (
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SSLKEYLOGFILE",
)


def find_data_dir() -> Path:
    """The folder of test images and hostile files, whether it exists or not."""
    return Path(os.environ.get("PIXCRAWLER_TEST_DATA") or ROOT.parent / "shared" / "data")


# Read before any test's environment is cleaned.
DATA_DIR = find_data_dir()


def pytest_report_header() -> list[str]:
    """Says what is tested, and on which data."""
    data = str(DATA_DIR) if DATA_DIR.is_dir() else f"missing ({DATA_DIR}); its tests are skipped"
    return [f"pixcrawler: {Path(pixcrawler.__file__).parent}", f"test data: {data}"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the developer's proxy, certificates, keys or login."""
    for name in NETWORK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in list(os.environ):
        if name.startswith("PIXCRAWLER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of test images and hostile files."""
    if not DATA_DIR.is_dir():
        pytest.skip(f"no test data at {DATA_DIR} (set PIXCRAWLER_TEST_DATA)")
    return DATA_DIR


@pytest.fixture(scope="session")
def photos_zip(data_dir: Path) -> Path:
    """A real chunk: 500 JPEG photographs of many sizes, in folders by label."""
    path = data_dir / "photos-500.zip"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


@pytest.fixture(scope="session")
def kodak_folder() -> Path:
    """The 24 photographs that ship with the package, in folders by label."""
    return Path(pixcrawler.__file__).parent / "demo" / "photos"
