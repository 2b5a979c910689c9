"""What the package offers: names, documentation, and how little importing it costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import types
from pathlib import Path
from typing import Any

import pytest

import pixcrawler
from pixcrawler import _native, codes, exceptions
from support import numbered, run_child, write_zip


def test_every_public_name_is_there() -> None:
    assert len(set(pixcrawler.__all__)) == len(pixcrawler.__all__)
    for name in pixcrawler.__all__:
        assert getattr(pixcrawler, name) is not None
    assert dir(pixcrawler) == sorted(pixcrawler.__all__)
    names: dict[str, Any] = {}
    exec("from pixcrawler import *", names)
    assert set(pixcrawler.__all__) <= set(names)


def test_the_names_that_users_were_promised() -> None:
    promised = {
        "load_dataset",
        "Dataset",
        "DatasetInfo",
        "PixCrawlerClient",
        "Job",
        "Limits",
        "Failure",
        "Stats",
        "__version__",
        *exceptions.__all__,
    }
    assert promised <= set(pixcrawler.__all__)


def test_every_error_is_offered_and_derives_from_one() -> None:
    defined = {
        name
        for name, one in vars(exceptions).items()
        if inspect.isclass(one) and issubclass(one, Exception) and one.__module__ == exceptions.__name__
    }
    assert defined == set(exceptions.__all__)
    assert defined <= set(pixcrawler.__all__)
    assert all(issubclass(getattr(exceptions, name), exceptions.PixCrawlerError) for name in defined)


@pytest.mark.parametrize("name", ["nothing", "_private", "client_", "__nothing__"])
def test_other_names_are_not(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(pixcrawler, name)


# Each framework in a process of its own: TensorFlow's and torchvision's libraries end a process that loads both.
FRAMEWORKS = ("hf", "pandas", "tensorflow", "torch", "torch_stream")


def module_names() -> list[str]:
    """All modules of the package that are not private; none of them is imported."""
    found = [info.name for info in pkgutil.walk_packages(pixcrawler.__path__, "pixcrawler.")]
    return ["pixcrawler", *(name for name in found if not any(part.startswith("_") for part in name.split(".")))]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", module_names())
def test_what_is_public_is_there_and_documented(name: str) -> None:
    if name in {f"pixcrawler.loaders.{framework}" for framework in FRAMEWORKS}:
        code = f"import sys; sys.path.insert(0, sys.argv[1]); import test_public_api; test_public_api.check({name!r})"
        run_child(f"import warnings; warnings.simplefilter('ignore'); {code}", Path(__file__).parent, timeout_s=100)
    else:
        check(name)


def check(module_name: str) -> None:
    """What is public in a module is there and documented, if what the module needs is installed."""
    try:
        module = importlib.import_module(module_name)
    except ImportError as exc:
        if (exc.name or "").startswith("pixcrawler"):
            raise
        return
    assert module.__doc__
    for name in getattr(module, "__all__", ()):
        one = getattr(module, name)
        if inspect.isclass(one) or inspect.isroutine(one):
            assert one.__doc__, f"{module.__name__}.{name}"
        if inspect.isclass(one):
            for method, value in vars(one).items():
                documented = isinstance(value, (property, classmethod, staticmethod, types.FunctionType))
                if documented and not method.startswith("_"):
                    assert inspect.getdoc(value), f"{module.__name__}.{name}.{method}"


def test_load_dataset_documents_each_of_its_arguments() -> None:
    text = inspect.getdoc(pixcrawler.load_dataset) or ""
    for name in inspect.signature(pixcrawler.load_dataset).parameters:
        assert f"\n    {name}: " in text, name


def test_importing_it_imports_nothing_heavy() -> None:
    code = """
    import sys
    before = set(sys.modules)
    import pixcrawler
    heavy = {"numpy", "httpx", "rich", "PIL", "fastapi", "click", "torch", "tensorflow", "pandas", "ssl", "asyncio"}
    print(sorted(heavy & {name.split(".")[0] for name in set(sys.modules) - before}))
    """
    assert run_child(code).strip() == "[]"


def test_importing_it_takes_next_to_no_time() -> None:
    code = "import time; began = time.perf_counter(); import pixcrawler; print(time.perf_counter() - began)"
    assert min(float(run_child(code)) for _ in range(5)) < 0.05


def test_a_local_dataset_needs_no_network_library(tmp_path: Path) -> None:
    code = """
    import sys
    import pixcrawler
    list(pixcrawler.load_dataset(sys.argv[1]))
    heavy = {"httpx", "rich", "PIL", "fastapi", "click", "torch", "tensorflow", "pandas"}
    print(sorted(heavy & {name.split(".")[0] for name in sys.modules}))
    """
    assert run_child(code, write_zip(tmp_path / "c.zip", numbered(3))).strip() == "[]"


def test_errors_are_the_same_whichever_way_they_are_imported() -> None:
    code = """
    import pixcrawler
    from pixcrawler import ImageDecodeError
    from pixcrawler.exceptions import ImageDecodeError as other
    assert ImageDecodeError is other is pixcrawler.ImageDecodeError
    """
    run_child(code)


def test_one_table_holds_every_code_once() -> None:
    native, python = _native.error_codes(), codes._PYTHON_CODES
    assert not set(native) & set(python)
    assert codes.table().keys() == native.keys() | python.keys()
    for code, entry in codes.table().items():
        assert code.replace("_", "").isalnum()
        assert code == code.lower()
        assert entry[1].endswith(".")
        assert entry[2].endswith(".")


def test_the_native_module_offers_what_its_stub_says() -> None:
    tree = ast.parse((Path(pixcrawler.__file__).parent / "_native.pyi").read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)} - {"BuildInfo", "DecoderStats"}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {name for name in dir(_native) if not name.startswith("_")} == classes | functions


def test_the_stub_documents_the_native_module() -> None:
    tree = ast.parse((Path(pixcrawler.__file__).parent / "_native.pyi").read_text())
    assert ast.get_docstring(tree)
    documented = [node for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    assert len(documented) > 15
    for node in documented:
        is_plain = node.name.startswith("__") or node.name == "BuildInfo"
        assert is_plain or ast.get_docstring(node), node.name
