"""Every odd picture becomes the right pixels or one clear line; saved pixels come back exactly."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.files import recipe_text
from groundbrush.editor.masks.source import read_mask
from groundbrush.editor.pictures import saving
from groundbrush.editor.pictures.metadata import wrap_xmp
from groundbrush.editor.pictures.picture import Picture, open_picture, read_recipe
from groundbrush.editor.pictures.saving import save_picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

RECIPE = {"find": "the red apple <left> & “near”", "seed": 7, "box": [0.5, 1.0], "none": None}


@pytest.fixture(autouse=True)
def pillow_globals_stay():
    """Every test also checks that Pillow's process-wide settings come back unchanged."""
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    yield
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


@pytest.fixture(scope="module")
def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def scene(height: int = 5, width: int = 7) -> np.ndarray:
    """Return pixels that are all different, so that no flip or shift goes unseen."""
    ramp = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3)
    return (ramp * 37 % 256).astype(np.uint8)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """Return a PNG written by hand; `rows` are filter byte + samples per row."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + body


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def put(folder, name: str, content: bytes):
    path = folder / name
    path.write_bytes(content)
    return path


# Opening what is no picture


def test_a_missing_file(tmp_path):
    with pytest.raises(GroundbrushError, match="nothing.png' does not exist.*check the spelling"):
        open_picture(tmp_path / "nothing.png")


def test_a_folder(tmp_path):
    with pytest.raises(GroundbrushError, match="is a folder"):
        open_picture(tmp_path)


def test_a_text_file_named_png(tmp_path):
    path = put(tmp_path, "notes.png", b"dear diary, this is not a picture\n" * 50)
    with pytest.raises(GroundbrushError, match="notes.png' is not a picture; expected PNG"):
        open_picture(path)


def test_an_empty_file(tmp_path):
    with pytest.raises(GroundbrushError, match=r"is empty \(0 bytes\)"):
        open_picture(put(tmp_path, "empty.jpg", b""))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_truncated_file(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    path = put(tmp_path, "cut.jpg", whole[: len(whole) // 2])
    with pytest.raises(GroundbrushError, match="cut.jpg' is (damaged|not a picture)"):
        open_picture(path)


def test_a_damaged_png_chunk(tmp_path):
    whole = bytearray(png(1, 1, 8, 2, b"\0abc"))
    whole[-20] ^= 0xFF
    with pytest.raises(GroundbrushError, match="damaged"):
        open_picture(put(tmp_path, "x.png", bytes(whole)))


@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_file_with_flipped_bytes_opens_or_is_refused_in_words(tmp_path_factory, kind, changes):
    content = bytearray(encoded(Image.fromarray(scene(9, 8)), kind))
    for at, value in changes:
        content[at % len(content)] = value
    path = put(tmp_path_factory.mktemp("flip"), "x", bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = open_picture(path, max_pixels=1_000_000)
        except GroundbrushError as error:
            assert "\n" not in str(error)
            return
    assert picture.pixels.dtype == np.uint8


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions bind only users")
def test_a_file_that_may_not_be_read(tmp_path):
    path = put(tmp_path, "x.png", png(1, 1, 8, 2, b"\0abc"))
    path.chmod(0)
    with pytest.raises(GroundbrushError, match="permission denied"):
        open_picture(path)


def test_a_refused_permission_is_said_in_words(tmp_path, monkeypatch):
    path = put(tmp_path, "x.png", png(1, 1, 8, 2, b"\0abc"))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(GroundbrushError, match="x.png' may not be read.*change its permissions"):
        open_picture(path)


def test_an_eps_never_reaches_ghostscript(tmp_path):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    with pytest.raises(GroundbrushError, match="is not a picture"):
        open_picture(put(tmp_path, "x.png", eps))


@pytest.mark.parametrize("source", [None, 7, b"x.png", [[1, 2]], io.BytesIO(b"")])
def test_a_source_of_another_type(source):
    with pytest.raises(GroundbrushError, match="a picture of type"):
        open_picture(source)


# Size


def test_a_huge_header_is_refused_before_decoding(tmp_path, monkeypatch):
    path = put(tmp_path, "bomb.png", png(20_000, 20_000, 8, 2, b""))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(GroundbrushError, match="20000x20000 = 400,000,000.*at most 200,000,000"):
        open_picture(path)


def test_the_limit_can_be_raised_above_pillows_own(tmp_path):
    path = put(tmp_path, "bomb.png", png(20_000, 20_000, 8, 2, b""))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(GroundbrushError, match="damaged"):  # let through, then found empty
            open_picture(path, max_pixels=400_000_000)


def test_the_limit_is_exact_for_every_kind_of_source(tmp_path):
    pixels = scene(5, 7)
    path = put(tmp_path, "x.png", encoded(Image.fromarray(pixels), "PNG"))
    for source in (path, Image.fromarray(pixels), pixels, Picture(pixels)):
        assert open_picture(source, max_pixels=35).size == (7, 5)
        with pytest.raises(GroundbrushError, match="7x5 = 35 pixels; expected at most 34"):
            open_picture(source, max_pixels=34)


@pytest.mark.parametrize("limit", [0, -1, 1.5, None])
def test_a_limit_that_is_none(limit):
    with pytest.raises(GroundbrushError, match="max_pixels="):
        open_picture(scene(), max_pixels=limit)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_one_pixel(tmp_path, kind):
    path = put(tmp_path, "x", encoded(Image.new("RGB", (1, 1), (255, 0, 0)), kind))
    assert open_picture(path).pixels.tolist() == [[[255, 0, 0]]]


# Arrays and Pillow images


def test_an_array_is_copied():
    pixels = scene()
    picture = open_picture(pixels[:, ::-1])
    assert (picture.pixels == pixels[:, ::-1]).all()
    assert picture.pixels.flags.c_contiguous
    pixels[:] = 0
    assert picture.pixels.any()
    assert (picture.alpha, picture.icc, picture.exif, picture.source) == (None,) * 4


@pytest.mark.parametrize(
    ("array", "mend"),
    [
        (np.zeros((4, 5), np.uint8), r"\(4, 5\).*np.repeat"),
        (np.zeros((4, 5, 4), np.uint8), r"\.\.\., :3"),
        (np.zeros((3, 4, 5), np.uint8), "moveaxis"),
        (np.zeros((1, 4, 5, 3), np.uint8), "one picture at a time"),
        (np.zeros((4, 5, 3), np.float32), r"float32.*array \* 255"),
        (np.zeros((4, 5, 3), np.uint16), "uint16.*8-bit RGB"),
        (np.zeros((4, 5, 3), bool), "bool"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.array(["a"], object), "object"),
        (np.zeros((), np.uint8), r"shape \(\)"),
    ],
)
def test_an_array_of_the_wrong_kind(array, mend):
    with pytest.raises(GroundbrushError, match=mend):
        open_picture(array)


def test_the_suggested_grey_mend_works():
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    assert open_picture(np.repeat(grey[..., None], 3, axis=2)).size == (5, 4)


def test_a_pillow_image_is_not_changed():
    image = Image.fromarray(scene())
    image.getexif()[0x0112] = 6
    picture = open_picture(image)
    assert picture.size == (5, 7)
    assert image.size == (7, 5) and image.getexif()[0x0112] == 6


def test_a_pillow_image_whose_file_is_closed(tmp_path):
    image = Image.open(put(tmp_path, "x.png", encoded(Image.fromarray(scene()), "PNG")))
    image.close()
    with pytest.raises(GroundbrushError, match="the PIL image is damaged"):
        open_picture(image)


def test_a_picture_is_returned_as_it_is():
    picture = Picture(scene())
    assert open_picture(picture) is picture


def test_a_link_is_followed_and_content_counts_not_the_name(tmp_path):
    put(tmp_path, "really-png.jpg", encoded(Image.fromarray(scene()), "PNG"))
    (tmp_path / "link").symlink_to(tmp_path / "really-png.jpg")
    picture = open_picture(str(tmp_path / "link"))
    assert (picture.pixels == scene()).all()
    assert picture.source == tmp_path / "link"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alpha": np.zeros((5, 7), bool)}, "alpha of bool"),
        ({"alpha": np.zeros((7, 5), np.uint8)}, r"alpha of shape \(7, 5\)"),
        ({"pixels": [[1]]}, "pixels of type list"),
    ],
)
def test_a_picture_checks_its_fields(fields, message):
    with pytest.raises(GroundbrushError, match=message):
        Picture(**{"pixels": scene(), **fields})


# Sample formats


def test_sixteen_bit_grey_png_is_scaled_not_clipped(tmp_path):
    values = [0, 257, 0x8080, 0xFFFF]
    path = put(tmp_path, "x.png", png(4, 1, 16, 0, b"\0" + struct.pack(">4H", *values)))
    picture = open_picture(path)
    assert picture.pixels[0, :, 0].tolist() == [0, 1, 0x80, 255]
    assert picture.notes == ("16-bit input reduced to 8-bit",)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4)])
def test_sixteen_bit_colour_png_is_scaled_not_clipped(tmp_path, colour, channels):
    samples = [257 * v for v in (10, 128, 255, 77)][:channels]
    rows = b"\0" + struct.pack(f">{channels}H", *samples)
    picture = open_picture(put(tmp_path, "x.png", png(1, 1, 16, colour, rows)))
    assert picture.pixels.tolist() == [[[10, 128, 255]]]
    assert (None if picture.alpha is None else picture.alpha.tolist()) == (
        [[77]] if channels == 4 else None
    )
    assert picture.notes == ("16-bit input reduced to 8-bit",)


def test_sixteen_bit_grey_with_a_transparent_value(tmp_path):
    key = chunk(b"tRNS", struct.pack(">H", 512))
    rows = b"\0" + struct.pack(">3H", 511, 512, 513)
    picture = open_picture(put(tmp_path, "x.png", png(3, 1, 16, 0, rows, key)))
    assert picture.alpha.tolist() == [[255, 0, 255]]


def test_an_eight_bit_picture_has_no_notes(tmp_path):
    for kind in ("PNG", "BMP", "TIFF", "JPEG", "WEBP"):
        path = put(tmp_path, f"x.{kind}", encoded(Image.fromarray(scene()), kind))
        assert open_picture(path).notes == ()


@pytest.mark.parametrize(
    ("values", "expected", "note"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255], "float input (0 to 1) reduced to 8-bit"),
        ([0.0, 99.6, 255.0], [0, 100, 255], "float input (0 to 255) reduced to 8-bit"),
    ],
)
def test_a_float_tiff(tmp_path, values, expected, note):
    image = Image.fromarray(np.array([values], np.float32))
    picture = open_picture(put(tmp_path, "x.tif", encoded(image, "TIFF")))
    assert picture.pixels[0, :, 1].tolist() == expected
    assert picture.notes == (note,)


@pytest.mark.parametrize("bad", [-1.0, 256.0, np.nan, np.inf])
def test_a_float_tiff_out_of_range(tmp_path, bad):
    image = Image.fromarray(np.array([[0.0, bad]], np.float32))
    with pytest.raises(GroundbrushError, match="samples from .*rescale the picture"):
        open_picture(put(tmp_path, "x.tif", encoded(image, "TIFF")))


@pytest.mark.parametrize(
    ("values", "expected"), [([0, 7, 255], [0, 7, 255]), ([0, 257, 65_535], [0, 1, 255])]
)
def test_a_32_bit_tiff(tmp_path, values, expected):
    image = Image.fromarray(np.array([values], np.int32))
    picture = open_picture(put(tmp_path, "x.tif", encoded(image, "TIFF")))
    assert picture.pixels[0, :, 2].tolist() == expected


@pytest.mark.parametrize("bad", [-1, 65_536])
def test_a_32_bit_tiff_out_of_range(bad):
    with pytest.raises(GroundbrushError, match="samples from"):
        open_picture(Image.fromarray(np.array([[0, bad]], np.int32)))


def test_one_bit(tmp_path):
    image = Image.fromarray(np.array([[True, False]]))
    picture = open_picture(put(tmp_path, "x.png", encoded(image, "PNG")))
    assert picture.pixels.tolist() == [[[255] * 3, [0] * 3]]


def test_grey_with_alpha(tmp_path):
    image = Image.fromarray(np.array([[[9, 0], [200, 130]]], np.uint8), "LA")
    picture = open_picture(put(tmp_path, "x.png", encoded(image, "PNG")))
    assert picture.pixels.tolist() == [[[9] * 3, [200] * 3]]
    assert picture.alpha.tolist() == [[0, 130]]


def test_a_palette_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture = open_picture(
        put(tmp_path, "x.png", encoded(image, "PNG", transparency=b"\xff\x80\x00"))
    )
    assert picture.pixels.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert picture.alpha.tolist() == [[255, 128, 0]]


def test_rgb_with_a_transparent_colour(tmp_path):
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    picture = open_picture(put(tmp_path, "x.png", encoded(image, "PNG", transparency=(4, 5, 6))))
    assert picture.alpha.tolist() == [[255, 0]]
    assert picture.pixels.tolist() == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "RGBX", "RGBa", "LAB", "PA", "La"])
def test_rare_modes_of_a_white_image(mode):
    white = {"HSV": (0, 0, 255), "YCbCr": (255, 128, 128), "LAB": (255, 128, 128)}
    image = Image.new(
        mode, (2, 1), white.get(mode, (255,) * len(Image.new(mode, (1, 1)).getbands()))
    )
    if mode == "PA":
        image.putpalette([255] * 768)
    picture = open_picture(image)
    assert picture.pixels.min() >= 254
    assert (picture.alpha is not None) == (mode in ("RGBa", "PA", "La"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GIF", {}),
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("MPO", {"quality": 100}),
    ],
)
def test_the_first_frame_of_an_animation(tmp_path, kind, options):
    frames = [Image.new("RGB", (4, 3), c) for c in ("red", "lime", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    picture = open_picture(put(tmp_path, "x", content))
    assert np.abs(picture.pixels.astype(int) - (255, 0, 0)).max() <= 1
    assert picture.notes == ("first frame of 3 used",)


# Colour spaces


def cmyk_profile() -> bytes:
    """Return a CMYK profile made by hand: L* = 100 (1 - K), whatever C, M and Y are."""
    line = bytes(range(256))
    table = b"".join(bytes((255 * (1 - k), 128, 128)) for _ in range(8) for k in (0, 1))
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + line * 4 + table + line * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    at = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2) + b"A2B0" + struct.pack(">II", at, len(lut))
    tags += b"wtpt" + struct.pack(">II", at + len(lut) + -len(lut) % 4, len(white))
    body = tags + lut + b"\0" * (-len(lut) % 4) + white
    header = struct.pack(
        ">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body


def grey_profile(gamma: float) -> bytes:
    """Return a grey profile made by hand."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    at = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2) + b"kTRC" + struct.pack(">II", at, len(curve))
    tags += b"wtpt" + struct.pack(">II", at + len(curve), len(white))
    body = tags + curve + white
    header = struct.pack(
        ">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ "
    )
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body


