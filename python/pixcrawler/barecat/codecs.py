"""Values in place of bytes: :class:`DecodedView`, and what its codecs do for each extension.

Images are read by this package's own decoders, whatever else is installed; Pillow, which writes them, is imported when
the first one is written.
"""

from __future__ import annotations

import io
import posixpath
import struct
import zlib
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from pixcrawler.exceptions import PixCrawlerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Encoder: TypeAlias = Callable[[Any], bytes]
    Decoder: TypeAlias = Callable[[bytes], Any]

__all__ = ["Codec", "DecodedView"]

_JPEG_QUALITY = 95
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEEP = 16


class Codec(NamedTuple):
    """How values of an extension become bytes and back.

    Attributes:
        encode: Value -> bytes.
        decode: Bytes -> value.
        nonfinal: Whether the value is bytes, for the codec of the extension in front of it.
    """

    encode: Encoder
    decode: Decoder
    nonfinal: bool = False


class DecodedView(MutableMapping[str, Any]):
    """A mapping of paths to values, over one of paths to bytes. The extension says how they are coded.

    ``.jpg .jpeg .png .bmp .gif .tif .tiff .webp`` are arrays: (H, W, 3) RGB uint8, upright by their EXIF; a PNG may be
    (H, W) or (H, W, 4), and uint16; BMP, GIF, TIFF and WebP may be (H, W, 4). ``.npy`` is an array, ``.npz`` a dict of
    arrays, ``.json`` an object, ``.msgpack`` an object with arrays (if msgpack_numpy is installed). ``.gz .gzip .xz
    .lzma .bz2`` compress what the extension before them says, as in ``a.json.gz``.

    ``.pkl`` and ``.pickle`` are any object. Reading a pickle runs code that it holds: read those that you trust alone.

    Args:
        store: The bytes, such as an archive.
    """

    def __init__(self, store: MutableMapping[str, bytes]) -> None:
        self.store = store
        self.codecs: dict[str, Codec] = dict(_CODECS)

    def register_codec(self, exts: Iterable[str], encoder: Encoder, decoder: Decoder, nonfinal: bool = False) -> None:
        """Say how extensions are coded.

        Args:
            exts: With their dots, such as ``".txt"``.
            encoder: Value -> bytes.
            decoder: Bytes -> value.
            nonfinal: The value is bytes, and the extension in front says what they are.
        """
        for ext in exts:
            self.codecs[ext.lower()] = Codec(encoder, decoder, nonfinal)

    def clear_codecs(self) -> None:
        """Forget all codecs."""
        self.codecs.clear()

    def _codecs_of(self, path: str) -> list[Codec]:
        """The codecs of a path, the outermost first."""
        found: list[Codec] = []
        stem = path
        while not found or found[-1].nonfinal:
            stem, ext = posixpath.splitext(stem)
            codec = self.codecs.get(ext.lower())
            if codec is None:
                known = " ".join(sorted(self.codecs))
                raise ValueError(f"No codec registered for {ext.lower()!r}. Known are {known}; see register_codec")
            found.append(codec)
        return found

    def __getitem__(self, path: str) -> Any:
        codecs = self._codecs_of(path)
        value: Any = self.store[path]
        try:
            for codec in codecs:
                value = codec.decode(value)
        except PixCrawlerError as exc:
            raise exc.with_place(member=path) from exc.__cause__
        return value

    def __setitem__(self, path: str, value: Any) -> None:
        for codec in reversed(self._codecs_of(path)):
            value = codec.encode(value)
        self.store[path] = value

    def __delitem__(self, path: str) -> None:
        del self.store[path]

    def __contains__(self, path: object) -> bool:
        return path in self.store

    def __iter__(self) -> Iterator[str]:
        return iter(self.store)

    def __len__(self) -> int:
        return len(self.store)

    def __getstate__(self) -> dict[str, Any]:
        """The codecs of this module are made of functions that have no name of their own: their extensions will do."""
        own = {ext: codec for ext, codec in self.codecs.items() if _CODECS.get(ext) is not codec}
        return {"store": self.store, "known": [ext for ext in self.codecs if ext not in own], "own": own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.store = state["store"]
        self.codecs = {ext: _CODECS[ext] for ext in state["known"]} | state["own"]

    def __getattr__(self, name: str) -> Any:
        """Everything else is the store's."""
        if name.startswith("__") or name in {"store", "codecs"}:
            raise AttributeError(name)
        return getattr(self.store, name)


def _decode_image(data: bytes, mode: str) -> NDArray[np.uint8]:
    from pixcrawler._native import Decoder as NativeDecoder
    from pixcrawler._native import Directory
    from pixcrawler.limits import Limits

    decoder = NativeDecoder(
        mode=mode,
        image_size=None,
        resize_mode="stretch",
        interpolation="bilinear",
        apply_exif=True,
        draft=False,
        keep_truncated=False,
        limits=Limits(),
        threads=1,
        working_bytes=1 << 62,
    )
    (found,) = decoder.decode([(data, 0, Directory.bare(["image"], [len(data)]), 0)], max_bytes=1 << 62)
    if isinstance(found, PixCrawlerError):
        raise found
    return found  # type: ignore[return-value]  # nothing is kept that is not whole


def _decode_rgb(data: bytes) -> NDArray[np.uint8]:
    return _decode_image(data, "RGB")


def _decode_rgb_or_rgba(data: bytes) -> NDArray[np.uint8]:
    """With its alpha channel if that says anything."""
    image = _decode_image(data, "RGBA")
    return image if (image[..., 3] != 255).any() else image[..., :3].copy()  # noqa: PLR2004


def _decode_png(data: bytes) -> NDArray[Any]:
    # PNG 11.2.2: the header chunk is the first; depth and colour type follow width and height.
    if not data.startswith(_PNG_SIGNATURE) or data[12:16] != b"IHDR" or len(data) <= 25:  # noqa: PLR2004
        return _decode_rgb(data)
    depth, color = data[24], data[25]
    if depth == _DEEP:
        return _decode_deep_png(data)
    image = _decode_image(data, {0: "L", 4: "RGBA", 6: "RGBA"}.get(color, "RGB"))
    return image[..., 0] if color == 0 else image


def _decode_deep_png(data: bytes) -> NDArray[np.uint16]:
    import numpy as np

    from pixcrawler._native import decode_png16
    from pixcrawler.limits import Limits

    samples, shape = decode_png16(data, Limits())
    image = np.frombuffer(samples, ">u2").astype(np.uint16).reshape(shape)
    if shape[2] == 1:
        return image[..., 0]
    # Grey with alpha: the grey three times, then the alpha.
    return image[..., [0, 0, 0, 1]] if shape[2] == 2 else image  # noqa: PLR2004


def _image(value: Any, kinds: tuple[str, ...], channels: tuple[int, ...]) -> Any:
    """A value as an array that an image can be made of."""
    import numpy as np

    array = np.asarray(value)
    depth = array.shape[2] if array.ndim == 3 else 1  # noqa: PLR2004
    if array.dtype.name not in kinds or array.ndim not in {2, 3} or depth not in channels or not array.size:
        message = f"expected an array (H, W) or (H, W, C) of {' or '.join(kinds)}, got {array.dtype} {array.shape}"
        raise ValueError(message)
    return array[..., 0] if array.ndim == 3 and depth == 1 else array  # noqa: PLR2004


def _encode_with_pillow(kind: str, *, alpha: bool, **options: Any) -> Encoder:
    def encode(value: Any) -> bytes:
        from PIL import Image

        array = _image(value, ("uint8", "bool") if kind != "JPEG" else ("uint8",), (1, 3, 4))
        if array.ndim == 3 and not alpha:  # noqa: PLR2004
            array = array[..., :3]
        out = io.BytesIO()
        Image.fromarray(array).save(out, kind, **options)
        return out.getvalue()

    return encode


def _encode_png(value: Any) -> bytes:
    import numpy as np

    if getattr(value, "dtype", None) == np.uint16:
        return _encode_deep_png(_image(value, ("uint16",), (1, 2, 3, 4)))
    return _encode_with_pillow("PNG", alpha=True)(value)


def _encode_deep_png(array: Any) -> bytes:
    """A PNG of 16 bits a channel (PNG 5.3, 9.2), which Pillow writes of grey alone: rows as they are, deflated."""
    height, width, *rest = array.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[rest[0] if rest else 1]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, _DEEP, color, 0, 0, 0)
    parts = [_PNG_SIGNATURE]
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        parts += [struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(kind + data))]
    return b"".join(parts)


