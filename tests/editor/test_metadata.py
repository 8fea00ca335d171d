"""What a file carries beside its pixels comes back where it still holds; hostile blocks harm none.

XMP is given as other programs write it: properties as elements and as attributes, any prefixes.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.pictures.metadata import TEXT_LIMIT, about_xmp, upright_exif
from groundbrush.editor.pictures.picture import Picture, open_picture, read_recipe
from groundbrush.editor.pictures.saving import save_picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo, iTXt

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
RIGHTS = (
    b'<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">\xc2\xa9 A. Ada</rdf:li></rdf:Alt>'
    b"</dc:rights>"
)


def packet(properties: bytes, attributes: bytes = b"") -> bytes:
    """An XMP packet of one description."""
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta '
        b'xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        b'xmlns:xap="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
        b'xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        + attributes
        + b">"
        + properties
        + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
        + b" " * 100
        + b'<?xpacket end="w"?>'
    )


def file(folder: Path, kind: str, **options: object) -> Path:
    path = folder / f"in.{kind.lower()}"
    Image.fromarray(PIXELS).save(path, kind, **options)
    return path


def exif_block(order: str, orientation: int, thumbnail: bytes = b"") -> bytes:
    """Return a hand-built EXIF block: orientation and maker, then a thumbnail directory."""
    maker_at = 8 + 2 + 2 * 12 + 4
    ifd1 = maker_at + 6
    image_at = ifd1 + 2 + 2 * 12 + 4
    block = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8)
    block += struct.pack(order + "HHHIHH", 2, 0x0112, 3, 1, orientation, 0)
    block += struct.pack(order + "HHII", 0x010F, 2, 6, maker_at)
    block += struct.pack(order + "I", ifd1 if thumbnail else 0) + b"Maker\x00"
    if thumbnail:
        block += struct.pack(order + "HHHII", 2, 0x0201, 4, 1, image_at)
        block += struct.pack(order + "HHIII", 0x0202, 4, 1, len(thumbnail), 0) + thumbnail
    return b"Exif\x00\x00" + block


@pytest.mark.parametrize("order", ["<", ">"])
def test_upright_exif_changes_two_bytes_and_nothing_else(order):
    assert upright_exif(exif_block(order, 6)) == exif_block(order, 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_upright_exif_takes_the_thumbnail_out(order):
    kept = upright_exif(exif_block(order, 8, thumbnail=b"\xff\xd8 what was removed"))
    assert b"what was removed" not in kept
    assert kept.startswith(exif_block(order, 1)[:-6])  # the link to it is 0 again
    assert b"Maker" in kept


def test_upright_exif_blanks_a_thumbnail_that_is_not_last():
    raw = exif_block("<", 1, thumbnail=b"secret") + b"maker note"
    kept = upright_exif(raw)
    assert len(kept) == len(raw)
    assert b"secret" not in kept and kept.endswith(b"maker note")


@given(st.binary(max_size=80), st.sampled_from([b"", b"II*\x00\x08\x00\x00\x00", b"MM\x00*"]))
def test_upright_exif_of_any_bytes_answers_or_raises_value_error(tail, head):
    try:
        kept = upright_exif(head + tail)
    except ValueError:
        return
    assert kept.startswith(b"Exif\x00\x00")


def test_upright_exif_refuses_a_thumbnail_over_its_own_header():
    raw = bytearray(exif_block("<", 1, thumbnail=b"0123456789"))
    at = raw.index(struct.pack("<HHI", 0x0201, 4, 1)) + 8
    raw[at : at + 4] = struct.pack("<I", 0)
    with pytest.raises(ValueError, match="outside"):
        upright_exif(bytes(raw))


def test_xmp_keeps_what_describes_and_drops_what_would_be_untrue():
    kept = about_xmp(
        packet(
            RIGHTS + b"<xap:Thumbnails>the old picture</xap:Thumbnails>"
            b"<tiff:Orientation>6</tiff:Orientation>",
            b'xap:Rating="4" tiff:Orientation="6" hdrgm:Version="1.0" '
            b'ext:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"',
        )
    )
    assert kept is not None
    assert b'xmp:Rating="4"' in kept and "© A. Ada".encode() in kept and b"x-default" in kept
    for untrue in (b"Thumbnails", b"old picture", b"Orientation", b"hdrgm", b"DigitalSource"):
        assert untrue not in kept
    assert about_xmp(kept) == kept


def test_xmp_of_any_script_and_encoding_takes_no_more_room():
    title = "<dc:title>" + "水彩" * 5000 + "</dc:title>"
    given = packet(title.encode())
    kept = about_xmp(given)
    assert kept is not None and len(kept) <= len(given)
    wide = given.decode().replace("\ufeff", "").encode("utf-16")
    assert about_xmp(wide) == kept


def test_xmp_of_nothing_that_is_carried_is_none():
    assert about_xmp(packet(b"<tiff:Orientation>6</tiff:Orientation>")) is None
    assert about_xmp(b"<a/>") is None


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"<",
        b"<x>" * 100_000,
        b"\xff\xfe",
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + packet(b"<dc:rights>&b;</dc:rights>"),
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16"),
        packet(b"<dc:rights>" + b"x" * TEXT_LIMIT + b"</dc:rights>"),
        packet(b"<dc:rights>" * 3000 + b"</dc:rights>" * 3000),
        packet(b"<dc:rights/>" * 20_000),
    ],
)
def test_hostile_xmp_is_refused_and_costs_no_picture(tmp_path, hostile):
    with pytest.raises(ValueError, match="XMP"):
        about_xmp(hostile)
    picture = open_picture(file(tmp_path, "WEBP", lossless=True, xmp=hostile or b" "))
    assert picture.xmp is None and (picture.pixels == PIXELS).all()
    assert picture.notes == ("unreadable XMP dropped",)


@given(st.binary(max_size=60), st.sampled_from([b"", b"<dc:rights>", b'<rdf:RDF xmlns:rdf="']))
def test_xmp_of_any_bytes_is_answered_or_refused(tail, head):
    try:
        kept = about_xmp(packet(head + tail))
    except ValueError:
        return
    assert kept is None or about_xmp(kept) == kept


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize("recipe", [None, {"find": "</rdf:RDF><groundbrush:recipe>%s"}])
def test_xmp_comes_back_beside_a_recipe(tmp_path, suffix, recipe):
    given = open_picture(file(tmp_path, "JPEG", xmp=packet(RIGHTS)))
    saved = tmp_path / f"out{suffix}"
    save_picture(saved, given.pixels, like=given, recipe=recipe)
    again = open_picture(saved)
    assert again.xmp == given.xmp and b"A. Ada" in again.xmp
    assert again.notes == ()
    if recipe:
        assert read_recipe(saved) == recipe
        # an edit of an edit: the first recipe goes
        save_picture(saved, given.pixels, like=again, recipe={"find": "another"})
        assert read_recipe(saved) == {"find": "another"}
    with Image.open(saved) as image:
        assert "A. Ada" in str(image.info["xmp"])


def test_a_recipe_goes_before_xmp_where_a_jpeg_cannot_hold_both(tmp_path):
    like = Picture(PIXELS, xmp=about_xmp(packet(b"<dc:title>" + b"x" * 50_000 + b"</dc:title>")))
    recipe = {"mask": "y" * 20_000}
    notes = save_picture(tmp_path / "x.jpg", PIXELS, like=like, recipe=recipe)
    assert "XMP is larger than a JPEG holds" in notes[1]
    assert read_recipe(tmp_path / "x.jpg") == recipe
    assert len(save_picture(tmp_path / "y.jpg", PIXELS, like=like)) == 1
    assert open_picture(tmp_path / "y.jpg").xmp == like.xmp


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("JPEG", ".jpg"), ("PNG", ".png"), ("TIFF", ".png"), ("BMP", ".jpg"), ("PNG", ".jpg")],
)
def test_resolution_comes_back(tmp_path, kind, suffix):
    given = open_picture(file(tmp_path, kind, dpi=(300, 200)))
    assert given.dpi == pytest.approx((300, 200), abs=0.02)
    save_picture(tmp_path / f"out{suffix}", given.pixels, like=given)
    assert open_picture(tmp_path / f"out{suffix}").dpi == pytest.approx((300, 200), abs=0.02)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_resolution_turns_with_the_picture(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"tiffinfo": {0x0112: 6}} if kind == "TIFF" else {"exif": exif}
    picture = open_picture(file(tmp_path, kind, dpi=(300, 200), **options))
    assert picture.size == (4, 6)
    assert picture.dpi == pytest.approx((200, 300), abs=0.02)


@pytest.mark.parametrize("dpi", [(0, 0), (1e9, 1e9), (float("nan"), 72), (72,), "72", None])
def test_what_is_no_resolution_is_none(dpi):
    image = Image.fromarray(PIXELS)
    image.info["dpi"] = dpi
    assert open_picture(image).dpi is None


def test_texts_of_a_png_come_back(tmp_path):
    info = PngInfo()
    info.add_text("Copyright", "© Ada")
    info.add_text("Title", iTXt("水彩", "zh", "标题"))
    info.add_text("Comment", "seen", zip=True)
    for dropped in ("Raw profile type exif", "Thumb::URI", "XML:com.other"):
        info.add_text(dropped, "untrue")
    given = open_picture(file(tmp_path, "PNG", pnginfo=info))
    assert given.texts == (("Copyright", "© Ada"), ("Title", "水彩"), ("Comment", "seen"))
    save_picture(tmp_path / "out.png", given.pixels, like=given, recipe={"a": 1})
    with Image.open(tmp_path / "out.png") as image:
        assert image.text["Title"].lang == "zh"
    again = open_picture(tmp_path / "out.png")
    assert again.texts == given.texts
    save_picture(tmp_path / "out.jpg", again.pixels, like=again)
    assert open_picture(tmp_path / "out.jpg").texts == (("Comment", "seen"),)


@pytest.mark.parametrize(
    ("comment", "read"), [(b"caf\xc3\xa9", "café"), (b"caf\xe9\0", "café"), (b"", None)]
)
def test_a_comment_of_a_jpeg_comes_back(tmp_path, comment, read):
    given = open_picture(file(tmp_path, "JPEG", comment=comment))
    assert dict(given.texts).get("Comment") == read
    for suffix in (".jpg", ".png"):
        save_picture(tmp_path / f"out{suffix}", given.pixels, like=given)
        assert open_picture(tmp_path / f"out{suffix}").texts == given.texts


def test_texts_without_end_are_left_behind(tmp_path):
    info = PngInfo()
    info.add_text("Copyright", "Ada")
    for k in range(3):
        info.add_text(f"T{k}", "x" * (TEXT_LIMIT // 2 + 2 - k))
    picture = open_picture(file(tmp_path, "PNG", pnginfo=info))
    assert [name for name, _ in picture.texts] == ["Copyright", "T2"]
    assert picture.notes == (
        "the text 'T0' of 500,002 characters dropped",
        "the text 'T1' of 500,001 characters dropped",
    )
    given = Picture(PIXELS, texts=(("Comment", "x" * 70_000),))
    notes = save_picture(tmp_path / "x.jpg", PIXELS, like=given)
    assert "comment is larger than a JPEG holds" in notes[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"icc": "sRGB"}, "icc 'sRGB' given; expected bytes"),
        ({"exif": 3}, "exif 3 given; expected bytes"),
        ({"xmp": "x"}, "xmp 'x' given; expected a packet"),
        ({"xmp": b"x"}, "xmp b'x' given; expected a packet"),
        ({"dpi": (72,)}, r"dpi \(72,\) given; expected two"),
        ({"dpi": (0.0, 72.0)}, "expected two"),
        ({"texts": {"a": "b"}}, "texts .* expected a tuple"),
        ({"texts": (("", "b"),)}, "texts .* expected a tuple"),
        ({"texts": (("a", "\ud800"),)}, "texts .* expected a tuple"),
        ({"notes": ["a"]}, "tuple of str"),
    ],
)
def test_a_picture_checks_what_it_carries(fields, message):
    with pytest.raises(GroundbrushError, match=message):
        Picture(PIXELS, **fields)
