"""Bad pictures of every kind, made from good ones: name -> what writes it into a folder."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

Make = Callable[[Path], Path]
SIZE = (24, 18)  # width, height


LAUGHS = "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
OUTSIDE = '<!ENTITY a SYSTEM "file:///etc/passwd">'


def xmp_of(entities: str, words: str) -> bytes:
    """An XMP packet with a title made of entities."""
    return (
        f'<!DOCTYPE x [<!ENTITY a "ha">{entities}]><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:source>{words}</dc:source>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def scene(mode: str = "RGB") -> Image.Image:
    """A small picture of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    """A picture's bytes in a format."""
    buffer = io.BytesIO()
    (image or scene()).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    """A chunk of a PNG."""
    crc = zlib.crc32(name + data) if crc is None else crc
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png(*chunks: bytes) -> bytes:
    """A PNG of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG's first chunk."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def good_files() -> dict[str, bytes]:
    """A whole file of every format that is read."""
    several = [scene(), Image.new("RGB", SIZE, "red")]
    files = {
        "png": encoded("PNG"),
        "palette.png": encoded("PNG", scene("P")),
        "jpg": encoded("JPEG"),
        "progressive.jpg": encoded("JPEG", progressive=True),
        "webp": encoded("WEBP", lossless=True),
        "lossy.webp": encoded("WEBP"),
        "gif": encoded("GIF", save_all=True, append_images=several[1:]),
        "tif": encoded("TIFF"),
        "lzw.tif": encoded("TIFF", compression="tiff_lzw"),
        "bmp": encoded("BMP"),
        "ppm": encoded("PPM"),
    }
    if features.check("avif"):
        files["avif"] = encoded("AVIF")
    if features.check("jpg_2000"):
        files["jp2"] = encoded("JPEG2000")
    return files


def file_of(name: str, content: bytes) -> Make:
    """What writes a file."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def cut_files() -> Iterator[tuple[str, Make]]:
    """Every format cut off at many places, and with bytes overwritten."""
    for name, content in good_files().items():
        marks = {
            1,
            4,
            8,
            13,
            len(content) // 4,
            len(content) // 2,
            3 * len(content) // 4,
            len(content) - 20,
            len(content) - 1,
        }
        for at in sorted(marks):
            yield f"cut at {at} of {len(content)}.{name}", file_of(f"cut.{name}", content[:at])
        for start in (0, 10, 16, len(content) // 3, len(content) // 2):
            spoiled = bytearray(content)
            spoiled[start : start + 12] = b"\xff" * 12
            yield f"overwritten at {start}.{name}", file_of(f"x.{name}", bytes(spoiled))
        yield (
            f"zeros from the middle.{name}",
            file_of(f"z.{name}", content[: len(content) // 2] + bytes(len(content) // 2)),
        )


def crafted_files() -> Iterator[tuple[str, Make]]:
    """Files that say something wrong about themselves."""
    body = chunk(b"IDAT", zlib.compress(bytes(19 * 100)))
    end = chunk(b"IEND", b"")
    huge = 2**31 - 1
    wrong_crc = chunk(b"IDAT", zlib.compress(bytes(73 * 18)), crc=1)
    jpeg = encoded("JPEG")
    size_at = jpeg.index(b"\xff\xc0") + 5
    gif, bmp = encoded("GIF"), encoded("BMP")
    tiff = encoded("TIFF")
    crafted = {
        "wrong crc of the pixels.png": png(header(*SIZE), wrong_crc, end),
        "wrong crc of the header.png": png(
            chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 6, 8, 2, 0, 0, 0), crc=7), body, end
        ),
        "no pixels wide.png": png(header(0, 6), body, end),
        "no pixels at all.png": png(header(0, 0), body, end),
        "two billion wide.png": png(header(huge, huge), body, end),
        "a gigapixel of nothing.png": png(header(40_000, 40_000), body, end),
        "just too large.png": png(header(20_000, 10_001), body, end),
        "one very long line.png": png(header(2**30, 1), body, end),
        "depth 3.png": png(header(6, 6, depth=3), body, end),
        "colour type 5.png": png(header(6, 6, colour=5), body, end),
        "no pixel data.png": png(header(6, 6), end),
        "no end.png": png(header(6, 6), body),
        "two headers.png": png(header(6, 6), header(60_000, 60_000), body, end),
        "not deflated.png": png(header(6, 6), chunk(b"IDAT", b"hello"), end),
        "palette without colours.png": png(header(6, 6, colour=3), body, end),
        "palette of half a colour.png": png(
            header(6, 6, colour=3), chunk(b"PLTE", b"ab"), body, end
        ),
        "index beyond the palette.png": png(
            header(6, 6, colour=3),
            chunk(b"PLTE", b"abc"),
            chunk(b"IDAT", zlib.compress(bytes([0, *[250] * 6] * 6))),
            end,
        ),
        "a bomb of text.png": png(
            header(6, 6), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 9)), body, end
        ),
        "a bomb of a profile.png": png(
            header(6, 6), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000), 9)), body, end
        ),
        "a chunk longer than the file.png": png(
            header(6, 6), struct.pack(">I", huge) + b"IDAT" + b"abc"
        ),
        "ten thousand chunks.png": png(
            header(6, 6),
            *[chunk(b"tEXt", b"a\0b")] * 10_000,
            chunk(b"IDAT", zlib.compress(bytes(19 * 6))),
            end,
        ),
        "huge.jpg": jpeg[:size_at] + b"\xff\xff\xff\xff" + jpeg[size_at + 4 :],
        "no height.jpg": jpeg[:size_at] + b"\0\0" + jpeg[size_at + 2 :],
        "two marks only.jpg": b"\xff\xd8\xff\xd9",
        "a marker of no length.jpg": b"\xff\xd8\xff\xe0\0\0",
        "huge screen.gif": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "no pixels.gif": gif[:6] + b"\0\0\0\0" + gif[10:],
        "huge.bmp": bmp[:18] + struct.pack("<ii", huge, huge) + bmp[26:],
        "no height.bmp": bmp[:22] + bytes(4) + bmp[26:],
        "impossible depth.bmp": bmp[:28] + b"\x07\0" + bmp[30:],
        "pixels far away.bmp": bmp[:10] + struct.pack("<I", 2**31) + bmp[14:],
        "directory of itself.tif": tiff[:4] + struct.pack("<I", 4) + tiff[8:],
        "directory beyond.tif": tiff[:4] + struct.pack("<I", 2**31) + tiff[8:],
        "huge.ppm": b"P6 99999999 99999999 255 ",
        "negative.ppm": b"P6 -3 4 255 " + bytes(36),
        "no numbers.ppm": b"P6 a b c ",
        "depth beyond.ppm": b"P6 4 4 99999999 " + bytes(48),
        "endless number.ppm": b"P6 " + b"9" * 100_000,
        "no frame.webp": b"RIFF" + struct.pack("<I", 4) + b"WEBP",
        "huge canvas.webp": b"RIFF"
        + struct.pack("<I", 22)
        + b"WEBPVP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + b"\xff" * 6,
        "a box of no length.avif": b"\0\0\0\0ftypavif" + bytes(40),
        "the start of one.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(30),
    }
    for name, content in crafted.items():
        yield name, file_of(name, content)