def _encode_npy(value: Any) -> bytes:
    import numpy as np

    out = io.BytesIO()
    np.save(out, value, allow_pickle=False)
    return out.getvalue()


def _decode_npy(data: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def _encode_npz(value: Any) -> bytes:
    import numpy as np

    out = io.BytesIO()
    np.savez(out, **value)
    return out.getvalue()


def _decode_npz(data: bytes) -> Any:
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def _encode_json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode("utf-8")


def _decode_json(data: bytes) -> Any:
    import json

    return json.loads(data)


def _encode_pickle(value: Any) -> bytes:
    import pickle

    return pickle.dumps(value)


def _decode_pickle(data: bytes) -> Any:
    import pickle

    return pickle.loads(data)  # noqa: S301  # what the class's documentation says


def _encode_msgpack(value: Any) -> bytes:
    packed: bytes = import_module("msgpack_numpy").packb(value)
    return packed


def _decode_msgpack(data: bytes) -> Any:
    return import_module("msgpack_numpy").unpackb(data)


def _compression(module: str) -> Codec:
    def encode(value: bytes) -> bytes:
        compressed: bytes = import_module(module).compress(value)
        return compressed

    def decode(data: bytes) -> bytes:
        plain: bytes = import_module(module).decompress(data)
        return plain

    return Codec(encode, decode, nonfinal=True)


_IMAGES = {
    (".jpg", ".jpeg"): Codec(_encode_with_pillow("JPEG", alpha=False, quality=_JPEG_QUALITY), _decode_rgb),
    (".png",): Codec(_encode_png, _decode_png),
    (".bmp",): Codec(_encode_with_pillow("BMP", alpha=True), _decode_rgb_or_rgba),
    (".gif",): Codec(_encode_with_pillow("GIF", alpha=True), _decode_rgb_or_rgba),
    (".tif", ".tiff"): Codec(_encode_with_pillow("TIFF", alpha=True), _decode_rgb_or_rgba),
    (".webp",): Codec(_encode_with_pillow("WEBP", alpha=True, lossless=True), _decode_rgb_or_rgba),
}
_OTHERS = {
    (".npy",): Codec(_encode_npy, _decode_npy),
    (".npz",): Codec(_encode_npz, _decode_npz),
    (".json",): Codec(_encode_json, _decode_json),
    (".pkl", ".pickle"): Codec(_encode_pickle, _decode_pickle),
    (".msgpack",): Codec(_encode_msgpack, _decode_msgpack),
    (".gz", ".gzip"): _compression("gzip"),
    (".xz", ".lzma"): _compression("lzma"),
    (".bz2",): _compression("bz2"),
}
_CODECS = {ext: codec for table in (_IMAGES, _OTHERS) for exts, codec in table.items() for ext in exts}
