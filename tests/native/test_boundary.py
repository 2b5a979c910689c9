"""The native boundary: what arrays are taken, that a bad image spoils no other, that the GIL is free meanwhile."""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from pixcrawler import ImageDecodeError, ImageSizeError, PixCrawlerError, _native
from pixcrawler.limits import Limits
from support import bare_items, decode_one, encode, make_decoder, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

GOOD = [encode(picture(8, 10, seed), kind) for seed, kind in enumerate(["PNG", "JPEG", "WEBP", "PNG"])]


def good_out(count: int = 4) -> NDArray[np.uint8]:
    return np.zeros((count, 8, 10, 3), np.uint8)


def read_only() -> NDArray[np.uint8]:
    out = good_out()
    out.flags.writeable = False
    return out


class TestArrays:
    @pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float32, np.bool_, object])
    def test_F05_another_dtype_is_a_type_error(self, dtype: Any) -> None:
        with pytest.raises(TypeError, match="uint8"):
            make_decoder().decode_into(bare_items(GOOD), np.zeros((4, 8, 10, 3), dtype))

    @pytest.mark.parametrize("out", [bytearray(960), memoryview(bytearray(960)), [[0]], None])
    def test_F05_what_is_no_array_is_a_type_error(self, out: Any) -> None:
        with pytest.raises(TypeError):
            make_decoder().decode_into(bare_items(GOOD), out)

    @pytest.mark.parametrize("shape", [(4, 8, 10), (3, 8, 10, 3), (5, 8, 10, 3), (4, 8, 10, 4), (4, 8, 30), (960,), ()])
    def test_F05_another_shape_is_a_value_error(self, shape: tuple[int, ...]) -> None:
        out = np.full(shape, 7, np.uint8)
        # An array of another number of axes is another type to the binding, and is told so.
        with pytest.raises(ValueError if len(shape) == 4 else (ValueError, TypeError)):
            make_decoder().decode_into(bare_items(GOOD), out)
        assert (out == 7).all()

    def test_the_message_has_both_shapes(self) -> None:
        with pytest.raises(
            ValueError, match=r"\(?4, 9, 10, 3\)?.*\(?4, 5, 6, 3\)?|\(?4, 5, 6, 3\)?.*\(?4, 9, 10, 3\)?"
        ):
            make_decoder(image_size=(5, 6)).decode_into(bare_items(GOOD), np.zeros((4, 9, 10, 3), np.uint8))

    @pytest.mark.parametrize(
        "make",
        [
            read_only,
            lambda: np.zeros((4, 8, 20, 3), np.uint8)[:, :, ::2],
            lambda: np.zeros((4, 3, 8, 10), np.uint8).transpose(0, 2, 3, 1),
            lambda: np.asfortranarray(good_out()),
            lambda: good_out()[::-1],
            lambda: np.broadcast_to(np.zeros((1, 8, 10, 3), np.uint8), (4, 8, 10, 3)),
        ],
        ids=["read-only", "step", "transposed", "fortran", "reversed", "broadcast"],
    )
    def test_F05_another_layout_is_a_value_error(self, make: Callable[[], NDArray[np.uint8]]) -> None:
        out = make()
        before = out.copy()
        with pytest.raises(ValueError):
            make_decoder().decode_into(bare_items(GOOD), out)
        assert np.array_equal(out, before)

    def test_F05_a_part_of_an_array_that_is_contiguous_is_taken_and_nothing_beside_it_is_touched(self) -> None:
        whole = np.full((6, 8, 10, 3), 7, np.uint8)
        assert make_decoder().decode_into(bare_items(GOOD), whole[1:5]) == [None] * 4
        assert (whole[0] == 7).all()
        assert (whole[5] == 7).all()
        np.testing.assert_array_equal(whole[1], picture(8, 10, 0))

    def test_F05_an_array_that_is_in_use_by_another_call_is_a_value_error(self) -> None:
        items = bare_items([encode(picture(500, 500), "PNG")] * 40)
        out = np.zeros((40, 500, 500, 3), np.uint8)
        decoder = make_decoder(threads=1)
        refusals: list[str] = []
        started = threading.Event()

        def use(barrier: threading.Event) -> None:
            barrier.set()
            try:
                decoder.decode_into(items, out)
            except ValueError as exc:
                refusals.append(str(exc))

        first = threading.Thread(target=use, args=(started,))
        first.start()
        started.wait()
        time.sleep(0.02)
        # Also a view of a part of it.
        with pytest.raises(ValueError):
            make_decoder(threads=2).decode_into(items[:2], out[38:])
        first.join()
        assert refusals == []
        assert decoder.decode_into(items[:2], out[:2]) == [None, None]

    def test_F08_no_items(self) -> None:
        assert make_decoder().decode_into([], np.zeros((0, 8, 10, 3), np.uint8)) == []
        assert make_decoder().decode([], max_bytes=1) == []
        assert make_decoder().probe([]) == []


