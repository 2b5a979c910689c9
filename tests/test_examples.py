"""Every example runs as it stands in its file, on a real server and real photographs; what it prints is checked."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import multiprocessing
import os
import pwd
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from PIL import Image

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import exceptions
from png_builder import chunk, ihdr, png
from support import encode, picture, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PIXCRAWLER = str(Path(sys.executable).with_name("pixcrawler"))
# A child imports a framework, which takes long on a machine that runs other tests beside it.
TIMEOUT_S = 240
pytestmark = pytest.mark.timeout(TIMEOUT_S + 30)

# Photographs of photos-500.zip, by the position in it: 118 of 10 labels, each of which has at least 8.
LABELS = {
    "bird": (*range(4, 12), *range(64, 70)),
    "dog": range(80, 94),
    "fish": (0, 1, 2, 3, 195, 196, 197, 198),
    "food": range(463, 477),
    "hoofed": range(170, 178),
    "insect": range(150, 164),
    "instrument": (201, 210, 216, 243, 273, 279, 283, 297, 321, 388),
    "monkey": range(183, 193),
    "reptile": range(17, 31),
    "vehicle": (202, 218, 233, 234, 327, 328, 367, 401, 410, 432, 433, 437),
}
COUNTS = {label: len(positions) for label, positions in LABELS.items()}
CHUNK_SIZE = 25


class Served(NamedTuple):
    """A served store, and the photographs in its main job by the member's name, in the order in which they come."""

    environment: dict[str, str]
    photos: dict[str, bytes]
    job: str
    older_job: str
    running_job: str


def label_of(name: str) -> str:
    return name.partition("/")[0]


def pack(store: Path, photos: Path, *options: str) -> dict[str, str]:
    """Pack a folder with the real command; its key and the job's id."""
    command = [PIXCRAWLER, "pack", str(photos), "--store", str(store), "--json", *options]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"key": answer["key"] or "", "job": answer["job"]["id"]}