def test_a_cmyk_jpeg_without_a_profile(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    picture = open_picture(put(tmp_path, "x.jpg", encoded(image, "JPEG", quality=100)))
    assert np.abs(picture.pixels.astype(int) - (255, 0, 0)).max() <= 3
    assert picture.notes == ("CMYK converted to RGB without a profile; colours are approximate",)


def test_a_cmyk_jpeg_goes_through_its_profile(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # red, but for the profile: white
    content = encoded(image, "JPEG", quality=100, icc_profile=cmyk_profile())
    picture = open_picture(put(tmp_path, "x.jpg", content))
    assert picture.notes == ("CMYK converted to RGB by its ICC profile",)
    assert picture.pixels.min() >= 250
    assert picture.icc is None


def test_a_cmyk_jpeg_with_a_broken_profile(tmp_path):
    broken = cmyk_profile()[:150].ljust(400, b"\0")
    image = Image.new("CMYK", (16, 16), (0, 0, 0, 255))
    picture = open_picture(put(tmp_path, "x.jpg", encoded(image, "JPEG", icc_profile=broken)))
    assert picture.notes == ("CMYK converted to RGB; its ICC profile was unusable and was dropped",)
    assert picture.pixels.max() <= 3 and picture.icc is None


def test_grey_with_a_profile_goes_through_it(tmp_path):
    image = Image.new("L", (4, 4), 128)
    content = encoded(image, "PNG", icc_profile=grey_profile(1.0))
    picture = open_picture(put(tmp_path, "x.png", content))
    # Linear light 128/255 in sRGB: 1.055 * 0.50196 ** (1 / 2.4) - 0.055 = 0.7366 -> 188
    assert np.abs(picture.pixels.astype(int) - 188).max() <= 1
    assert picture.icc is None and picture.notes == ("grey converted to RGB by its ICC profile",)


def test_an_rgb_profile_travels_and_changes_no_pixel(tmp_path, srgb):
    content = encoded(Image.fromarray(scene()), "PNG", icc_profile=srgb)
    picture = open_picture(put(tmp_path, "x.png", content))
    assert picture.icc == srgb and (picture.pixels == scene()).all() and picture.notes == ()


@pytest.mark.parametrize(
    ("profile", "note"),
    [(b"junk" * 60, "unreadable ICC"), (cmyk_profile(), "does not describe RGB")],
)
def test_a_profile_that_does_not_fit_is_dropped(tmp_path, profile, note):
    content = encoded(Image.fromarray(scene()), "JPEG", icc_profile=profile)
    picture = open_picture(put(tmp_path, "x.jpg", content))
    assert picture.icc is None and len(picture.notes) == 1 and note in picture.notes[0]


# EXIF


def exif_of(orientation: int, **tags: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    return exif.tobytes()


# How a file must store the upright letter F for each orientation to show it upright.
F = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]], bool)
STORED = {
    1: ["###", "#..", "##.", "#.."],
    2: ["###", "..#", ".##", "..#"],
    3: ["..#", ".##", "..#", "###"],
    4: ["#..", "##.", "#..", "###"],
    5: ["####", "#.#.", "#..."],
    6: ["#...", "#.#.", "####"],
    7: ["...#", ".#.#", "####"],
    8: ["####", ".#.#", "...#"],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_orientation_is_honoured(tmp_path, kind, orientation):
    drawn = np.array([[c == "#" for c in row] for row in STORED[orientation]])
    stored = np.kron(drawn, np.ones((16, 16), bool)).astype(np.uint8) * 255
    content = encoded(Image.fromarray(stored).convert("RGB"), kind, exif=exif_of(orientation))
    picture = open_picture(put(tmp_path, "x", content))
    assert ((picture.pixels[8::16, 8::16, 0] > 127) == F).all()
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept.get(0x0112, 1) == 1
    assert kept[0x010F] == "Maker"
    assert kept.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_alpha_turns_with_the_pixels(orientation):
    values = np.dstack((scene(), scene()[..., 0]))
    image = Image.fromarray(values)
    image.getexif()[0x0112] = orientation
    picture = open_picture(image)
    assert (picture.alpha == picture.pixels[..., 0]).all()
    expected = ImageOps.exif_transpose(image)
    assert (picture.pixels == np.asarray(expected)[..., :3]).all()


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_ignored(tmp_path, orientation):
    content = encoded(Image.fromarray(scene()), "PNG", exif=exif_of(orientation))
    assert (open_picture(put(tmp_path, "x.png", content)).pixels == scene()).all()


def test_damaged_exif_costs_only_itself(tmp_path):
    content = encoded(Image.fromarray(scene()), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = open_picture(put(tmp_path, "x.png", content))
    assert (picture.pixels == scene()).all()
    assert picture.exif is None and picture.notes == ("unreadable EXIF dropped",)


# Saving


@pytest.mark.parametrize("suffix", [".png", ".webp", ".PNG"])
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    opaque=st.booleans(),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_pixels_and_alpha_come_back_exactly(tmp_path_factory, suffix, pixels, opaque, data):
    alpha = None if opaque else data.draw(arrays(np.uint8, pixels.shape[:2]))
    path = tmp_path_factory.mktemp("round") / f"x{suffix}"
    notes = save_picture(path, pixels, like=Picture(pixels, alpha=alpha))
    back = open_picture(path)
    assert notes == ()
    assert (back.pixels == pixels).all()
    # WebP has no record of an alpha that is opaque everywhere
    if alpha is not None and (alpha < 255).any():
        assert (back.alpha == alpha).all()
    else:
        assert back.alpha is None or (back.alpha == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".jpeg"])
def test_exif_icc_and_recipe_come_back(tmp_path, suffix, srgb):
    source = put(
        tmp_path,
        "in.jpg",
        encoded(Image.fromarray(scene(40, 30)), "JPEG", exif=exif_of(6), icc_profile=srgb),
    )
    like = open_picture(source)
    path = tmp_path / "new" / f"out{suffix}"
    save_picture(path, like.pixels, like=like, recipe=RECIPE)
    back = open_picture(path)
    assert back.size == (40, 30)  # upright: the orientation is not applied twice
    assert back.icc == srgb
    assert back.exif == like.exif
    assert read_recipe(path) == RECIPE
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_second_save_keeps_what_the_first_did(tmp_path, srgb):
    like = Picture(scene(), alpha=scene()[..., 1].copy(), icc=srgb)
    save_picture(tmp_path / "a.png", like.pixels, like=like, recipe={"seed": 1})
    again = open_picture(tmp_path / "a.png")
    save_picture(tmp_path / "b.webp", again.pixels, like=again, recipe={"seed": 2})
    last = open_picture(tmp_path / "b.webp")
    assert (last.pixels == like.pixels).all() and (last.alpha == like.alpha).all()
    assert last.icc == srgb and read_recipe(tmp_path / "b.webp") == {"seed": 2}


def test_the_same_save_gives_the_same_bytes(tmp_path):
    for suffix in (".png", ".webp", ".jpg"):
        for name in ("a", "b"):
            save_picture(tmp_path / (name + suffix), scene(), recipe=RECIPE)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_jpeg_says_that_it_is_lossy(tmp_path):
    smooth = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    notes = save_picture(tmp_path / "x.jpg", smooth)
    assert len(notes) == 1 and notes[0].startswith("JPEG is lossy")
    assert np.abs(open_picture(tmp_path / "x.jpg").pixels.astype(int) - smooth).max() <= 3


def test_jpeg_refuses_transparency_but_not_an_opaque_alpha(tmp_path):
    alpha = np.full((5, 7), 255, np.uint8)
    save_picture(tmp_path / "x.jpg", scene(), like=Picture(scene(), alpha=alpha))
    alpha[2, 3] = 254
    with pytest.raises(GroundbrushError, match="cannot hold the input's transparency.*.png"):
        save_picture(tmp_path / "y.jpg", scene(), like=Picture(scene(), alpha=alpha))
    assert not (tmp_path / "y.jpg").exists()


@pytest.mark.parametrize("name", ["x.gif", "x", "x.png.txt", ".png"])
def test_an_unknown_suffix_names_the_allowed_ones(tmp_path, name):
    with pytest.raises(GroundbrushError, match=r"expected one of \.png, \.webp, \.jpg, \.jpeg"):
        save_picture(tmp_path / name, scene())
    assert list(tmp_path.iterdir()) == []


def test_bad_pixels_and_an_alpha_that_does_not_fit(tmp_path):
    with pytest.raises(GroundbrushError, match=r"\(H, W, 3\) uint8"):
        save_picture(tmp_path / "x.png", scene().astype(float))
    like = Picture(scene(), alpha=scene()[..., 0].copy())
    with pytest.raises(GroundbrushError, match=r"alpha of shape \(5, 7\)"):
        save_picture(tmp_path / "x.png", scene(6, 7), like=like)


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16_384), (".jpg", 65_501)])
def test_a_side_longer_than_the_format_holds(tmp_path, suffix, side):
    with pytest.raises(GroundbrushError, match=f"{side}x1 .*save as .png"):
        save_picture(tmp_path / f"x{suffix}", np.zeros((1, side, 3), np.uint8))