def other_kinds() -> Iterator[tuple[str, Make]]:
    """Files that are no picture, under a picture's name."""
    contents = {
        "text": b"this is not a picture\n",
        "one byte": b"\x89",
        "nothing": b"",
        "zeros": bytes(5000),
        "page": b"<!doctype html><img src='x.png'>",
        "drawing": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(rm) run showpage\n",
        "document": b"%PDF-1.7\n1 0 obj<<>>endobj\n",
        "program": b"\x7fELF" + bytes(60),
        "zip": b"PK\x05\x06" + bytes(18),
        "pickle": b"cos\nsystem\n(S'true'\ntR.",
        "script": b"#!/bin/sh\nexit 1\n",
        "icon": encoded("ICO"),
        "targa": encoded("TGA"),
        "two in one": b"\x89PNG\r\n\x1a\n" + encoded("JPEG"),
        "junk before": b"junk" + encoded("PNG"),
    }
    for name, content in contents.items():
        yield f"{name} called .png", file_of(f"{name}.png", content)


def places() -> Iterator[tuple[str, Make]]:
    """Paths that are no file, or must not be read."""

    def link(target: str) -> Make:
        def make(folder: Path) -> Path:
            (folder / "link.png").symlink_to(target)
            return folder / "link.png"

        return make

    def loop(folder: Path) -> Path:
        (folder / "a.png").symlink_to(folder / "b.png")
        (folder / "b.png").symlink_to(folder / "a.png")
        return folder / "a.png"

    def directory(folder: Path) -> Path:
        (folder / "folder.png").mkdir()
        return folder / "folder.png"

    def pipe(folder: Path) -> Path:
        os.mkfifo(folder / "pipe.png")
        return folder / "pipe.png"

    def plug(folder: Path) -> Path:
        before = os.getcwd()
        os.chdir(folder)  # its name may be short only
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.bind("plug.png")
        finally:
            os.chdir(before)
        return folder / "plug.png"

    yield "not there", lambda folder: folder / "missing.png"
    yield "below a file", lambda folder: file_of("a.png", b"x")(folder) / "b.png"
    yield "a name of 300 letters", lambda folder: folder / ("a" * 300 + ".png")
    yield "a path of 5,000 letters", lambda folder: folder / ("aaaa/" * 1_000)
    yield "a null in the name", lambda folder: folder / "a\0b.png"
    yield "half a letter in the name", lambda folder: folder / "a\ud800.png"
    yield "a directory", directory
    yield "a pipe", pipe
    yield "a socket", plug
    yield "a loop of links", loop
    yield "a link to itself", link("link.png")
    yield "a link to nothing", link("nothing")
    yield "a link to a device", link("/dev/zero")
    yield "a link to no device", link("/dev/null")
    yield "the folder itself", lambda folder: folder