@pytest.fixture(scope="session")
def served(photos_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A store made by `pixcrawler pack`, served by `pixcrawler serve`."""
    pytest.importorskip("uvicorn")
    folder = tmp_path_factory.mktemp("examples")
    store, photos, small = folder / "store", folder / "photos", folder / "small"
    with zipfile.ZipFile(photos_zip) as archive:
        names = archive.namelist()
        for label, positions in LABELS.items():
            for position in positions:
                path = photos / label / Path(names[position]).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(names[position]))
    for number in range(20):
        path = small / ("cat", "owl")[number % 2] / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture(32, 40, number), "JPEG"))

    older = pack(store, small, "--name", "small ones", "--project", "animals")
    main = pack(store, photos, "--name", "animals", "--project", "animals", "--chunk-size", str(CHUNK_SIZE))
    running = pack(store, small, "--name", "unfinished", "--project", "animals")
    pack(store, small, "--name", "of another project", "--project", "plants")
    with sqlite3.connect(store / "store.sqlite") as connection:
        connection.execute("UPDATE jobs SET status = 'running', progress = 40 WHERE id = ?", (running["job"],))
    connection.close()

    command = [PIXCRAWLER, "serve", "--store", str(store), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        line = server.stdout.readline()
        url = re.search(r"http://\S+", line)
        assert url, line
        yield Served(
            {"PIXCRAWLER_BASE_URL": url[0], "PIXCRAWLER_API_KEY": older["key"]},
            {
                path.relative_to(photos).as_posix(): path.read_bytes()
                for path in sorted(photos.glob("*/*"), key=lambda path: path.relative_to(photos).as_posix())
            },
            main["job"],
            older["job"],
            running["job"],
        )
    finally:
        server.terminate()
        server.wait()
        if server.stdout:
            server.stdout.close()


class Example(NamedTuple):
    """What an example printed."""

    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def number(self, name: str) -> float:
        """The number behind a name, such as in "accuracy: 0.25"."""
        found = re.search(rf"^{name}:? ([\d.]+)", self.out, re.MULTILINE)
        assert found, self.out
        return float(found[1])


@pytest.fixture
def run(served: Served, tmp_path: Path) -> Callable[..., Example]:
    """Runs an example of this name, in a process of its own, with the key and the address in the environment."""

    def run(name: str, *arguments: object, expect: int = 0, warns: str = "no warning", **changed: str) -> Example:
        environment = {
            **os.environ,
            **served.environment,
            # Nothing is asked of the Internet, and caches are this test's.
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "huggingface"),
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONFAULTHANDLER": "1",
            "PYTHONHASHSEED": "0",
            **changed,
        }
        # The frameworks are compiled once, not by each child.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        process = subprocess.run(
            [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=environment,
            cwd=tmp_path,
        )
        shown = f"exit status {process.returncode}\n{process.stdout}\n{process.stderr}"
        assert process.returncode == expect, shown
        if expect == 0:
            assert "Traceback" not in process.stderr, shown
            assert all(warns in line for line in process.stderr.splitlines() if "Warning" in line), shown
        return Example(process.stdout, process.stderr)

    return run


def needs(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def height_and_width(data: bytes) -> tuple[int, int]:
    image = Image.open(io.BytesIO(data))
    return image.height, image.width


# Plain loops.


def test_simple_iteration(run: Callable[..., Example], served: Served) -> None:
    first, *lines = run("simple_iteration", served.job).lines
    assert first == f"{len(served.photos)} images of {', '.join(sorted(LABELS))}"
    assert lines == [f"{label_of(name)} {(*height_and_width(data), 3)} uint8" for name, data in served.photos.items()]


def test_batches(run: Callable[..., Example], served: Served) -> None:
    lines = run("batches", served.job).lines
    sizes = [32, 32, 32, len(served.photos) - 96]
    assert [line[: line.index(" mean")] for line in lines] == [f"({size}, 224, 224, 3) uint8" for size in sizes]
    shown = ast.literal_eval(lines[-1][lines[-1].index("[") :])
    assert shown == sorted({label_of(name) for name in list(served.photos)[96:]})


def test_to_arrays(run: Callable[..., Example], served: Served) -> None:
    shape, labels, *means = run("to_arrays", served.job).lines
    count = len(served.photos)
    assert shape == f"({count}, 64, 64, 3) uint8 {count * 64 * 64 * 3 / 1e6:.1f} MB"
    assert labels == f"({count},) <U{max(map(len, LABELS))}"
    for line, label in zip(means, LABELS, strict=True):
        pixels = np.stack(
            [
                np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR))
                for name, data in served.photos.items()
                if label_of(name) == label
            ]
        )
        assert line == f"{label} {pixels.mean(axis=(0, 1, 2)).round(1)}"


def test_context_manager(run: Callable[..., Example], served: Served) -> None:
    first, limit = run("context_manager", served.job).lines
    assert first == "the first batch: (16, 64, 64, 3), bird to dog"
    assert "limits this run" in limit


@needs("tqdm")
def test_tqdm_progress(run: Callable[..., Example], served: Served) -> None:
    ran = run("tqdm_progress", served.job)
    pixels = sum(height * width for height, width in map(height_and_width, served.photos.values()))
    assert ran.out == f"{pixels / 1e6:.1f} million pixels\n"
    assert f"{len(served.photos)}/{len(served.photos)}" in ran.err


# Models.


@needs("sklearn")
def test_sklearn_forest(run: Callable[..., Example], served: Served) -> None:
    ran = run("sklearn_forest", served.job)
    tested = -(-len(served.photos) // 5)
    assert ran.lines[0] == f"trained on {len(served.photos) - tested} images, tested on {tested}"
    assert 0 < ran.number("accuracy") <= 1


@needs("sklearn")
def test_sklearn_grid_search(run: Callable[..., Example], served: Served) -> None:
    ran = run("sklearn_grid_search", served.job)
    best = ast.literal_eval(ran.lines[0].partition(": ")[2])
    assert best["n_estimators"] in {20, 50}
    assert 1 / len(LABELS) < ran.number("accuracy") <= 1


def assert_trained(ran: Example, served: Served) -> None:
    """Three epochs over every image, of which each ends with a loss that is a number."""
    found = re.findall(r"^epoch (\d): loss (\d+\.\d+) over (\d+) images$", ran.out, re.MULTILINE)
    assert [(int(epoch), int(seen)) for epoch, _, seen in found] == [(n, len(served.photos)) for n in (1, 2, 3)]
    assert all(0 < float(loss) < 100 for _, loss, _ in found)


# PyTorch's, where there are fewer cores than the example's workers.
FEW_CORES = "worker processes in total"


@needs("torch")
@pytest.mark.skipif(multiprocessing.get_all_start_methods()[0] != "fork", reason="as written it needs fork")
def test_pytorch_loop(run: Callable[..., Example], served: Served) -> None:
    assert_trained(run("pytorch_loop", served.job, warns=FEW_CORES), served)


@needs("torch")
def test_pytorch_loop_fixed(run: Callable[..., Example], served: Served) -> None:
    assert_trained(run("pytorch_loop_fixed", served.job, warns=FEW_CORES), served)


@needs("torch")
def test_pytorch_streaming(run: Callable[..., Example], served: Served) -> None:
    assert_trained(run("pytorch_streaming", served.job), served)


@needs("torch", "torchvision")
@pytest.mark.parametrize("name", ["pytorch_transforms", "pytorch_transforms_fixed"])
def test_pytorch_transforms(name: str, run: Callable[..., Example], served: Served) -> None:
    ran = run(name, served.job)
    size = int(0.8 * len(served.photos))
    found = re.findall(r"^(\w+): (\d+) images of (.*), mean (-?\d\.\d+)$", ran.out, re.MULTILINE)
    assert [(name, int(count), shape) for name, count, shape, _ in found] == [
        ("train", size, "(3, 64, 64)"),
        ("validation", len(served.photos) - size, "(3, 64, 64)"),
    ]
    # Normalised: photographs are somewhat darker or brighter than those of ImageNet.
    assert all(abs(float(mean)) < 1 for *_, mean in found)


@needs("torch")
def test_barecat_style(run: Callable[..., Example], served: Served) -> None:
    lines = run("barecat_style", served.job).lines
    assert lines == [f"{label} {count}" for label, count in COUNTS.items()]


@needs("tensorflow")
def test_tensorflow_pipeline(run: Callable[..., Example], served: Served) -> None:
    first, *lines = run("tensorflow_pipeline", served.job).lines
    assert first.endswith(f" {len(served.photos)}")
    assert "shape=(64, 64, 3), dtype=tf.uint8" in first
    sizes = [32, 32, 32, len(served.photos) - 96]
    assert lines == [f"({size}, 64, 64, 3) uint8 ({size},) int64" for size in sizes]


@needs("tensorflow", "keras")
@pytest.mark.parametrize("name", ["keras_take_skip", "keras_take_skip_fixed"])
def test_keras_take_skip(name: str, run: Callable[..., Example], served: Served) -> None:
    # Keras warns of a default of its own with every tf.data.Dataset.
    ran = run(name, served.job, warns="`shuffle=True` was passed")
    assert 0 <= ran.number("accuracy") <= 1
    assert 0 <= ran.number("validation accuracy") <= 1


@needs("jax")
def test_jax_batches(run: Callable[..., Example], served: Served) -> None:
    lines = run("jax_batches", served.job).lines
    found = [re.fullmatch(r"epoch (\d): loss (\d\.\d+) over (\d) batches", line) for line in lines]
    losses = [float(one[2]) for one in found if one and int(one[3]) == len(served.photos) // 32]
    assert len(losses) == 3
    # It begins with equal weights, and no chance is in it.
    assert 3 > losses[0] > losses[1] > losses[2] > 0


@needs("sklearn")
def test_continuous_retraining(run: Callable[..., Example], served: Served, tmp_path: Path) -> None:
    lines = run("continuous_retraining", "animals", tmp_path / "models").lines
    assert lines == [
        f"{served.job} (animals): trained on {len(served.photos)} images of {len(LABELS)} classes",
        f"{served.older_job} (small ones): trained on 20 images of 2 classes",
        "nothing new to train on",
    ]
    for job in (served.job, served.older_job):
        assert (tmp_path / "models" / f"{job}.joblib").stat().st_size
    assert run("continuous_retraining", "animals", tmp_path / "models").lines == ["nothing new to train on"]


# Tables and databases.


@needs("pandas")
def test_pandas_table(run: Callable[..., Example], served: Served) -> None:
    ran = run("pandas_table", served.job)
    for label, count in COUNTS.items():
        assert re.search(rf"^{label} +{count}$", ran.out, re.MULTILINE), label
    assert re.search(rf"^count +{len(served.photos)}\.0", ran.out, re.MULTILINE)
    widest = max(height_and_width(data)[1] for name, data in served.photos.items() if label_of(name) == "bird")
    assert ran.lines[-1] == f"{len(LABELS['bird'])} of label bird, the widest {widest} pixels"


@needs("datasets")
def test_huggingface_dataset(run: Callable[..., Example], served: Served) -> None:
    ran = run("huggingface_dataset", served.job)
    assert f"num_rows: {len(served.photos)}" in ran.out
    assert "ClassLabel" in ran.out
    tested = -(-len(served.photos) // 5)
    assert f"{len(served.photos) - tested} images for training, {tested} for testing" in ran.lines
    size, label = ran.lines[-1].rsplit(" ", 1)
    width, height = ast.literal_eval(size)
    assert (label, (height, width)) in {
        (label_of(name), height_and_width(data)) for name, data in served.photos.items()
    }


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@needs("chromadb")
def test_chromadb_embeddings(run: Callable[..., Example], served: Served, tmp_path: Path) -> None:
    # As it is commonly written: the ids repeat, and all but the first batch are lost.
    assert run("chromadb_embeddings", served.job, tmp_path / "chroma").lines == ["32 images stored"]
    stored = rows(tmp_path / "chroma" / "chroma.sqlite3", "SELECT embedding_id FROM embeddings")
    assert {name for (name,) in stored} == {f"img_{number}" for number in range(32)}


@needs("chromadb")
def test_chromadb_embeddings_fixed(run: Callable[..., Example], served: Served, tmp_path: Path) -> None:
    database = tmp_path / "chroma"
    for _ in range(2):
        stored, found = run("chromadb_embeddings_fixed", served.job, database).lines
        assert stored == f"{len(served.photos)} images stored"
    label = label_of(list(served.photos)[17])
    assert found.startswith(f"most like number 17, a {label}: ['{served.job}/17', ")
    query = (
        "SELECT string_value, count(DISTINCT embedding_id) FROM embeddings JOIN embedding_metadata USING (id)"
        " WHERE key = 'label' GROUP BY string_value"
    )
    assert dict(rows(database / "chroma.sqlite3", query)) == COUNTS


def test_sqlite_import(run: Callable[..., Example], served: Served, tmp_path: Path) -> None:
    ran = run("sqlite_import", served.job, tmp_path / "images.db")
    assert ran.lines == [f"{len(served.photos)} images stored"]
    stored = rows(tmp_path / "images.db", "SELECT label, length(image) FROM images ORDER BY id")
    assert stored == [(label_of(name), 3 * np.prod(height_and_width(data))) for name, data in served.photos.items()]


def test_sqlite_import_fixed(run: Callable[..., Example], served: Served, tmp_path: Path) -> None:
    for _ in range(2):
        first, second = run("sqlite_import_fixed", served.job, tmp_path / "images.db").lines
        assert first == f"{len(served.photos)} images stored"
    height, width = height_and_width(next(iter(served.photos.values())))
    assert second == f"the first is a bird: JPEG, {width} x {height} pixels"
    stored = rows(tmp_path / "images.db", "SELECT name, label, file FROM images ORDER BY name")
    assert stored == [(name, label_of(name), data) for name, data in served.photos.items()]


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The address of a database of a PostgreSQL server of this test's own, on a socket in its folder."""
    found = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    initdb = next((Path(path).resolve() for path in found if path), None)
    if initdb is None:
        pytest.skip("no PostgreSQL (apt-get install postgresql)")
    # Root's own temporary folders are closed to others, and PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="pixcrawler-pg-"))
    user: dict[str, str | int | list[int]] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    data = str(folder / "data")
    log = (folder / "log").open("w+")
    options = {"cwd": folder, "stdout": log, "stderr": subprocess.STDOUT, **user}
    try:
        command = [str(initdb), "-D", data, "-U", "guest", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*command, "--locale=C"], check=True, **options)  # type: ignore[call-overload]
        # fsync is for machines that crash.
        command = [str(initdb.with_name("postgres")), "-D", data, "-k", str(folder), "-c", "fsync=off"]
        server = subprocess.Popen([*command, "-c", "listen_addresses="], **options)  # type: ignore[call-overload]
        try:
            address = f"postgresql:///postgres?host={folder}&user=guest"
            wait_for_postgresql(address, server)
            yield address
        finally:
            server.terminate()
            server.wait()
    finally:
        log.close()
        shutil.rmtree(folder)


