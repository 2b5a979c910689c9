"""The three forms of a download: what is in the folder, and that what it is meant for opens it."""

from __future__ import annotations

import importlib.util
import json
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pixcrawler
from download.jobs import contents, described, download, lines_of
from faulty_server import FaultyServer, serve_job
from support import catching_warning, encode, numbered, picture, run_child, zip_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PNG = encode(picture(6, 5))
JPEG = encode(picture(40, 30), "JPEG")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


def chunks_of(members: dict[str, bytes], size: int) -> dict[str, bytes]:
    items = list(members.items())
    return {f"c{at}": zip_of(dict(items[at * size : (at + 1) * size])) for at in range(-(-len(items) // size))}


def equal_to_the_dataset(server: FaultyServer, arrays: pixcrawler.ArrayFolder, **options: Any) -> None:
    """Assert that the arrays hold what load_dataset delivers, image by image."""
    with pixcrawler.load_dataset("j", base_url=server.url, on_error="skip", **options) as dataset:
        pairs = catching_warning(dataset)
    assert len(pairs) == len(arrays)
    for (image, label), (mapped, number) in zip(pairs, arrays, strict=True):
        np.testing.assert_array_equal(image, mapped)
        assert arrays.classes is not None
        assert arrays.classes[number] == label


class TestNumpy:
    def test_images_of_one_size_are_one_array(self, server: FaultyServer, tmp_path: Path) -> None:
        serve_job(server, "j", chunks_of(numbered(70), 30), labels=[{"name": "unseen", "count": 0}])
        report = download(server, tmp_path)
        assert (report.layout, report.num_images, report.failed, report.num_chunks) == ("images", 70, 0, 3)
        folder = tmp_path / "j"
        assert set(contents(folder)) == {"images.npy", "labels.npy", "classes.json"}
        images, labels = np.load(folder / "images.npy"), np.load(folder / "labels.npy")
        assert (images.shape, images.dtype, labels.dtype) == ((70, 6, 5, 3), np.uint8, np.int64)
        # As Dataset.class_to_idx has them: those of the catalogue too.
        assert json.loads((folder / "classes.json").read_text()) == ["label0", "label1", "label2", "unseen"]
        arrays = pixcrawler.open_arrays(folder)
        assert arrays.is_stacked
        equal_to_the_dataset(server, arrays)
        assert report.opens_with == f"pixcrawler.open_arrays({str(folder)!r})"
        assert len(eval(report.opens_with)) == 70

    def test_images_of_many_sizes_stand_one_behind_the_other(
        self, server: FaultyServer, photos_zip: Path, tmp_path: Path
    ) -> None:
        with zipfile.ZipFile(photos_zip) as archive:
            members = {name: archive.read(name) for name in archive.namelist()[:60] if not name.endswith("/")}
        serve_job(server, "j", chunks_of(members, 25))
        report = download(server, tmp_path)
        assert report.layout == "pixels"
        folder = tmp_path / "j"
        assert set(contents(folder)) == {"pixels.npy", "offsets.npy", "shapes.npy", "labels.npy", "classes.json"}
        arrays = pixcrawler.open_arrays(folder)
        assert not arrays.is_stacked
        assert len({tuple(shape) for shape in arrays.shapes}) > 5
        equal_to_the_dataset(server, arrays)

    def test_an_image_size_makes_them_equal(self, server: FaultyServer, photos_zip: Path, tmp_path: Path) -> None:
        with zipfile.ZipFile(photos_zip) as archive:
            members = {name: archive.read(name) for name in archive.namelist()[:20] if not name.endswith("/")}
        serve_job(server, "j", chunks_of(members, 9))
        download(server, tmp_path, image_size=(24, 32))
        arrays = pixcrawler.open_arrays(tmp_path / "j")
        assert arrays.images is not None
        assert arrays.images.shape[1:] == (24, 32, 3)
        equal_to_the_dataset(server, arrays, image_size=(24, 32))

    def test_the_images_and_not_the_catalogue_say_whether_they_share_a_size(
        self, server: FaultyServer, tmp_path: Path
    ) -> None:
        members = {**numbered(5), "other/a.jpg": JPEG}
        serve_job(server, "j", chunks_of(members, 3), image_size=[6, 5])
        assert download(server, tmp_path).layout == "pixels"
        equal_to_the_dataset(server, pixcrawler.open_arrays(tmp_path / "j"))

    def test_bad_samples_leave_no_holes(self, server: FaultyServer, tmp_path: Path) -> None:
        bad = {"bad/a.png": PNG[:-20], "bad/b.png": b"no image"}
        members = {**bad, **numbered(9), "cat/\x1b[2Jc.jpg": JPEG[:-100]}
        serve_job(server, "j", {"c0": zip_of(members), "c1": b"PK no zip at all", "c2": zip_of(numbered(4))})
        server.documents["/api/v1/jobs/j"]["chunks"][1]["num_images"] = 7
        report = download(server, tmp_path)
        assert (report.num_images, report.failed, report.layout) == (13, 10, "images")
        failures = lines_of(tmp_path / "j" / "failures.jsonl")
        assert [(failure["chunk_id"], failure["member"]) for failure in failures] == [
            ("c0", "bad/a.png"),
            ("c0", "bad/b.png"),
            ("c0", "cat/\x1b[2Jc.jpg"),
            ("c1", None),
        ]
        assert all(
            failure["code"] and failure["reason"] and ".partial" not in failure["reason"] for failure in failures
        )
        equal_to_the_dataset(server, pixcrawler.open_arrays(tmp_path / "j"))

    @pytest.mark.parametrize(
        ("labels", "stored", "classes"),
        [
            ([3, 1, 3], [3, 1, 3], None),
            ([0.5, 1, -2], [0.5, 1.0, -2.0], None),
            ([None, None, None], [0, 0, 0], [None]),
            (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
            ([["x", 1], {"k": "v"}, ["x", 1]], [0, 1, 0], [["x", 1], {"k": "v"}]),
            ([True, 1, "1"], [2, 1, 0], ["1", 1, True]),
            ([2**70, 1, 1], [1, 0, 0], [1, 2**70]),
        ],
    )
    def test_labels_are_numbers(
        self, server: FaultyServer, tmp_path: Path, labels: list[Any], stored: list[Any], classes: list[Any] | None
    ) -> None:
        names = [f"{at}.png" for at in range(3)]
        lines = [{"file_name": name, "label": label} for name, label in zip(names, labels, strict=True)]
        serve_job(server, "j", {"c0": described(dict.fromkeys(names, PNG), lines)})
        download(server, tmp_path)
        arrays = pixcrawler.open_arrays(tmp_path / "j")
        assert arrays.labels.tolist() == stored
        assert arrays.labels.dtype == (np.float64 if 0.5 in labels else np.int64)
        assert (None if arrays.classes is None else list(arrays.classes)) == classes
        if classes is not None and classes[0] == "1":
            assert [type(one) for one in arrays.classes or ()] == [str, int, bool]

    @pytest.mark.parametrize("image_size", [None, 8])
    def test_a_job_without_good_images(self, server: FaultyServer, tmp_path: Path, image_size: int | None) -> None:
        serve_job(server, "j", {"c0": zip_of({"a/b.png": b"x"})})
        report = download(server, tmp_path, image_size=image_size)
        assert (report.num_images, report.failed) == (0, 1)
        arrays = pixcrawler.open_arrays(tmp_path / "j")
        assert (len(arrays), list(arrays), arrays[:][1].tolist()) == (0, [], [])
        assert arrays.images is not None
        assert arrays.images.shape == (0, image_size or 0, image_size or 0, 3)


class TestOpenArrays:
    @pytest.fixture(params=["stacked", "mixed"])
    def folder(self, request: pytest.FixtureRequest, server: FaultyServer, tmp_path: Path) -> Path:
        members = numbered(10) if request.param == "stacked" else {**numbered(9), "label9/z.jpg": JPEG}
        serve_job(server, "j", chunks_of(members, 4))
        download(server, tmp_path)
        return tmp_path / "j"

    def test_is_a_sequence_of_pairs(self, folder: Path) -> None:
        arrays = pixcrawler.open_arrays(folder)
        assert len(arrays) == 10
        image, label = arrays[4]
        assert (image.shape, image.dtype, label) == ((6, 5, 3), np.uint8, 1)
        assert isinstance(label, int)
        np.testing.assert_array_equal(arrays[-6][0], image)
        np.testing.assert_array_equal(arrays[np.int64(4)][0], image)
        for index in (slice(2, 8, 2), [2, 4, 6], np.array([2, -6, 6])):
            images, labels = arrays[index]  # type: ignore[index]
            assert (len(images), labels.tolist()) == (3, [2, 1, 0])
            np.testing.assert_array_equal(images[1], image)
        for index in (10, -11):
            with pytest.raises(IndexError):
                arrays[index]
        with pytest.raises(IndexError):
            arrays[[0, 10]]
        with pytest.raises(ValueError, match="read-only"):
            image[:] = 0

    def test_maps_and_does_not_read(self, folder: Path) -> None:
        arrays = pixcrawler.open_arrays(folder)
        name = "images.npy" if arrays.is_stacked else "pixels.npy"
        with Path("/proc/self/maps").open(encoding="ascii") as maps:
            assert any(line.rstrip().endswith(name) for line in maps)

    def test_a_pickle_opens_the_folder_again(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)
        arrays = pixcrawler.open_arrays("j")
        data = pickle.dumps(arrays)
        monkeypatch.chdir("/")
        assert len(data) < 500
        np.testing.assert_array_equal(pickle.loads(data)[3][0], arrays[3][0])

    def test_damaged_folders_are_told(self, folder: Path, tmp_path: Path) -> None:
        for path in sorted(folder.glob("*.npy")):
            data = path.read_bytes()
            spoilt = [data[:-1], data + b"x", data[:100], b"", data.replace(b"NUMPY", b"NUMPX")]
            if path.name in {"shapes.npy", "offsets.npy", "labels.npy"}:
                spoilt.append(data[:-8] + b"\xff" * 8)
            for one in spoilt:
                path.write_bytes(one)
                if one != data + b"x":
                    with pytest.raises(pixcrawler.IntegrityError) as caught:
                        pixcrawler.open_arrays(folder)
                    assert caught.value.code == "download_damaged"
            path.write_bytes(data)
            path.rename(tmp_path / "away")
            with pytest.raises(pixcrawler.NotFoundError):
                pixcrawler.open_arrays(folder)
            (tmp_path / "away").rename(path)
        pixcrawler.open_arrays(folder)
        (folder / "classes.json").write_text("[]")
        with pytest.raises(pixcrawler.IntegrityError):
            pixcrawler.open_arrays(folder)
        for other in (tmp_path / "nothing", folder / "labels.npy"):
            with pytest.raises(pixcrawler.NotFoundError):
                pixcrawler.open_arrays(other)


HOSTILE = {
    "cat/a.jpg": "cat",
    "cat/A.JPG": "cat",
    "deep/er/a.jpg": "cat",
    "noextension": "a/b",
    "con.png": "a\\b",
    "x.php": "..",
    "y.jpg": "../../up",
    "z.jpg": "/abs",
    "w.jpg": "C:\\drive",
    "v.jpg": "Cat",
    "u.jpg": "nul\0l",
    "t.jpg": ".hidden",
    "s.jpg": "",
    "r.jpg": "x" * 400,
    "q" * 220 + ".jpg": "x" * 400 + "y",
    "p.jpg": "metadata.jsonl",
    "o.jpg": "NUL",
    "n\u202e.jpg": "trailing. ",
}


class TestImages:
    def test_the_files_are_the_original_ones_in_folders_by_label(
        self, server: FaultyServer, photos_zip: Path, tmp_path: Path
    ) -> None:
        with zipfile.ZipFile(photos_zip) as archive:
            members = {name: archive.read(name) for name in archive.namelist()[:50] if not name.endswith("/")}
        serve_job(server, "j", chunks_of(members, 20))
        report = download(server, tmp_path, "images")
        assert (report.layout, report.num_images, report.failed) == ("images", len(members), 0)
        folder = tmp_path / "j"
        found = contents(folder)
        metadata = found.pop("metadata.jsonl")
        assert found == members
        assert [json.loads(line)["file_name"] for line in metadata.splitlines()] == list(members)

    @pytest.mark.timeout(120)
    def test_image_folder_readers_open_it(
        self, server: FaultyServer, photos_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("datasets", "torchvision"):
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"{name} is not installed")
        with zipfile.ZipFile(photos_zip) as archive:
            names = [name for name in archive.namelist()[:24] if not name.endswith("/")]
            members = {f"label{at % 3}/{at}.jpg": archive.read(name) for at, name in enumerate(names)}
        lines = [{"file_name": name, "label": name.split("/")[0], "note": f"n {name}"} for name in members]
        serve_job(server, "j", {"c0": described(members, lines), "c1": zip_of({"label1/bad.jpg": b"bad"})})
        report = download(server, tmp_path, "images")
        assert report.failed == 1
        code = """
        import io, json, sys, zipfile
        import datasets, numpy as np
        datasets.disable_progress_bars()
        opened = eval(sys.argv[2])["train"]
        assert opened.column_names == ["image", "label", "note"], opened.column_names
        print(json.dumps([[row["label"], row["note"], list(row["image"].size)] for row in opened]))
        from torchvision.datasets import ImageFolder
        folder = ImageFolder(sys.argv[1])
        print(json.dumps([folder.classes, len(folder), list(folder[5][0].size)]))
        """
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        by_datasets, by_torch = run_child(code, tmp_path / "j", report.opens_with, timeout_s=110).splitlines()
        rows = json.loads(by_datasets)
        assert len(rows) == len(members)
        assert {(label, note) for label, note, _ in rows} == {(line["label"], line["note"]) for line in lines}
        assert json.loads(by_torch)[:2] == [["label0", "label1", "label2"], len(members)]
        with (
            pixcrawler.load_dataset(tmp_path / "j") as dataset,
            pixcrawler.load_dataset("j", base_url=server.url) as job,
        ):
            assert dataset.num_images == len(members)
            assert dataset.classes == ("label0", "label1", "label2")
            assert {line["note"] for line in lines} == {sample.metadata["note"] for sample in dataset.iter_encoded()}
            assert job.num_chunks == 2

    def test_names_never_escape_and_never_collide(self, server: FaultyServer, tmp_path: Path) -> None:
        members = {name: encode(picture(9, 9, at), "JPEG") for at, name in enumerate(HOSTILE)}
        lines = [{"file_name": name, "label": label} for name, label in HOSTILE.items()]
        # The same names once more, with other content.
        other = {name: encode(picture(9, 9, 99 + at), "JPEG") for at, name in enumerate(HOSTILE)}
        serve_job(server, "j", {"c0": described(members, lines), "c1": described(other, lines)})
        output = tmp_path / "inner" / "output"
        report = download(server, output, "images")
        assert report.failed == 0
        assert report.num_images == 2 * len(HOSTILE)
        assert [path.name for path in (tmp_path / "inner").iterdir()] == ["output"]
        assert [path.name for path in output.iterdir()] == ["j"]
        folder = output / "j"
        rows = lines_of(folder / "metadata.jsonl")
        names = [row["file_name"] for row in rows]
        assert len({name.casefold() for name in names}) == len(names)
        assert all(name.count("/") == 1 for name in names)
        for row, data, label in zip(rows, [*members.values(), *other.values()], [*HOSTILE.values()] * 2, strict=True):
            assert (folder / row["file_name"]).read_bytes() == data
            assert row["label"] == label
        folders = {row["label"]: row["file_name"].split("/")[0] for row in rows}
        assert len({name.casefold() for name in folders.values()}) == len(set(HOSTILE.values()))
        assert set(contents(folder)) == {*names, "metadata.jsonl"}
        with pixcrawler.load_dataset(folder) as dataset:
            assert sorted(label for _, label in dataset) == sorted([*HOSTILE.values()] * 2)

    def test_labels_of_any_kind_have_folders_of_their_own(self, server: FaultyServer, tmp_path: Path) -> None:
        labels: list[Any] = [1, "1", None, "unlabelled", True, 0.5, ["a", "b"], {"k": 1}]
        names = [f"{at}.png" for at in range(len(labels))]
        lines = [{"file_name": name, "label": label} for name, label in zip(names, labels, strict=True)]
        serve_job(server, "j", {"c0": described(dict.fromkeys(names, PNG), lines)})
        download(server, tmp_path, "images")
        rows = lines_of(tmp_path / "j" / "metadata.jsonl")
        assert [row["label"] for row in rows] == labels
        folders = [row["file_name"].split("/")[0] for row in rows]
        assert folders[:6] == ["1", "1-2", "unlabelled", "unlabelled-2", "true", "0.5"]
        assert len(set(folders)) == len(labels)


class TestZip:
    def test_the_chunks_are_as_they_are_and_load(self, server: FaultyServer, tmp_path: Path) -> None:
        chunks = chunks_of(numbered(30), 11)
        serve_job(server, "j", chunks)
        report = download(server, tmp_path, "zip")
        assert (report.num_images, report.failed, report.layout) == (30, 0, "zip")
        assert contents(tmp_path / "j") == {f"{name}.zip": data for name, data in chunks.items()}
        opened = eval(report.opens_with)
        with opened as dataset, pixcrawler.load_dataset("j", base_url=server.url) as job:
            for (image, label), (own, own_label) in zip(job, dataset, strict=True):
                np.testing.assert_array_equal(image, own)
                assert label == own_label

    def test_a_folder_without_a_separator_is_no_job(
        self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        serve_job(server, "j", chunks_of(numbered(3), 3))
        report = pixcrawler.download_dataset("j", ".", "zip", base_url=server.url)
        with eval(report.opens_with) as dataset:
            assert dataset.num_images == 3