def odd_files() -> Iterator[tuple[str, Make]]:
    """Whole pictures with odd colours, alpha or metadata: read, or refused with words."""
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    own_directory = block[:10] + struct.pack(">I", 8) + block[14:]
    wide = np.linspace(0, 65_535, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE[::-1])
    floats = wide.astype(np.float32) / 65_535
    for name, image, kind, options in [
        ("cmyk.jpg", scene("CMYK"), "JPEG", {}),
        ("cmyk with a wrong profile.jpg", scene("CMYK"), "JPEG", {"icc_profile": b"x" * 200}),
        ("cmyk.tif", scene("CMYK"), "TIFF", {}),
        ("16 bit.png", Image.fromarray(wide), "PNG", {}),
        ("16 bit.tif", Image.fromarray(wide), "TIFF", {}),
        ("32 bit beyond.tif", Image.fromarray(wide.astype(np.int32) * 100), "TIFF", {}),
        ("32 bit negative.tif", Image.fromarray(-wide.astype(np.int32)), "TIFF", {}),
        ("float.tif", Image.fromarray(floats), "TIFF", {}),
        (
            "float nan.tif",
            Image.fromarray(np.where(floats > 0.5, np.nan, floats).astype(np.float32)),
            "TIFF",
            {},
        ),
        ("float infinite.tif", Image.fromarray(np.full((5, 5), np.inf, np.float32)), "TIFF", {}),
        ("float beyond.tif", Image.fromarray(floats * 1e30), "TIFF", {}),
        ("one bit.png", scene("1"), "PNG", {}),
        ("one bit.tif", scene("1"), "TIFF", {}),
        ("grey and alpha.png", scene("LA"), "PNG", {}),
        ("alpha.png", scene("RGBA"), "PNG", {}),
        ("alpha.webp", scene("RGBA"), "WEBP", {}),
        ("palette and alpha.png", scene("P"), "PNG", {"transparency": 3}),
        ("palette and alpha bytes.png", scene("P"), "PNG", {"transparency": bytes(range(200))}),
        ("grey with a clear value.png", scene("L"), "PNG", {"transparency": 5}),
        ("lab.tif", scene("LAB"), "TIFF", {}),
        ("ycbcr.tif", scene("YCbCr"), "TIFF", {}),
        ("one pixel.png", Image.new("RGB", (1, 1)), "PNG", {}),
        ("a line.png", Image.new("RGB", (3_000, 1)), "PNG", {}),
        ("exif garbage.jpg", scene(), "JPEG", {"exif": b"Exif\0\0" + b"\xff" * 40}),
        ("exif cut.jpg", scene(), "JPEG", {"exif": block[:-6]}),
        ("exif in a circle.jpg", scene(), "JPEG", {"exif": own_directory}),
        ("exif of orientation 6.jpg", scene(), "JPEG", {"exif": block}),
        ("exif garbage.webp", scene(), "WEBP", {"exif": b"Exif\0\0MM\0*" + b"\xff" * 9}),
        ("exif garbage.png", scene(), "PNG", {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"}),
        ("profile garbage.png", scene(), "PNG", {"icc_profile": b"\0" * 300}),
        ("profile of a word.jpg", scene(), "JPEG", {"icc_profile": b"sRGB"}),
        ("xmp entities.jpg", scene(), "JPEG", {"xmp": xmp_of(LAUGHS, "&i;")}),
        ("xmp file.jpg", scene(), "JPEG", {"xmp": xmp_of(OUTSIDE, "&a;")}),
        ("xmp file.webp", scene(), "WEBP", {"xmp": xmp_of(OUTSIDE, "&a;"), "lossless": True}),
        ("xmp garbage.jpg", scene(), "JPEG", {"xmp": b"<x:xmpmeta><!DOCTYPE a [<!ENTITY"}),
    ]:
        yield name, file_of(name, encoded(kind, image, **options))
    told = PngInfo()
    told.add_text("groundbrush", "x" * 100)
    yield "text for a recipe.png", file_of("t.png", encoded("PNG", pnginfo=told))
    orientation = Image.Exif()
    orientation[0x0112] = 99
    yield "exif of orientation 99.jpg", file_of("o.jpg", encoded("JPEG", exif=orientation))
    stack = [scene(), scene("L"), scene("RGBA")]
    yield (
        "frames of different kinds.tif",
        file_of("s.tif", encoded("TIFF", save_all=True, append_images=stack)),
    )


def bad_pictures() -> dict[str, Make]:
    """Everything here that must never be read as if it were whole, or may be refused."""
    return dict([*cut_files(), *crafted_files(), *other_kinds(), *places(), *odd_files()])