def wait_for_postgresql(address: str, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(600):
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            assert server.poll() is None
            time.sleep(0.1)
        else:
            return
    pytest.fail("PostgreSQL does not answer")


@needs("psycopg")
def test_postgresql_import(run: Callable[..., Example], served: Served, postgresql: str) -> None:
    import psycopg

    (line,) = run("postgresql_import", served.job, postgresql).lines
    height, width = height_and_width(next(iter(served.photos.values())))
    assert line == f"{len(served.photos)} images stored; the first is a bird, {(height, width, 3)}"
    with psycopg.connect(postgresql) as connection:
        stored = connection.execute("SELECT label, height, width, length(pixels) FROM images ORDER BY id").fetchall()
    expected = [(label_of(name), *height_and_width(data)) for name, data in served.photos.items()]
    assert stored == [(label, height, width, 3 * height * width) for label, height, width in expected]


# Downloads.


def test_download_and_open(run: Callable[..., Example], served: Served, tmp_path: Path) -> None:
    documented = re.search(r"^pixcrawler (.*)$", (EXAMPLES / "download_and_open.py").read_text(), re.MULTILINE)
    assert documented
    command = [PIXCRAWLER, *shlex.split(documented[1].replace("JOB", served.job))]
    subprocess.run(command, check=True, env={**os.environ, **served.environment}, cwd=tmp_path, capture_output=True)
    classes = tuple(LABELS)
    labels = [classes.index(label_of(name)) for name in served.photos]
    counted, first, some = run("download_and_open", f"./datasets/{served.job}").lines
    assert counted == f"{len(served.photos)} images of {classes}"
    assert first == f"(64, 64, 3) uint8 {labels[17]}"
    assert re.fullmatch(r"32 images, mean \d+\.\d, labels \[[\d ]+\]", some)
    assert some.endswith(f"labels {np.array(labels[:32])}")


# Errors.


def test_tenacity_retry(run: Callable[..., Example], served: Served) -> None:
    pytest.importorskip("tenacity")
    assert run("tenacity_retry", served.job).lines == [f"{len(served.photos)} images read"]


def test_tenacity_retry_fixed(run: Callable[..., Example], served: Served) -> None:
    pytest.importorskip("tenacity")
    photos = {name: data for name, data in served.photos.items() if label_of(name) == "fish"}
    with FaultyServer() as server:
        serve_job(server, "job_away", {"c0": zip_of(photos)})
        # pixcrawler asks four times by itself, and tenacity has it try again.
        server.fail("/api/v1/jobs/job_away", *[Fault(status=503, headers={"Retry-After": "0"})] * 5)
        ran = run("tenacity_retry_fixed", "job_away", PIXCRAWLER_BASE_URL=server.url)
    first, last = ran.lines
    assert first.startswith("attempt 1 failed: ")
    assert last == f"{len(photos)} images read"
    # A wrong key is wrong the second time too.
    refused = run("tenacity_retry_fixed", served.job, expect=1, PIXCRAWLER_API_KEY="wrong")
    assert refused.out == ""
    assert "AuthenticationError" in refused.err.splitlines()[-1]


def jpegs(count: int, broken: int = 0) -> dict[str, bytes]:
    """Photographs of one size, of which the last ones end too early."""
    files = {f"cat/{number:02}.jpg": encode(picture(24, 32, number), "JPEG") for number in range(count)}
    for name in list(files)[count - broken :]:
        files[name] = files[name][:300]
    return files


def test_error_handling(run: Callable[..., Example], served: Served) -> None:
    assert run("error_handling", served.older_job).lines == ["20 images read"]

    def meet(said: str, job: str, **changed: str) -> None:
        ran = run("error_handling", job, expect=1, **changed)
        assert said in ran.err
        assert ran.err.count("\n") == 1

    meet("Check your key", served.job, PIXCRAWLER_API_KEY="wrong")
    meet("Check the job's id", "job_nowhere")
    meet("the job is running (40%)", served.running_job)
    meet("Pass image_size, bird/", served.job)
    with FaultyServer() as server:
        jobs = {
            "IntegrityError": jpegs(3),
            "DownloadError": jpegs(3),
            "UnsupportedImageError": {"cat/0.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", **jpegs(2)},
            "ImageDecodeError": jpegs(3, broken=1),
            "LimitError": {"cat/0.png": png(ihdr(60_000, 60_000), chunk(b"IDAT"), chunk(b"IEND"))},
        }
        for name, files in jobs.items():
            serve_job(server, name, {f"of_{name}": zip_of(files)})
        server.documents["/api/v1/jobs/IntegrityError"]["chunks"][0]["size_bytes"] += 1
        server.fail("/data/of_DownloadError.zip", *[Fault(status=503, headers={"Retry-After": "0"})] * 9)
        serve_job(server, "ArchiveError", {"c1": b"no zip at all" * 100})
        server.documents["/api/v1/jobs/ProtocolError"] = {"id": ["no text"]}
        server.fail("/api/v1/jobs/RateLimitError", *[Fault(status=429, headers={"Retry-After": "0"})] * 9)
        server.fail("/api/v1/jobs/NetworkError", *[Fault(status=503, headers={"Retry-After": "0"})] * 9)
        url = server.url
        said = {
            "RateLimitError": "Too many requests",
            "ProtocolError": "Is this the API's address?",
            "NetworkError": "Check the network",
            "DownloadError": "Chunk of_DownloadError cannot be had",
            "IntegrityError": "is not what the catalogue promises",
            "ArchiveError": "Chunk c1 has a broken archive",
            "UnsupportedImageError": "cat/0.svg is of a kind that is not decoded",
            "ImageDecodeError": "cat/02.jpg is broken",
            "LimitError": "cat/0.png is larger than the limits allow",
        }
        for job, words in said.items():
            meet(words, job, PIXCRAWLER_BASE_URL=url)


def test_skip_bad_images(run: Callable[..., Example], tmp_path: Path) -> None:
    ledger = tmp_path / "failures.jsonl"
    with FaultyServer() as server:
        serve_job(server, "job_good", {"good": zip_of(jpegs(20, broken=2))})
        serve_job(server, "job_bad", {"bad": zip_of(jpegs(20, broken=3))})
        url = server.url
        good = run(
            "skip_bad_images", "job_good", ledger, warns="2 of 20 samples were left out", PIXCRAWLER_BASE_URL=url
        )
        assert good.lines == [
            "18 images read, 2 left out",
            "good cat/18.jpg truncated_image",
            "good cat/19.jpg truncated_image",
        ]
        assert [json.loads(line)["member"] for line in ledger.read_text().splitlines()] == ["cat/18.jpg", "cat/19.jpg"]
        bad = run("skip_bad_images", "job_bad", ledger, expect=1, PIXCRAWLER_BASE_URL=url)
    assert "This is no dataset to train on" in bad.err


# All of them.


def sources() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.py"))}


def test_every_example_is_run() -> None:
    written = Path(__file__).read_text(encoding="utf-8")
    tested = set(re.findall(r'run\(\s*"(\w+)"', written)) | set(
        re.findall(r'"(\w+)"', " ".join(re.findall(r'parametrize\("name", \[(.*)\]\)', written)))
    )
    assert tested == set(sources())


def test_every_example_says_how_it_is_run() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name, source in sources().items():
        usage = re.search(
            rf"^python {name}\.py((?: [\w./]+)+)$", ast.get_docstring(ast.parse(source)) or "", re.MULTILINE
        )
        assert usage, name
        used = [int(position) for position in re.findall(r"sys\.argv\[(\d)\]", source)]
        assert used == list(range(1, len(usage[1].split()) + 1)), name
    assert set(re.findall(r"\((\w+)\.py\)", table)) == set(sources())


def test_a_fixed_example_stands_beside_the_one_that_it_corrects() -> None:
    written = sources()
    for name in written:
        if name.endswith("_fixed"):
            assert f"{name}.py" in written[name.removesuffix("_fixed")], name


def test_examples_handle_every_error_that_a_user_meets() -> None:
    handled = set(re.findall(r"except (\w+)", "\n".join(sources().values())))
    # These are of whoever runs a store, or of this package itself.
    assert handled == set(exceptions.__all__) - {"StoreError", "InternalError"}