def test_a_recipe_or_exif_too_long_for_jpeg_goes_into_the_others(tmp_path):
    recipe = {"mask": "x" * 70_000}
    with pytest.raises(GroundbrushError, match="recipe is 70,.* a JPEG holds"):
        save_picture(tmp_path / "x.jpg", scene(), recipe=recipe)
    like = Picture(scene(), exif=exif_of(1) + bytes(70_000))
    with pytest.raises(GroundbrushError, match="EXIF is 70,"):
        save_picture(tmp_path / "x.jpg", scene(), like=like)
    for suffix in (".png", ".webp"):
        save_picture(tmp_path / f"x{suffix}", scene(), like=like, recipe=recipe)
        assert read_recipe(tmp_path / f"x{suffix}") == recipe


def test_a_longest_recipe_fits_a_jpeg(tmp_path):
    room = saving._JPEG_BLOCK - len(wrap_xmp(recipe_text({"m": ""})))
    save_picture(tmp_path / "x.jpg", scene(), recipe={"m": "x" * room})
    assert len(read_recipe(tmp_path / "x.jpg")["m"]) == room


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_an_encoder_that_fails_leaves_the_old_file(tmp_path, suffix, monkeypatch):
    path = put(tmp_path, f"x{suffix}", b"old")

    def fail(self: Image.Image, buffer: io.BytesIO, *_: object, **__: object) -> None:
        buffer.write(b"half")
        raise OSError("encoder error -2")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(GroundbrushError, match="cannot be encoded.*encoder error -2"):
        save_picture(path, scene())
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_of_that_name_is_refused(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(GroundbrushError, match="cannot write"):
        save_picture(tmp_path / "x.png", scene())
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


# Recipes


def test_a_recipe_in_a_json_file(tmp_path):
    path = put(tmp_path, "r.JSON", json.dumps(RECIPE).encode())
    assert read_recipe(path) == RECIPE


def test_an_address_is_no_file():
    with pytest.raises(GroundbrushError, match="'https://x.org/y.png' is an address; download"):
        open_picture("https://x.org/y.png")


def test_a_picture_without_a_recipe(tmp_path):
    for suffix in (".png", ".webp", ".jpg"):
        save_picture(tmp_path / f"x{suffix}", scene())
        with pytest.raises(GroundbrushError, match="holds no recipe"):
            read_recipe(tmp_path / f"x{suffix}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not JSON"),
        ("[]", "JSON list; expected an object"),
        ("x" * 1_000_001, "at most 1,000,000"),
    ],
)
def test_a_hostile_recipe_in_each_format(tmp_path, text, message):
    info = PngInfo()
    info.add_itxt("groundbrush", text)
    image = Image.fromarray(scene())
    files = [
        put(tmp_path, "x.png", encoded(image, "PNG", pnginfo=info)),
        put(tmp_path, "x.webp", encoded(image, "WEBP", xmp=wrap_xmp(text))),
        put(tmp_path, "x.json", text.encode()),
    ]
    if len(text) < saving._JPEG_BLOCK:
        files.append(put(tmp_path, "x.jpg", encoded(image, "JPEG", xmp=wrap_xmp(text))))
    for path in files:
        with pytest.raises(GroundbrushError, match=message):
            read_recipe(path)


