"""R08-R10: keys, presigned addresses and passwords, and chunk ids that would be paths."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest
from click.testing import CliRunner

import pixcrawler
from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import _credentials
from pixcrawler._retry import Clock
from pixcrawler.cli import main
from pixcrawler.client import PixCrawlerClient
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import AuthenticationError, PixCrawlerError
from pixcrawler.records import ChunkRecord
from pixcrawler.server.catalogue import JobSpec
from pixcrawler.server.store import Store
from pixcrawler.sources.api import ApiSource
from server.helpers import make_images
from support import numbered, run_child, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from certificates import Authority

TESTS = str(Path(__file__).parent.parent)
KEY = "canary-key-0123456789"
QUERY = "X-Signature=canary-signature&other=canary%2Fother&short=canary"
USER = "canary-user:canary-pass"
# How each of them can be written.
SECRETS = ("canary", base64.b64encode(USER.encode()).decode(), base64.b64encode(KEY.encode()).decode())
# What a server may repeat of a request: any, and one with the address of a chunk.
ECHO = f"<Error>{KEY}, Authorization: Bearer {KEY}, Basic x{SECRETS[1]}, /x?{QUERY}, http://{USER}@h/y?{QUERY}</Error>"
ECHO_OF_CHUNK = f"<Error>{SECRETS[1]}, canary-signature, canary/other, canary-pass, {ECHO}</Error>"
NO_WAIT = Clock(sleep=lambda _seconds, _cancelled: None)
COMMAND = [sys.executable, "-c", "from pixcrawler.cli import main; main(prog_name='pixcrawler')"]


def assert_no_secret(texts: Iterable[tuple[str, str]]) -> None:
    found = [f"{label}: {text[:2000]}" for label, text in texts if any(secret in text for secret in SECRETS)]
    assert not found, "\n\n".join(found)


def frames_of(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """All variables that a traceback with variables would list, those of the tests' own frames aside."""
    summary = None if error is None else traceback.TracebackException.from_exception(error, capture_locals=True)
    while summary is not None:
        for frame in summary.stack:
            if not frame.filename.startswith(TESTS):
                for name, value in (frame.locals or {}).items():
                    yield f"{frame.filename}:{frame.lineno} {name}", value
        summary = summary.__cause__ or (None if summary.__suppress_context__ else summary.__context__)


def texts_of(value: object) -> Iterator[tuple[str, str]]:
    """Everything that an object may be turned into."""
    yield f"str {type(value).__name__}", str(value)
    yield f"repr {type(value).__name__}", repr(value)
    with contextlib.suppress(TypeError):
        yield f"pickle {type(value).__name__}", pickle.dumps(value).decode("latin-1")
    if isinstance(value, BaseException):
        yield "traceback", "".join(traceback.format_exception(value))
        yield from frames_of(value)


