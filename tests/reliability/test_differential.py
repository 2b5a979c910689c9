"""U04 and U05: our zip reader against others, and good members among hostile ones."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import warnings
import zipfile
from pathlib import Path

import pytest

from pixcrawler import PixCrawlerError
from support import encode, open_directory, picture, run_child, zip_of

TESTS = Path(__file__).resolve().parent.parent
# What the other readers may write: some archives of the corpora are bombs.
OTHERS_KIB = 64 << 10


def ours(path: Path) -> dict[int, bytes]:
    """The members that we deliver, by the position of their local header."""
    data = path.read_bytes()
    members: dict[int, bytes] = {}
    try:
        directory = open_directory(data)
    except PixCrawlerError:
        return members
    for index in range(len(directory)):
        start, stop = directory.extent(index)
        try:
            members[start] = directory.read_member(index, data[start:stop], start)
        except PixCrawlerError:
            continue
    return members


def zipfiles(path: Path) -> dict[int, bytes]:
    """The members that Python's zipfile delivers, likewise."""
    members: dict[int, bytes] = {}
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
            warnings.simplefilter("ignore")
            for info in archive.infolist():
                if info.file_size > OTHERS_KIB << 10:
                    continue
                try:
                    members[info.header_offset] = archive.read(info)
                except Exception:  # noqa: BLE001 - it raises whatever its parts raise
                    continue
    except Exception:  # noqa: BLE001
        return members
    return members