def test_a_compressed_recipe_bomb_is_refused(tmp_path):
    zipped = zlib.compress(b"[" * 100_000_000)
    bomb = chunk(b"iTXt", b"groundbrush\0\x01\0\0\0" + zipped)
    path = put(tmp_path, "x.png", png(1, 1, 8, 2, b"\0abc", bomb))
    with pytest.raises(GroundbrushError, match="damaged|holds no recipe"):
        read_recipe(path)


def test_a_recipe_is_not_read_from_what_is_no_picture(tmp_path):
    with pytest.raises(GroundbrushError, match="is not a picture"):
        read_recipe(put(tmp_path, "x.png", b"{}"))
    with pytest.raises(GroundbrushError, match="does not exist"):
        read_recipe(tmp_path / "none.json")
    with pytest.raises(GroundbrushError, match="is empty"):
        read_recipe(put(tmp_path, "e.json", b""))


def test_heic_is_named(tmp_path) -> None:
    path = tmp_path / "phone.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(GroundbrushError, match="is a HEIC picture; expected PNG, JPEG"):
        open_picture(path)


@pytest.mark.parametrize("high", [1, 255])
def test_eight_bits_in_a_wider_file_are_not_black(tmp_path, high):
    """A mask of 0 and 1 as ImageJ and OpenCV write it."""
    values = np.zeros((4, 4), np.uint16)
    values[1:3, 1:3] = high
    Image.fromarray(values).save(tmp_path / "mask.png")
    picture = open_picture(tmp_path / "mask.png")
    assert picture.pixels.max() == high
    assert picture.notes == ("16-bit input (0 to 255) reduced to 8-bit",)
    mask, _ = read_mask(tmp_path / "mask.png", (4, 4))
    np.testing.assert_array_equal(mask, values > 0)
