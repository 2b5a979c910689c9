"""``pixcrawler download`` as a user runs it."""

from __future__ import annotations

import json
import resource
import shlex
import signal
import subprocess
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

import pixcrawler
from cli.command import COMMAND, assert_one_what_and_one_hint, run, run_on_terminal
from download.jobs import contents, sent_bytes
from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler.cli import _download_progress, main
from support import encode, numbered, picture, zip_of

if TYPE_CHECKING:
    from click.testing import Result

    from server.conftest import Served


def invoke(*arguments: str) -> Result:
    """Run the command in this process: what it prints and how it ends."""
    return CliRunner().invoke(main, arguments)


FORMATS = ["numpy", "images", "zip"]


def images_of(chunk: int) -> dict[str, bytes]:
    """The same names in every chunk."""
    return {f"label{at % 2}/{at}.png": encode(picture(60, 50, 9 * chunk + at)) for at in range(9)}


CHUNKS = {f"c{at}": zip_of(images_of(at)) for at in range(4)}
SIZE = sum(map(len, CHUNKS.values()))


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder of its own, where the command is run, and a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXCRAWLER_API_KEY", "very-secret-key")


@pytest.fixture
def api(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """An API with one job, which the environment names."""
    serve_job(server, "job_1", CHUNKS, num_images=36)
    monkeypatch.setenv("PIXCRAWLER_BASE_URL", server.url)
    return server


def undisturbed(form: str) -> dict[str, bytes]:
    """What the job's folder holds if nothing goes wrong."""
    done = invoke("download", "job_1", "--format", form, "--output-dir", "undisturbed")
    assert (done.exit_code, done.stderr) == (0, "")
    return contents(Path("undisturbed/job_1"))


@pytest.mark.parametrize("form", FORMATS)
def test_a_job_of_the_real_server(logged_in: Served, form: str) -> None:
    done = run("download", logged_in.old.id, "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    folder = f"datasets/{logged_in.old.id}"
    assert line.startswith(f"Downloaded 10 images to {folder} (")
    assert ", 0 failed. Open it: " in line
    opened = line.partition("Open it: ")[2]
    assert folder in opened
    with pixcrawler.load_dataset(logged_in.old.id) as dataset:
        expected = list(dataset)
    if form == "images":
        assert opened == f'datasets.load_dataset("imagefolder", data_dir={folder!r})'
        opened = f"pixcrawler.load_dataset({folder!r})"
    found = eval(opened)
    for (image, label), (own, own_label) in zip(expected, sorted_as(found, form), strict=True):
        np.testing.assert_array_equal(image, own)
        assert label == (found.classes[own_label] if form == "numpy" else own_label)
    again = run("download", logged_in.old.id, "--format", form)
    assert again.stdout.startswith(f"Already complete: 10 images in {folder}, 0 failed. Open it: ")


def sorted_as(found: Any, form: str) -> Any:
    """The pairs in the job's order: an image folder is read by name."""
    if form != "images":
        return found
    samples = {sample.member: number for number, sample in enumerate(found.iter_encoded())}
    with Path(found.info.job_id, "metadata.jsonl").open(encoding="utf-8") as lines:
        return [found[samples[json.loads(line)["file_name"]]] for line in lines]


class TestExitCodes:
    def test_L01_exit_code_of_skipped_members(self, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIXCRAWLER_BASE_URL", server.url)
        serve_job(server, "j", {"c0": zip_of({**numbered(3), "a/bad.png": b"no image"})})
        done = invoke("download", "j")
        assert (done.exit_code, done.stderr) == (0, "")
        assert ", 1 failed (see failures.jsonl). " in done.stdout
        for _ in range(2):
            assert invoke("download", "j", "--strict").exit_code == 1
        assert invoke("download", "j", "--strict", "--format", "zip", "--output-dir", "z").exit_code == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("j", "--format", "tar"),
            ("j", "--image-size", "3y"),
            ("j", "--image-size", "0"),
            ("j", "--format", "zip", "--image-size", "8"),
            ("j", "--max-workers", "0"),
            ("./folder",),
            ("file:///x",),
            ("..",),
            ("j", "--nothing"),
        ],
    )
    def test_L01_exit_code_of_wrong_usage(self, arguments: tuple[str, ...]) -> None:
        done = invoke("download", *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert_one_what_and_one_hint(done.stderr)

    def test_L01_exit_codes_of_what_cannot_be_had(self, api: FaultyServer) -> None:
        cases: list[tuple[int, Fault, str]] = [
            (1, Fault(status=401), "/api/v1/jobs/job_1"),
            (1, Fault(status=404), "/api/v1/jobs/job_1"),
            (3, Fault(status=404), "/data/c0.zip"),
            (3, Fault(raw=b"no HTTP"), "/api/v1/jobs/job_1"),
            (4, Fault(corrupt_at=100), "/data/c0.zip"),
        ]
        for code, fault, path in cases:
            api.always = {path: fault}
            done = invoke("download", "job_1", "--no-progress")
            assert (done.exit_code, done.stdout) == (code, ""), (fault, done.stderr)
            assert_one_what_and_one_hint(done.stderr)
            assert "very-secret-key" not in done.stderr
        api.always = {}
        api.documents["/api/v1/jobs/job_1"]["status"] = "running"
        assert invoke("download", "job_1").exit_code == 1

    def test_L01_exit_code_of_a_server_that_is_not_there(self) -> None:
        done = invoke("download", "j", "--base-url", "http://127.0.0.1:9")
        assert (done.exit_code, done.stdout) == (3, "")
        assert_one_what_and_one_hint(done.stderr)


class TestOutput:
    def test_L02_json_is_one_object_on_stdout(self, api: FaultyServer) -> None:
        done = invoke("download", "job_1", "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert (report["job_id"], report["format"], report["layout"]) == ("job_1", "numpy", "images")
        assert (report["num_images"], report["failed"], report["bytes_fetched"]) == (36, 0, SIZE)
        assert len(eval(report["opens_with"])) == 36
        again = json.loads(invoke("download", "job_1", "--json").stdout)
        assert (again["num_images"], again["bytes_fetched"], again["chunks_fetched"]) == (36, 0, 0)

    def test_L02_a_terminal_gets_bars_on_stderr_and_others_few_lines(self, api: FaultyServer) -> None:
        api.always[""] = Fault(bytes_per_s=60_000)
        code, shown = run_on_terminal("download", "job_1", columns=120)
        assert code == 0
        assert "of 4 chunks" in shown
        assert "fetching" in shown
        assert "of 36 images" in shown
        assert "/s" in shown
        assert shown.rstrip().splitlines()[-1].rpartition("\x1b[2K")[2].startswith("Downloaded 36 images")
        for quiet in (["--no-progress"], ["-q"]):
            code, shown = run_on_terminal("download", "job_1", "--output-dir", quiet[0].strip("-"), *quiet)
            assert code == 0
            (line,) = shown.splitlines()
            assert line.startswith("Downloaded 36 images")
        # At most a line every five seconds.
        assert len(run("download", "job_1", "--output-dir", "plain").stderr.splitlines()) <= 2

    def test_L02_plain_lines_tell_how_far_it_is(self, api: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_download_progress, "_LINE_EVERY_S", 0.5)
        api.always[""] = Fault(bytes_per_s=SIZE / 2)
        done = invoke("download", "job_1", "--max-workers", "1")
        assert done.exit_code == 0
        lines = done.stderr.splitlines()
        assert lines
        for part in (" chunks, ", " of 36 images", " left", "/s", f" of {SIZE / 1000:.1f} kB"):
            assert part in lines[0]

    def test_L02_closed_stdout_is_quiet(self, api: FaultyServer) -> None:
        command = f"{shlex.join([*COMMAND, 'download', 'job_1'])} | true"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=50, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_L03_what_names_hold_is_escaped(self, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIXCRAWLER_BASE_URL", server.url)
        evil = "\x1b]8;;http://evil\x07\n\u202e"
        serve_job(server, "x", {"c0": zip_of(numbered(2))})
        job = server.documents.pop("/api/v1/jobs/x")
        server.documents[f"/api/v1/jobs/{urllib.parse.quote(evil, safe='')}"] = {**job, "id": evil, "name": evil}
        job["chunks"][0]["id"] = evil
        server.documents["/api/v1/jobs/j"] = {**job, "id": "j"}
        server.fail("/data/c0.zip", *[Fault(status=400, body=evil.encode())])
        done = run("download", "j", "--format", "images")
        assert done.returncode == 3
        assert_one_what_and_one_hint(done.stderr)
        code, shown = run_on_terminal("download", "j", "--format", "images")
        assert code == 0
        assert "]8;;http" not in shown.replace(r"\x1b]8;;http", "")
        assert "\u202e" not in shown


class TestResume:
    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL], ids=["SIGINT", "SIGKILL"])
    def test_L04_an_interrupted_download_goes_on_by_the_same_command(
        self, api: FaultyServer, form: str, kind: signal.Signals
    ) -> None:
        expected = undisturbed(form)
        arguments = ["download", "job_1", "--format", form, "--max-workers", "2", "--json"]
        folder = Path("datasets/job_1")
        for part in (0.2, 0.6):
            api.always[""] = Fault(bytes_per_s=150_000)
            with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
                wait_until(lambda part=part: on_disk(folder) > part * SIZE)  # type: ignore[misc]
                process.send_signal(kind)
                _, errors = process.communicate(timeout=30)
            if kind is signal.SIGINT:
                assert process.returncode == 130
                assert_one_what_and_one_hint(errors)
                assert "same command" in errors
            else:
                assert process.returncode == -signal.SIGKILL
            assert not {name for name in contents(folder) if not name.endswith(".zip")}
        had = on_disk(folder)
        api.always.clear()
        api.seen.clear()
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        # Nothing that was there is fetched again: neither received nor asked for.
        assert json.loads(done.stdout)["bytes_fetched"] == SIZE - had == sent_bytes(api)
        assert contents(folder) == expected

    @pytest.mark.parametrize("form", FORMATS)
    def test_L04_verify_names_injected_corruption(self, api: FaultyServer, form: str) -> None:
        assert invoke("download", "job_1", "--format", form).exit_code == 0
        folder = Path("datasets/job_1")
        assert invoke("verify", str(folder)).exit_code == 0
        names = sorted(set(contents(folder)) - {"metadata.jsonl"})
        for at, name in enumerate(names[:: max(len(names) // 4, 1)]):
            data = (folder / name).read_bytes()
            spoilt = bytearray(data)
            spoilt[-2 if at % 2 else len(data) // 2] ^= 16
            (folder / name).write_bytes(spoilt)
            done = invoke("verify", str(folder), "--all")
            assert done.exit_code == 4
            assert name in done.stdout
            (folder / name).write_bytes(data)
        (folder / name).unlink()
        done = invoke("verify", str(folder))
        assert done.exit_code == 4
        assert f"{name}: it is missing" in done.stdout

    def test_L04_a_damaged_chunk_is_fetched_again_alone(self, api: FaultyServer) -> None:
        assert invoke("download", "job_1", "--format", "zip").exit_code == 0
        path = Path("datasets/job_1/c2.zip")
        path.write_bytes(CHUNKS["c2"][:-50] + bytes(50))
        assert invoke("verify", "datasets/job_1").exit_code == 4
        api.seen.clear()
        done = invoke("download", "job_1", "--format", "zip", "--json")
        assert done.exit_code == 0
        assert [seen.target for seen in api.seen] == ["/api/v1/jobs/job_1", "/data/c2.zip"]
        assert path.read_bytes() == CHUNKS["c2"]
        assert invoke("verify", "datasets/job_1").exit_code == 0


def on_disk(folder: Path) -> int:
    """Bytes of chunks that a download has on the disk or has used."""
    try:
        done = json.loads((folder / ".pixcrawler.json").read_bytes())["done"]
        waiting = [path for path in (folder / ".pixcrawler").glob("*.partial") if int(path.name[1]) >= done]
        return sum(map(len, list(CHUNKS.values())[:done])) + sum(path.stat().st_size for path in waiting)
    except FileNotFoundError:
        return 0


def wait_until(is_so: Any) -> None:
    for _ in range(4000):
        if is_so():
            return
        time.sleep(0.005)
    pytest.fail("it never came to that")


class TestDisk:
    def test_L05_other_content_is_refused_and_force_replaces_it(self, api: FaultyServer) -> None:
        folder = Path("datasets/job_1")
        folder.mkdir(parents=True)
        (folder / "images.npy").write_text("mine")
        (folder / "notes.txt").write_text("mine")
        done = invoke("download", "job_1")
        assert (done.exit_code, done.stdout) == (2, "")
        assert_one_what_and_one_hint(done.stderr)
        assert "images.npy, notes.txt" in done.stderr
        assert "--force" in done.stderr
        assert contents(folder) == {"images.npy": b"mine", "notes.txt": b"mine"}
        assert invoke("download", "job_1", "--force").exit_code == 0
        assert (folder / "notes.txt").read_text() == "mine"
        assert len(pixcrawler.open_arrays(folder)) == 36
        done = invoke("download", "job_1", "--format", "images")
        assert done.exit_code == 2
        assert "format numpy, not with format images" in done.stderr
        assert invoke("download", "job_1", "--format", "images", "--force").exit_code == 0
        assert set(contents(folder)) >= {"metadata.jsonl", "notes.txt"}
        assert not (folder / "images.npy").exists()

    def test_L05_an_output_folder_that_is_missing_is_made(self, api: FaultyServer) -> None:
        assert invoke("download", "job_1", "--output-dir", "a/b c/ü").exit_code == 0
        assert len(pixcrawler.open_arrays("a/b c/ü/job_1")) == 36

    def test_L05_an_output_folder_that_is_a_file_is_wrong_usage(self, api: FaultyServer) -> None:
        Path("file").write_text("mine")
        done = invoke("download", "job_1", "--output-dir", "file")
        assert (done.exit_code, done.stdout) == (2, "")
        done = invoke("download", "job_1", "--output-dir", "file/below")
        assert (done.exit_code, done.stdout) == (5, "")
        assert_one_what_and_one_hint(done.stderr)

    def test_L05_an_output_folder_that_cannot_be_written(self, api: FaultyServer) -> None:
        done = invoke("download", "job_1", "--output-dir", "/proc/none")
        assert (done.exit_code, done.stdout) == (5, "")
        assert_one_what_and_one_hint(done.stderr)

    @pytest.mark.parametrize("form", FORMATS)
    def test_L05_a_full_disk_is_told_and_the_download_goes_on_afterwards(self, api: FaultyServer, form: str) -> None:
        expected = undisturbed(form)
        # No file may grow beyond half a chunk: what a full disk is to the program.
        limit = len(CHUNKS["c0"]) // 2

        def bounded() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        done = run("download", "job_1", "--format", form, "--max-workers", "1", preexec_fn=bounded)
        assert (done.returncode, done.stdout) == (5, "")
        assert_one_what_and_one_hint(done.stderr)
        assert "c0.zip.partial" in done.stderr
        assert "same command" in done.stderr
        done = run("download", "job_1", "--format", form, "--json")
        assert done.returncode == 0
        assert json.loads(done.stdout)["bytes_fetched"] <= SIZE - limit
        assert contents(Path("datasets/job_1")) == expected

    def test_L05_a_small_file_system_that_fills_up(self, api: FaultyServer, tmp_path: Path) -> None:
        mount = tmp_path / "small"
        mount.mkdir()
        options = f"size={SIZE // 2 // 4096 * 4096}"
        command = ["mount", "-t", "tmpfs", "-o", options, "none", mount]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted")
        try:
            done = run("download", "job_1", "--output-dir", str(mount))
            assert (done.returncode, done.stdout) == (5, "")
            assert_one_what_and_one_hint(done.stderr)
            assert "No space left on device" in done.stderr
            assert "Free some space" in done.stderr
            subprocess.run(["mount", "-o", "remount,size=100m", mount], check=True)
            assert run("download", "job_1", "--output-dir", str(mount)).returncode == 0
            assert len(pixcrawler.open_arrays(mount / "job_1")) == 36
        finally:
            subprocess.run(["umount", mount], check=True)