class TestArguments:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("mode", "BGR"),
            ("resize_mode", "squeeze"),
            ("interpolation", "cubic"),
            ("image_size", (0, 5)),
            ("threads", 0),
        ],
    )
    def test_of_a_decoder(self, name: str, value: Any) -> None:
        with pytest.raises(ValueError):
            make_decoder(**{name: value})

    def test_an_item_whose_buffer_does_not_hold_it(self) -> None:
        directory = _native.Directory.bare(["a", "b"], [100, 50])
        for buffer, offset, index in ((bytes(99), 0, 0), (bytes(100), 1, 0), (bytes(150), 0, 2), (bytes(10), 200, 1)):
            try:
                (result,) = make_decoder().decode([(buffer, offset, directory, index)], max_bytes=1 << 20)
            except (ValueError, IndexError):
                continue
            assert isinstance(result, PixCrawlerError)

    def test_an_index_out_of_the_directory(self) -> None:
        directory = _native.Directory.bare(["a"], [5])
        for call in (directory.name, directory.extent):
            with pytest.raises(IndexError):
                call(1)
        assert directory.find("b") is None


class TestNeighbours:
    def test_a_bad_image_leaves_all_other_slots_exact(self) -> None:
        bad = [b"", b"garbage", GOOD[1][: len(GOOD[1]) // 2], GOOD[0][:40], encode(picture(3, 3), "PNG")]
        files = []
        for number in range(50):
            files.append(GOOD[number % 4])
            files.append(bad[number % 5])
        out = np.full((100, 8, 10, 3), 7, np.uint8)
        results = make_decoder().decode_into(bare_items(files), out)
        expected = [decode_one(data) for data in GOOD]
        for number in range(50):
            assert results[2 * number] is None
            np.testing.assert_array_equal(out[2 * number], expected[number % 4])
            assert isinstance(results[2 * number + 1], PixCrawlerError)
        assert isinstance(results[9], ImageSizeError)
        assert "8 x 10" in str(results[9]) or "(8, 10)" in str(results[9])
        assert "3 x 3" in str(results[9]) or "(3, 3)" in str(results[9])

    def test_of_decode_too_and_in_any_number_of_threads(self) -> None:
        files = [GOOD[0], b"bad", GOOD[1], GOOD[2][:-9], GOOD[3]] * 8
        results = []
        for threads in (1, 2, 7):
            found = make_decoder(threads=threads).decode(bare_items(files), max_bytes=1 << 30)
            results.append([one if isinstance(one, np.ndarray) else str(one) for one in found])
            assert isinstance(found[1], ImageDecodeError)
        for others in results[1:]:
            for one, other in zip(results[0], others, strict=True):
                assert np.array_equal(one, other)

    def test_decode_stops_before_what_is_larger_than_asked_for(self) -> None:
        items = bare_items([encode(picture(10, 10))] * 6)
        decoder = make_decoder()
        assert len(decoder.decode(items, max_bytes=6 * 300)) == 6
        assert len(decoder.decode(items, max_bytes=3 * 300)) == 3
        assert len(decoder.decode(items, max_bytes=3 * 300 - 1)) == 2
        assert len(decoder.decode(items, max_bytes=1)) == 1

    def test_its_statistics_count(self) -> None:
        decoder = make_decoder(image_size=(5, 5))
        decoder.decode(bare_items(GOOD), max_bytes=1 << 20)
        stats = decoder.stats()
        others = {"gif": 0, "bmp": 0, "tiff": 0}
        assert stats["images_by_decoder"] == {"pixcrawler-jpeg": 1, "libjpeg-turbo": 0, "png": 2, "libwebp": 1} | others
        assert stats["encoded_bytes"] == sum(map(len, GOOD))
        assert stats["decode_ns"] > 0
        assert stats["resize_ns"] > 0


class TestGil:
    def test_F04_other_threads_run_while_a_batch_is_decoded(self) -> None:
        items = bare_items([encode(picture(600, 800), "JPEG")] * 60)
        decoder = make_decoder(threads=1)
        span: list[float] = []

        def decode() -> None:
            span.append(time.perf_counter())
            decoder.decode_into(items, np.empty((60, 600, 800, 3), np.uint8))
            span.append(time.perf_counter())

        thread = threading.Thread(target=decode)
        ticks = []
        thread.start()
        while thread.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(0.001)
        thread.join()
        began, ended = span
        assert ended - began > 0.05
        inside = [tick for tick in ticks if began < tick < ended]
        # Held, the GIL would let no tick in between.
        assert len(inside) > 20

    def test_F04_calls_of_two_threads_overlap(self) -> None:
        items = bare_items([encode(picture(600, 800), "JPEG")] * 30)
        spans = []

        def decode(threads: int) -> None:
            began = time.perf_counter()
            make_decoder(threads=threads).decode_into(items, np.empty((30, 600, 800, 3), np.uint8))
            spans.append((began, time.perf_counter()))

        threads = [threading.Thread(target=decode, args=(count,)) for count in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (first_began, first_ended), (second_began, second_ended) = spans
        assert max(first_began, second_began) < min(first_ended, second_ended)

    @pytest.fixture
    def nervous_switching(self) -> Iterator[None]:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        yield
        sys.setswitchinterval(interval)

    def test_many_threads_share_one_decoder(self, nervous_switching: None) -> None:
        decoder = make_decoder()
        expected = [decode_one(data) for data in GOOD]
        wrong = []

        def work() -> None:
            for _ in range(25):
                results = decoder.decode(bare_items([*GOOD, b"bad"]), max_bytes=1 << 20)
                if not all(map(np.array_equal, results[:4], expected)) or not isinstance(results[4], PixCrawlerError):
                    wrong.append(results)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


class TestSegmentBuffer:
    def test_bytes_come_in_pieces_and_are_decoded_once_sealed(self) -> None:
        data = GOOD[1]
        buffer = _native.SegmentBuffer(len(data))
        directory = _native.Directory.bare(["a.jpg"], [len(data)])
        for start in range(0, len(data), 100):
            assert buffer.filled == start
            buffer.write(data[start : start + 100])
        assert len(buffer) == buffer.filled == len(data)
        buffer.seal()
        (image,) = make_decoder().decode([(buffer, 0, directory, 0)], max_bytes=1 << 20)
        np.testing.assert_array_equal(image, decode_one(data))
        assert buffer.tobytes(3, 9) == data[3:9]

    def test_an_unsealed_buffer_is_not_read(self) -> None:
        buffer = _native.SegmentBuffer(4)
        buffer.write(b"abcd")
        with pytest.raises(ValueError):
            buffer.tobytes(0, 4)
        with pytest.raises(ValueError):
            make_decoder().probe([(buffer, 0, _native.Directory.bare(["a"], [4]), 0)])

    def test_it_takes_what_was_promised_and_no_more(self) -> None:
        buffer = _native.SegmentBuffer(4)
        buffer.write(b"ab")
        with pytest.raises(ValueError):
            buffer.seal()
        with pytest.raises(ValueError):
            buffer.write(b"cde")
        assert buffer.filled == 2
        buffer.write(b"cd")
        buffer.seal()
        with pytest.raises(ValueError):
            buffer.write(b"e")
        with pytest.raises((ValueError, IndexError)):
            buffer.tobytes(2, 5)

    @pytest.mark.parametrize("blocking", [False, True])
    def test_it_receives_from_a_socket(self, *, blocking: bool) -> None:
        data = bytes(range(256)) * 2048
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(blocking)
            sender = threading.Thread(target=theirs.sendall, args=(data + b"more",))
            sender.start()
            buffer = _native.SegmentBuffer(len(data) + 8)
            buffer.write(data[:8])
            came, ended = 0, False
            while came < len(data):
                received, ended = buffer.receive(ours.fileno(), len(data) - came, 5.0)
                came += received
                assert received
                assert not ended
            sender.join()
            buffer.seal()
            assert buffer.tobytes(0, len(buffer)) == data[:8] + data
            assert ours.recv(10) == b"more"

    def test_it_stops_receiving_at_the_end_the_time_and_its_own_size(self) -> None:
        ours, theirs = socket.socketpair()
        with ours:
            buffer = _native.SegmentBuffer(8)
            began = time.monotonic()
            assert buffer.receive(ours.fileno(), 8, 0.05) == (0, False)
            assert time.monotonic() - began >= 0.05
            theirs.sendall(b"abc")
            assert buffer.receive(ours.fileno(), 2, 5.0) == (2, False)
            theirs.close()
            assert buffer.receive(ours.fileno(), 100, 5.0) == (1, True)
            assert buffer.filled == 3
            with pytest.raises(ValueError):
                buffer.seal()

    def test_what_is_no_socket_is_an_os_error_and_a_sealed_buffer_a_value_error(self) -> None:
        buffer = _native.SegmentBuffer(1)
        with Path(os.devnull).open("rb") as file, pytest.raises(OSError):
            buffer.receive(file.fileno(), 1, 1.0)
        with pytest.raises(OSError):
            buffer.receive(-1, 1, 1.0)
        with pytest.raises(ValueError):
            buffer.receive(0, 1, float("nan"))
        buffer.write(b"x")
        buffer.seal()
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(ValueError):
            buffer.receive(ours.fileno(), 1, 1.0)

    def test_while_one_call_receives_others_neither_write_nor_seal(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            buffer = _native.SegmentBuffer(1)
            receiver = threading.Thread(target=buffer.receive, args=(ours.fileno(), 1, 30.0))
            receiver.start()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                try:
                    buffer.write(b"")
                except ValueError:
                    break
            with pytest.raises(ValueError):
                buffer.write(b"x")
            with pytest.raises(ValueError):
                buffer.seal()
            theirs.sendall(b"y")
            receiver.join()
            buffer.seal()
            assert buffer.tobytes(0, 1) == b"y"

    def test_a_promise_takes_no_memory(self) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        buffer = _native.SegmentBuffer(1 << 30)
        buffer.write(b"a")
        assert buffer.filled == 1
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024

    def test_one_that_no_machine_could_keep_is_an_error_and_no_abort(self) -> None:
        with pytest.raises(MemoryError):
            _native.SegmentBuffer(1 << 60)


def test_formats_are_detected() -> None:
    image = Image.fromarray(picture(4, 4))
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        assert _native.detect_format(encode(image, kind)[:32]) == kind.lower()
    assert _native.detect_format(b"") is None
    assert _native.detect_format(b"<html>") is None


def test_the_build_is_one_to_ship() -> None:
    build = _native.build_info()
    assert build["jpeg_simd"] is True
    assert build["profile"] == "release"
    assert build["version"] == _native.__version__
    assert build["jpeg_library"].startswith("libjpeg-turbo")
    assert build["resize_kernel"]


def test_limits_have_one_set_of_names_and_defaults() -> None:
    # A limit that the native core read under another name would raise here.
    assert decode_one(GOOD[0], limits=Limits()).shape == (8, 10, 3)
    with pytest.raises((TypeError, AttributeError, ValueError)):
        make_decoder(limits=object())