def unzips(path: Path, place: Path) -> set[bytes]:
    """The contents that Info-ZIP's unzip extracts, with what it complains of."""
    place.mkdir()
    script = 'ulimit -f "$0" && exec unzip -qq -o -P x "$1" -d "$2"'
    command = ["sh", "-c", script, str(2 * OTHERS_KIB), str(path), str(place)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    files = (file for file in place.rglob("*") if file.is_file() and not file.is_symlink())
    contents = {file.read_bytes() for file in files}
    shutil.rmtree(place, ignore_errors=True)
    return contents


def compare(path: Path, place: Path, *, with_unzip: bool) -> int:
    """What we deliver, zipfile delivers with the same bytes, or else unzip does; says how many members we deliver."""
    delivered, expected = ours(path), zipfiles(path)
    alone = {}
    for position, data in delivered.items():
        if position in expected:
            assert data == expected[position], f"{path.name}: other bytes at {position}"
        elif data:
            alone[position] = data
    if alone and with_unzip:
        contents = unzips(path, place)
        missing = [position for position, data in alone.items() if data not in contents]
        assert not missing, f"{path.name}: delivered by us alone: members at {missing}"
    return len(delivered)


def test_U04_corpora(data_dir: Path, tmp_path: Path) -> None:
    if shutil.which("unzip") is None:
        pytest.skip("no unzip")
    paths = [path for path in sorted((data_dir / "corpus/zip").rglob("*")) if path.is_file()]
    delivered = sum(compare(path, tmp_path / "out", with_unzip=True) for path in paths)
    assert len(paths) > 150
    assert delivered > 200


FIELDS = [(b"PK\1\2", 46), (b"PK\3\4", 30), (b"PK\5\6", 22), (b"PK\7\x08", 16)]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to three changes: mostly to a header's bytes, else anywhere."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        signature, length = chance.choice(FIELDS)
        places = [at for at in range(len(data)) if data.startswith(signature, at)]
        if places and chance.random() < 0.8:
            at = chance.choice(places) + chance.randrange(length)
        else:
            at = chance.randrange(len(changed))
        if at < len(changed):
            changed[at] = chance.choice([0, 1, 2, 8, 9, 255, changed[at] ^ 1 << chance.randrange(8)])
    # The version needed: we read what we know, the others refuse a number that they do not know.
    for signature, field in ((b"PK\1\2", 6), (b"PK\3\4", 4)):
        for at in (at for at in range(len(data)) if data.startswith(signature, at)):
            changed[at + field] = data[at + field]
    return bytes(changed if chance.random() < 0.9 else changed[: chance.randrange(len(changed))])


def streamed(members: dict[str, bytes], place: Path) -> bytes:
    """With data descriptors, as zipfile writes to what it cannot seek in."""
    with place.open("wb") as out, zipfile.ZipFile(Unseekable(out), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in members.items():
            archive.writestr(name, data)
    return place.read_bytes()


class Unseekable:
    """A file that can only be written to."""

    def __init__(self, out: object) -> None:
        self.write = out.write  # type: ignore[attr-defined]
        self.flush = out.flush  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["stored", "deflated", "descriptors"])
def test_U04_mutated_zips(kind: str, tmp_path: Path) -> None:
    has_unzip = shutil.which("unzip") is not None
    members = {"cat/1.jpg": encode(picture(5, 6), "JPEG"), "dog/2.png": encode(picture(5, 6)), "e": b"", "f": b"fish"}
    if kind == "descriptors":
        data = streamed(members, tmp_path / "base.zip")
    else:
        data = zip_of(members, zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED)
    path = tmp_path / "mutated.zip"
    path.write_bytes(data)
    assert compare(path, tmp_path / "out", with_unzip=True) == len(members)
    originals = set(members.values())
    chance = random.Random(kind)
    delivered = 0
    for _ in range(1500):
        path.write_bytes(mutated(data, chance))
        delivered += compare(path, tmp_path / "out", with_unzip=has_unzip)
        assert originals.issuperset(ours(path).values())
    assert 500 < delivered < 1500 * len(members)


CROSSING = """
import json, random, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
import support
from pixcrawler import PixCrawlerError, _native
from pixcrawler.limits import Limits

folders = [Path(name) for name in json.loads(sys.argv[2])]
hostile = []
for folder in folders:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            hostile += [data] if data[1:4] != b"PNG" else [data, support.repair_png(data)]
kinds = ("JPEG", "PNG", "WEBP")
good = [support.encode(support.picture(20 + n, 30 + 7 * n, n), kinds[n % 3]) for n in range(12)]
limits = Limits(pixels=2_000_000)
options = [{}, {"image_size": (16, 24), "draft": True}, {"mode": "RGBA", "keep_truncated": True}]
decoders = [[support.make_decoder(limits=limits, threads=n, **chosen) for n in range(1, 9)] for chosen in options]
expected = [[support.decode_one(data, limits=limits, **chosen) for data in good] for chosen in options]

def decode_all(decoder, files):
    # In one call, or as many as the bound on bytes asks for.
    results, rest = [], support.bare_items(files)
    while rest:
        results += decoder.decode(rest[:], max_bytes=64 << 20)
        rest = support.bare_items(files)[len(results):]
    images = [one.image if isinstance(one, _native.Kept) else one for one in results]
    return [one.code if isinstance(one, PixCrawlerError) else (one.shape, one.tobytes()) for one in images]

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1024 << 20), used + (1024 << 20)))
chance, refused = random.Random(5), 0
for number in range(int(sys.argv[3])):
    chosen = number % len(options)
    order = [("good", n) for n in range(len(good))] + [("bad", n) for n in chance.sample(range(len(hostile)), 30)]
    chance.shuffle(order)
    files = [good[n] if kind == "good" else hostile[n] for kind, n in order]
    found = None
    for decoder in chance.sample(decoders[chosen], 3):
        results = decode_all(decoder, files)
        assert found is None or results == found, "another result with other threads"
        found = results
    for (kind, n), result in zip(order, found, strict=True):
        if kind == "good":
            assert result == (expected[chosen][n].shape, expected[chosen][n].tobytes()), order
        else:
            refused += isinstance(result, str)
assert "internal" not in found
print(json.dumps({"hostile": len(hostile), "refused": refused}))
"""


@pytest.mark.timeout(120)
def test_U05_good_members_among_hostile_ones(data_dir: Path) -> None:
    folders = [data_dir / "corpus" / name for name in ("jpeg/fuzz", "jpeg/go-fuzz", "png/fuzz", "png/go-fuzz")]
    folders = [folder for folder in folders if folder.is_dir()]
    if not folders:
        pytest.skip("no corpora")
    report = json.loads(run_child(CROSSING, TESTS, json.dumps([str(f) for f in folders]), 60, timeout_s=110))
    assert report["hostile"] > 800
    assert report["refused"] > 1000


def test_U05_good_members_among_the_seeds_of_the_fuzz_targets() -> None:
    folders = [str(TESTS.parent / "fuzz" / "seeds")]
    report = json.loads(run_child(CROSSING, TESTS, json.dumps(folders), 15))
    assert report["refused"] > 100