class Records(logging.Handler):
    """All that is logged, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append((f"log {record.name}", self.format(record) + repr(record.args)))


@pytest.fixture
def records() -> Iterator[Records]:
    """Everything is logged at DEBUG, by every library."""
    handler, root = Records(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def secret_url(server: FaultyServer, path: str = "/x") -> str:
    return server.url.replace("//", f"//{USER}@") + f"{path}?{QUERY}"


def serve_secretly(server: FaultyServer, chunks: FaultyServer) -> None:
    """A job whose chunk is at a secret address of another server."""
    serve_job(chunks, "j", {"c": zip_of(numbered(4))})
    document = chunks.documents.pop("/api/v1/jobs/j")
    document["chunks"][0]["url"] = secret_url(chunks, "/data/c.zip")
    server.documents["/api/v1/jobs/j"] = document
    server.documents["/api/v1/jobs"] = {"items": [document], "total": 1}


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives one answer to everything; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def faults(echo: str) -> list[Fault]:
    """What a server may do wrong, while it repeats what it was told wherever it can."""
    body = echo.encode()
    return [
        *(Fault(status=status, body=body) for status in (204, 400, 401, 403, 404, 409, 410, 416, 429, 500, 503)),
        Fault(status=403, body=json.dumps({"error": {"message": echo}}).encode()),
        Fault(status=500, body=json.dumps({"url": f"http://h/?{QUERY}", "token": "canary"}).encode()),
        Fault(status=500, body=b'{"token": "canary'),
        Fault(status=429, headers={"Retry-After": "canary"}),
        Fault(cut_after=-1),
        Fault(cut_after=10),
        Fault(cut_after=10, reset=True),
        Fault(chunked=True, cut_after=10),
        Fault(corrupt_at=0),
        Fault(redirect="ftp://canary/canary?canary"),
        Fault(redirect=f"http://{USER}@[canary/?canary"),
        Fault(redirect=f"http://{USER}@127.0.0.1:1/?{QUERY}"),
        Fault(redirect=f"https://{USER}@127.0.0.1:1/?{QUERY}"),
        Fault(redirect=f"?{QUERY}"),
        Fault(headers={"Content-Encoding": "gzip"}),
        Fault(headers={"Set-Cookie": "canary=canary"}),
        Fault(ignore_range=True),
        Fault(content_range="bytes 5-6/7"),
    ]


OK = b"HTTP/1.1 200 OK\r\n"
BODIES = [
    b"%bContent-Length: %d\r\n\r\n%b" % (OK, len(body), body)
    for body in (
        b'{"chunks": [{"url": "http://h/?sig=canary-signature", "x": NaN',
        b'{"chunks": [{"id": "c", "url": "http://h/?sig=canary", "index": "x"}]}',
        b"<a href='http://u:canary@h/?sig=canary'>log in</a>",
    )
]
MALFORMED = [
    line.replace(b"KEY", KEY.encode())
    for line in (
        b"HTTP/1.1 KEY\r\n\r\n",
        b"SSH-2.0-KEY\r\n",
        OK + b"KEY\r\n\r\n",
        OK + b"X: KEY\x00\r\n\r\n",
        OK + b"Content-Length: KEY\r\n\r\n",
        OK + b"Transfer-Encoding: KEY\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nKEY\r\n",
    )
]


def failure_of(run: Callable[[], object]) -> Exception | None:
    """What it raises, which is ours; None if it does not."""
    try:
        run()
    except (PixCrawlerError, RangesUnsupportedError) as error:
        return error
    return None


def drive(client: PixCrawlerClient) -> Iterator[object]:
    """Use a client in every way; yields objects and errors."""
    yield client
    yield failure_of(client.list_jobs)
    yield failure_of(lambda: client.get_job("j"))
    try:
        source = ApiSource(client, "j")
    except PixCrawlerError as error:
        yield error
        return
    yield from (source, source.info, source.chunks, client.get_job("j"))
    (chunk,) = source.chunks
    for read in (
        lambda: source.open(chunk),
        lambda: source.open_whole(chunk),
        lambda: source.read(chunk, 0, 100),
    ):
        yield failure_of(read)


class Watch:
    """Looks at all outputs of a test.

    Attributes:
        codes: Of the errors so far.
    """

    def __init__(self) -> None:
        self.codes: list[str] = []

    def note(self, values: Iterable[object]) -> None:
        for value in values:
            assert_no_secret(texts_of(value))
            if isinstance(value, PixCrawlerError):
                self.codes.append(value.code)


@pytest.fixture
def watch(records: Records, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Watch]:
    yield Watch()
    out, err = capfd.readouterr()
    assert_no_secret([("stdout", out), ("stderr", err), *records.texts])
    assert_no_secret(("thread", thread.name) for thread in threading.enumerate())
    assert_no_secret(("file", f"{path}\n{path.read_bytes()!r}") for path in tmp_path.rglob("*") if path.is_file())


def connect(server: FaultyServer | str, **options: Any) -> PixCrawlerClient:
    return PixCrawlerClient(KEY, server if isinstance(server, str) else server.url, clock=NO_WAIT, **options)


@pytest.mark.parametrize("kind", ["own", "injected"])
def test_R08_no_secret_in_what_a_failure_says(
    server: FaultyServer, other: FaultyServer, watch: Watch, kind: str
) -> None:
    serve_secretly(server, other)
    headers = {"Authorization": "Bearer canary", "Cookie": "canary"}
    with (
        httpx.Client(headers=headers) as http,
        connect(server, http_client=http if kind == "injected" else None) as client,
    ):
        watch.note(drive(client))
        assert watch.codes == [], "the job can be read"
        for place, echo in ((server, ECHO), (other, ECHO_OF_CHUNK)):
            for fault in faults(echo):
                place.always[""] = fault
                watch.note(drive(client))
            place.always.clear()
    assert len(watch.codes) > 80
    assert {"auth", "forbidden", "not_found", "refused", "rate_limited", "server_error"} < set(watch.codes)
    assert {"protocol", "redirect", "connection", "download_failed", "job_not_complete"} < set(watch.codes)


@pytest.mark.parametrize("answer", [*BODIES, *MALFORMED], ids=range(len(BODIES) + len(MALFORMED)))
def test_R08_no_secret_of_malformed_answers(server: FaultyServer, watch: Watch, answer: bytes) -> None:
    with answering(answer) as url, connect(url) as api, connect(server) as client:
        watch.note(drive(api))
        server.documents["/api/v1/jobs/j"] = {"chunks": [{"id": "c", "url": f"http://{USER}@{url[7:]}/?{QUERY}"}]}
        # What a chunk's server sends in due form is content.
        if answer not in BODIES:
            watch.note(drive(client))
    assert len(watch.codes) >= 2


def test_R08_no_secret_of_failures_on_the_way(
    server: FaultyServer, authority: Authority, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer(context=authority.sign_itself("canaries")) as secure, connect(secure) as client:
        watch.note(drive(client))
    with connect(server.url.replace("http:", "https:")) as client:
        watch.note(drive(client))
    assert set(watch.codes) == {"tls"}
    monkeypatch.setenv("http_proxy", server.url.replace("//", f"//{USER}@"))
    for fault in (Fault(redirect=f"http://h.example/?{QUERY}", headers={"Set-Cookie": "canary"}), *faults(ECHO)):
        server.always[""] = fault
        with connect("http://api.example") as client:
            watch.note(drive(client))
    monkeypatch.setenv("http_proxy", f"http://{USER}@canary:canary/")
    with connect("http://api.example") as client:
        watch.note(drive(client))
    assert watch.codes[-1] == "proxy"
    for key, url in ((f"{KEY}\n", server.url), (KEY, f"http://{USER}@h"), (KEY, f"http://h/?{QUERY}")):
        with pytest.raises(ValueError) as caught:
            PixCrawlerClient(key, url)
        assert_no_secret([("message", "".join(traceback.format_exception(caught.value)))])


@pytest.mark.filterwarnings("ignore:.*were left out.*")
def test_R08_no_secret_of_a_whole_run(server: FaultyServer, other: FaultyServer, watch: Watch) -> None:
    serve_secretly(server, other)
    other.files["/data/c.zip"] = data = zip_of({**numbered(3), "broken.jpg": b"\xff\xd8\xffbroken"})
    server.documents["/api/v1/jobs/j"]["chunks"][0].update(sha256=None, size_bytes=len(data))
    on_errors: tuple[Literal["skip", "raise"], ...] = ("skip", "raise")
    for on_error in on_errors:
        with pixcrawler.load_dataset("j", KEY, server.url, on_error=on_error) as dataset:
            watch.note([failure_of(lambda: list(dataset)), dataset, dataset.info, dataset.stats(), dataset.failures])
            watch.note(dataset.failures)
    assert len(watch.codes) == 1
    server.always[""] = Fault(status=401, body=ECHO.encode())
    watch.note([failure_of(lambda: pixcrawler.load_dataset("j", KEY, server.url))])
    watch.note([failure_of(lambda: pixcrawler.verify_dataset("j", KEY, server.url))])
    assert watch.codes[1:] == ["auth", "auth"]


def test_R08_a_pickle_has_no_secret_and_serves_with_the_reader_s_key(
    server: FaultyServer, other: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_secretly(server, other)
    with pixcrawler.load_dataset("j", KEY, server.url) as dataset:
        whole = [label for _, label in dataset]
        data = pickle.dumps(dataset)
        copied = copy.deepcopy(dataset.info)
    assert copied == dataset.info
    assert_no_secret([("pickle", data.decode("latin-1"))])
    before = len(server.seen)
    monkeypatch.setenv("PIXCRAWLER_API_KEY", "of-the-reader")
    with pickle.loads(data) as twin:
        assert len(server.seen) == before, "unpickling asks for nothing"
        assert [label for _, label in twin] == whole
    assert [seen.headers["authorization"] for seen in server.seen[before:]] == ["Bearer of-the-reader"]
    assert other.seen[-1].target == f"/data/c.zip?{QUERY}"


def test_R08_chunks_whose_addresses_were_left_out(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them take one request to the catalogue; a refusal of that names the chunk."""
    serve_job(server, "j", {f"c{i}": zip_of(numbered(2)) for i in range(5)})
    for chunk in server.documents["/api/v1/jobs/j"]["chunks"]:
        chunk["url"] += f"?{QUERY}"
    monkeypatch.setenv("PIXCRAWLER_API_KEY", "of-the-reader")
    with contextlib.closing(ApiSource(connect(server), "j", owns_client=True)) as source:
        data = pickle.dumps(source)
    with contextlib.closing(pickle.loads(data)) as twin:
        assert {chunk.url for chunk in twin.chunks} == {""}
        server.seen.clear()
        for chunk in twin.chunks:
            twin.open(chunk)
        assert [seen.target for seen in server.seen if "/api/" in seen.target] == ["/api/v1/jobs/j"]
    server.always["/api/v1/jobs/j"] = Fault(status=401)
    with contextlib.closing(pickle.loads(data)) as twin, pytest.raises(AuthenticationError) as caught:
        twin.open(twin.chunks[3])
    assert (caught.value.code, caught.value.chunk_id) == ("auth", "c3")


