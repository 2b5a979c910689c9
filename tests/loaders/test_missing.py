"""A framework that is not installed: the error says what to install, and nothing else is disturbed."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from pixcrawler import Dataset
from pixcrawler.loaders.missing import needs
from support import numbered, run_child, write_zip

# The methods that convert to a framework: its module, and the extra that brings it.
METHODS = {
    "to_dataframe": ("pandas", "pandas"),
    "to_hf": ("datasets", "hf"),
    "to_tensorflow": ("tensorflow", "tensorflow"),
    "to_torch": ("torch", "torch"),
}
PRESENT = {name: told for name, told in METHODS.items() if hasattr(Dataset, name)}

CHILD = """
import sys
path, *methods = sys.argv[1:]
blocked = [method.split("=") for method in methods]
for _, module in blocked:
    sys.modules[module] = None
from pixcrawler import load_dataset
dataset = load_dataset(path)
for name, module in blocked:
    try:
        getattr(dataset, name)()
    except ImportError as exc:
        print(name, exc.name, type(exc.__cause__).__name__, exc, sep="|")
    else:
        print(name, "no error")
print(len(dataset.to_arrays()[0]))
"""


def test_each_method_says_what_to_install(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(4))
    printed = run_child(CHILD, path, *(f"{name}={module}" for name, (module, _) in PRESENT.items())).splitlines()
    told = {name: rest for name, *rest in (line.split("|") for line in printed[:-1])}
    for name, (module, extra) in PRESENT.items():
        missing, cause, message = told[name]
        assert (missing, cause) == (module, "ModuleNotFoundError")
        assert message == f'{name}() needs {module}, which is not installed: pip install "pixcrawler-sdk[{extra}]"'
    # What needs no framework works on.
    assert printed[-1] == "4"


@pytest.mark.parametrize("extra", sorted({extra for _, extra in METHODS.values()}))
def test_the_extra_that_it_names_is_there(extra: str) -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    assert re.search(rf"^{extra} = \[", extras, re.MULTILINE)


def test_a_module_inside_a_framework_is_named() -> None:
    with pytest.raises(ImportError, match=r"it\(\) needs json\.nothing, which.*\[torch\]") as caught:
        import_within("json.nothing")
    assert caught.value.name == "json.nothing"


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pixcrawler\.nothing"):
        import_within("pixcrawler.nothing")
    # A framework that is there but broken is not one that is missing.
    with pytest.raises(ImportError, match="cannot be loaded") as caught, needs("torch", "it()"):
        raise ImportError("a library cannot be loaded")
    assert "pip install" not in str(caught.value)


def import_within(name: str) -> None:
    with needs("torch", "it()"):
        importlib.import_module(name)