def test_R08_a_child_that_is_started_gets_the_secrets(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = ChunkRecord("c", 0, secret_url(server))
    client = PixCrawlerClient(KEY, server.url)
    assert pickle.loads(pickle.dumps(chunk)).url == ""
    for plain in ("/data/c.zip", "https://h/c.zip", "/home/me@work/c.zip"):
        assert pickle.loads(pickle.dumps(ChunkRecord("c", 0, plain))).url == plain
    with pytest.raises(TypeError, match="credentials cannot be pickled"):
        pickle.dumps(client._credentials)
    # As multiprocessing has it while it writes a child's start.
    monkeypatch.setattr(multiprocessing.context._tls, "spawning_popen", object(), raising=False)
    assert pickle.loads(pickle.dumps(chunk)) == chunk
    assert pickle.loads(pickle.dumps(client))._credentials.api_key == KEY


def test_R08_no_secret_in_a_crash(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.always[""] = Fault(redirect=secret_url(server), headers={"X": "canary"})
    server.always["/x"] = Fault(stall_after=-1)
    monkeypatch.setenv("PIXCRAWLER_API_KEY", KEY)
    monkeypatch.setenv("PIXCRAWLER_BASE_URL", server.url)
    command = [sys.executable, "-X", "faulthandler", "-c", "import pixcrawler; pixcrawler.load_dataset('j')"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while len(server.seen) < 2 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGSEGV)
        out, err = process.communicate(timeout=30)
    assert "Segmentation fault" in err
    assert "load.py" in err, "the stack of a request under way"
    assert_no_secret([("stdout", out), ("stderr", err)])


@pytest.mark.timeout(180)  # ten processes, one after the other
def test_R08_no_secret_in_the_command_line_s_output(server: FaultyServer, other: FaultyServer, tmp_path: Path) -> None:
    serve_secretly(server, other)
    access = {"PIXCRAWLER_API_KEY": KEY, "PIXCRAWLER_BASE_URL": server.url}

    def run(*arguments: str, code: int = 0, **environment: str) -> None:
        done = subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
            cwd=tmp_path,
            env={**os.environ, **access, **environment},
        )
        assert done.returncode == code, done.stderr
        assert_no_secret([(f"stdout {arguments}", done.stdout), (f"stderr {arguments}", done.stderr)])

    for arguments in (["list", "-v"], ["list", "--json"], ["info", "j"], ["info", "j", "--json"], ["whoami"]):
        run(*arguments)
    for status, command in ((401, ["-v", "list"]), (404, ["info", "j"]), (401, ["whoami"]), (401, ["doctor"])):
        server.always[""] = Fault(status=status, body=ECHO.encode())
        run(*command, code=1)
    server.always.clear()
    run("list", code=3, PIXCRAWLER_BASE_URL=server.url.replace("http:", "https:"))
    run("list", code=3, http_proxy=f"http://{USER}@127.0.0.1:1", PIXCRAWLER_BASE_URL="http://api.example")
    for url in (f"http://{USER}@h", f"http://h/?{QUERY}"):
        run("list", "--base-url", url, code=2)
    run("demo", str(make_images(tmp_path / "images")), "--out", str(tmp_path / "out"))


def test_R08_no_secret_in_the_server_s_output(tmp_path: Path) -> None:
    store, key = Store.create(tmp_path / "store")
    with store:
        job = store.pack(make_images(tmp_path / "images"), JobSpec("n", None, (), 500)).job
    command = [*COMMAND, "serve", "--store", str(tmp_path / "store"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http://"))
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as http:
            assert http.get("/api/v1/jobs", params={"key": KEY}).status_code == 200
            assert http.get("/api/v1/nothing", params={"key": KEY}).status_code == 404
            assert http.get("/api/v1/jobs", headers={"Authorization": f"Bearer {KEY}"}).status_code == 401
            assert http.get("/api/v1/jobs", headers={"Authorization": f"Basic {SECRETS[1]}"}).status_code == 401
            (chunk,) = http.get(f"/api/v1/jobs/{job.id}").json()["chunks"]
            for path in (tmp_path / "store").rglob("*.zip"):
                path.write_bytes(b"shorter")
            assert http.get(chunk["url"], params={"key": KEY}).status_code == 500
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert "7 bytes on disk" in err
    assert_no_secret([("stdout", line + out), ("stderr", err)])
    assert key not in line + out + err


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("kind", ["own", "injected"])
def test_R09_netrc_is_not_read(
    server: FaultyServer, other: FaultyServer, home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for path in (home / ".netrc", home / "elsewhere"):
        path.write_text("machine 127.0.0.1 login canary password canary\ndefault login canary password canary\n")
        path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(home / "elsewhere"))
    serve_job(other, "j", {"c": b"0123456789"})
    server.documents["/api/v1/jobs/j"] = other.documents["/api/v1/jobs/j"]
    with httpx.Client(auth=httpx.NetRCAuth(None)) as http:
        client = connect(server, http_client=http if kind == "injected" else None)
        (chunk,) = client.iter_chunks("j")
        assert client.downloader("j").fetch_range(chunk, 2, 5).tobytes(0, 3) == b"234"
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in other.seen[0].headers
    client.close()
    with PixCrawlerClient(base_url=other.url) as without:
        without.get_job("j")
    assert "authorization" not in other.seen[1].headers


@pytest.mark.parametrize(
    ("argument", "environment", "sent"),
    [
        (None, "https://env.example", True),
        ("https://env.example", "https://env.example/", True),
        ("https://ENV.example:443/pix", "https://env.example", True),
        ("https://other.example", "https://env.example", False),
        ("http://env.example", "https://env.example", False),
        ("https://env.example:8443", "https://env.example", False),
        ("https://env.example.evil.example", "https://env.example", False),
        # Chosen for this key, as there is no other address.
        ("https://other.example", None, True),
        (None, None, True),
    ],
)
def test_R09_the_environment_s_key_belongs_to_its_address(
    argument: str | None,
    environment: str | None,
    sent: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PIXCRAWLER_API_KEY", KEY)
    if environment is not None:
        monkeypatch.setenv("PIXCRAWLER_BASE_URL", environment)
    assert _credentials.resolve(None, argument).api_key == (KEY if sent else None)
    assert ("PIXCRAWLER_API_KEY is not sent" in caplog.text) is not sent
    assert KEY not in caplog.text
    assert _credentials.resolve("given", argument).api_key == "given"


def test_R09_a_command_s_address_gets_no_key_of_another(
    server: FaultyServer, other: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXCRAWLER_API_KEY", KEY)
    monkeypatch.setenv("PIXCRAWLER_BASE_URL", server.url)
    for running in (server, other):
        running.documents["/api/v1/jobs"] = {"items": [], "total": 0}
    assert CliRunner().invoke(main, ["list"]).exit_code == 0
    assert CliRunner().invoke(main, ["list", "--base-url", other.url]).exit_code == 0
    assert CliRunner().invoke(main, ["list", "--base-url", other.url, "--api-key", "given"]).exit_code == 0
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert [seen.headers.get("authorization") for seen in other.seen] == [None, "Bearer given"]


CHUNK_IDS = [
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "x" * 300,
    "CON",
    "a/b",
    "a\0b",
    "A",
    "a",
    "?a=b#c",
    "%2e%2e%2fx",
    "\x1b[31mred\u202e",
    "\ud800",
    ".",
    "..",
    " ",
]


# Prints what is opened for writing, made or renamed while every chunk is read.
WRITES = """
    import os, sys, pixcrawler
    seen = []

    def hook(event, args):
        is_write = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if is_write or event in {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove"}:
            seen.append((event, args))

    sys.dont_write_bytecode = True
    with pixcrawler.load_dataset("j", "key", sys.argv[1]) as dataset:
        sys.addaudithook(hook)
        count = sum(1 for _ in dataset)
    print(count, seen)
"""


def test_R10_chunk_ids_are_no_paths(server: FaultyServer) -> None:
    serve_job(server, "j", {str(number): zip_of(numbered(2)) for number in range(len(CHUNK_IDS))})
    document = server.documents["/api/v1/jobs/j"]
    for chunk, chunk_id in zip(document["chunks"], CHUNK_IDS, strict=True):
        chunk["id"] = chunk_id
    assert run_child(WRITES, server.url) == f"{2 * len(CHUNK_IDS)} []\n"
    paths = [f"/data/{number}.zip" for number in range(len(CHUNK_IDS))]
    assert {seen.target for seen in server.seen} == {"/api/v1/jobs/j", *paths}, "no id is part of an address"
    server.always.update({path: Fault(status=404) for path in paths})
    with connect(server) as client:
        for chunk in client.iter_chunks("j"):
            with pytest.raises(PixCrawlerError) as caught:
                client.downloader("j").fetch_range(chunk, 0, 5)
            assert caught.value.chunk_id == chunk.id
            assert str(caught.value).isprintable()
            assert len(str(caught.value)) < 1000
            assert pickle.loads(pickle.dumps(caught.value)).chunk_id == chunk.id


def test_R10_job_ids_are_quoted(server: FaultyServer) -> None:
    server.documents["/api/v1/jobs/..%2F..%2Fx%3Fy%23z%00"] = {"name": "found"}
    with connect(server) as client:
        assert client.get_job("../../x?y#z\0").name == "found"
