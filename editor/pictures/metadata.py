"""What a picture's file carries beside its pixels: EXIF, XMP, resolution and texts.

Kept: subject, author, time and place of the picture. What says how another file was
built, or shows the picture as it was (thumbnails), would be untrue of an edited one.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, unescape

from PIL import Image

from ..errors import GroundbrushError

TEXT_LIMIT = 1_000_000
"""Longest XMP packet, in bytes, and most characters of texts that are carried along."""

COMMENT = "Comment"
"""The text that JPEG and GIF have a place of their own for."""

Texts = tuple[tuple[str, str], ...]
Resolution = tuple[float, float]
Chunks = tuple[tuple[bytes, bytes], ...]
"""PNG chunks: their type and data."""

_EXIF_PREFIX = b"Exif\x00\x00"
_ORIENTATION, _THUMBNAIL_AT, _THUMBNAIL_LENGTH = 0x0112, 0x0201, 0x0202
_SHORT, _LONG = 3, 4
_COLOUR = (b"cICP", b"mDCV", b"cLLI", b"gAMA", b"cHRM", b"sRGB")
_LONGEST_COLOUR = 32  # bytes; cHRM's
_SRGB = (
    (b"sRGB", b"\0"),
    (b"gAMA", struct.pack(">I", 45_455)),
    (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    (b"cICP", bytes([1, 13, 0, 1])),
)
"""What says that a picture is sRGB; that is so without them, too."""
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
# Of a TIFF's tags only these describe the picture; the others describe the file it came in.
_TIFF_ABOUT = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298)

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "cc": "http://creativecommons.org/ns#",
}
# Untrue of another file, or of painted pixels ("digital capture"), although of those namespaces.
_UNTRUE = {
    f"{{{_NAMESPACES[prefix]}}}{name}"
    for prefix, names in {
        "xmp": ("Thumbnails",),
        "photoshop": (
            "ColorMode",
            "DocumentAncestors",
            "History",
            "ICCProfile",
            "LegacyIPTCDigest",
        ),
        "exif": ("ColorSpace", "NativeDigest", "PixelXDimension", "PixelYDimension"),
        "Iptc4xmpExt": ("DigitalSourceType",),
    }.items()
    for name in names
}
_OPEN, _CLOSE = b"<groundbrush:recipe>", b"</groundbrush:recipe>"
_END = b"</rdf:RDF>"
_DEEPEST, _MOST = 50, 5_000  # XMP's elements, and these with their attributes
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # byte order marks of UTF-16
_PACKET = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="' + _RDF.encode() + b'">%s' + _END + b'</x:xmpmeta><?xpacket end="w"?>'
)
_RECIPE = (
    b'<rdf:Description rdf:about="" xmlns:groundbrush="urn:groundbrush:recipe">'
    + _OPEN
    + b"%s"
    + _CLOSE
    + b"</rdf:Description>"
)

for _prefix, _uri in {"rdf": _RDF, **_NAMESPACES}.items():
    ElementTree.register_namespace(_prefix, _uri)  # the prefixes that every program shows


class _Bounded(ElementTree.TreeBuilder):
    """Refuses what could define entities, and more or deeper elements than anybody writes."""

    depth = count = 0

    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        self.depth += 1
        self.count += 1 + len(attrs)
        if self.depth > _DEEPEST or self.count > _MOST:
            raise ValueError("more or deeper elements than XMP has")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ElementTree.Element:
        self.depth -= 1
        return super().end(tag)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a document type in XMP")


def read_unloaded(image: Image.Image) -> tuple[bool, Chunks]:
    """Return what loading an opened file would lose: whether it lies on its side, and its colours.

    Pillow sets a TIFF upright as it loads it. Colours are a PNG's chunks that say what its samples
    mean, unless that is sRGB.
    """
    turned = False
    if image.format == "TIFF":  # for a PNG this would load the pixels
        with suppress(Exception):  # `_read_exif` reports damaged EXIF
            turned = image.getexif().get(_ORIENTATION, 1) in range(5, 9)
    return turned, _read_colour(image)


def read_metadata(image: Image.Image, turned: bool, notes: list[str]) -> tuple[int, dict[str, Any]]:
    """Return the orientation (1 to 8) to apply to a loaded file, and the fields of its `Picture`.

    `turned`: whether Pillow has turned it by a quarter. What is dropped is noted.
    """
    exif, orientation = _read_exif(image, notes)
    dpi = _as_resolution(image.info.get("dpi"))
    if dpi and (turned or orientation >= 5):
        dpi = dpi[::-1]
    carried = {"exif": exif, "xmp": _read_xmp(image, notes), "texts": _read_texts(image, notes)}
    return orientation, {**carried, "dpi": dpi}


def _read_exif(image: Image.Image, notes: list[str]) -> tuple[bytes | None, int]:
    """Return the EXIF block to keep and the orientation (1 to 8) to apply."""
    raw = image.info.get("exif")
    try:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        if not (isinstance(raw, bytes) and raw):
            raw = _exif_about(exif)
        kept = upright_exif(raw) if raw else None
    except Exception:  # noqa: BLE001 - damaged EXIF of any kind must not cost the picture
        notes.append("unreadable EXIF dropped")
        return None, 1
    return kept, orientation if orientation in range(1, 9) else 1


def _exif_about(exif: Image.Exif) -> bytes | None:
    """Return an EXIF block of what a TIFF's tags (or an unsaved image's) say of the picture."""
    about = Image.Exif()
    for tag in _TIFF_ABOUT:
        if tag in exif:
            about[tag] = exif[tag]
    for ifd in (_EXIF_IFD, _GPS_IFD):
        values = exif.get_ifd(ifd)
        if values:
            about[ifd] = dict(values)
    return about.tobytes() if len(about) else None


def upright_exif(raw: bytes) -> bytes:
    """Return an EXIF block with its orientation set to 1 and its thumbnail taken out.

    The block is patched in place rather than written anew, so that maker notes, with
    absolute offsets, survive. The thumbnail goes because it would still show what an edit removed.

    The result has the leading ``Exif\\0\\0``; `raw` may have it.

    Raises ValueError if the block is not well formed.
    """
    data = bytearray(raw.removeprefix(_EXIF_PREFIX))
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(bytes(data[:4]))
    if order is None:
        raise ValueError("no TIFF header in the EXIF block")
    try:
        entries, link = _ifd(data, order, struct.unpack_from(order + "I", data, 4)[0])
        if _ORIENTATION in entries:
            kind, at = entries[_ORIENTATION]
            struct.pack_into(order + {_SHORT: "H", _LONG: "I"}[kind], data, at, 1)
        thumbnail_ifd = struct.unpack_from(order + "I", data, link)[0]
        if thumbnail_ifd:
            struct.pack_into(order + "I", data, link, 0)
            _blank_thumbnail(data, order, thumbnail_ifd, link + 4)
    except (struct.error, KeyError) as error:
        raise ValueError(f"malformed EXIF block ({error})") from error
    return _EXIF_PREFIX + bytes(data)


def about_xmp(packet: bytes | str) -> bytes | None:
    """Return an XMP packet of what another one says of the picture: title, author, rights, place.

    Only properties of namespaces that describe pictures stay (Dublin Core, XMP basic and rights,
    Photoshop's captions, EXIF, IPTC, PLUS, Creative Commons, Lightroom's keywords), and of those
    none that an edited picture would make untrue.

    Raises ValueError for a packet that is too long, no XML, or defines entities.
    """
    data = packet.encode() if isinstance(packet, str) else packet
    if len(data) > TEXT_LIMIT:
        raise ValueError(f"{len(data):,} bytes of XMP; at most {TEXT_LIMIT:,} are read")
    parser = ElementTree.XMLParser(target=_Bounded())
    try:
        data = data if data.startswith(_WIDE) else data.strip(b"\0 \t\r\n")
        root = ElementTree.fromstring(data, parser)
    except (ElementTree.ParseError, LookupError, UnicodeError) as error:
        raise ValueError(f"XMP that is no XML ({error})") from error
    top = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    described = () if top is None else top.findall(f"{{{_RDF}}}Description")
    kept = "".join(ElementTree.tostring(one, "unicode") for one in described if _trim(one))
    return _PACKET % kept.encode() if kept else None


def _trim(described: ElementTree.Element) -> bool:
    """Take out of an RDF description what is not carried; whether anything stays."""
    for name in [name for name in described.attrib if not _describes(name)]:
        if name != f"{{{_RDF}}}about":
            del described.attrib[name]
    for child in [child for child in described if not _describes(child.tag)]:
        described.remove(child)
    described.tail = None
    return len(described) > 0 or any(map(_describes, described.attrib))


def _describes(name: str) -> bool:
    """Whether a property, "{namespace}name", still holds of an edited picture."""
    return name[1:].partition("}")[0] in _NAMESPACES.values() and name not in _UNTRUE


def wrap_xmp(recipe: str | None, about: bytes | None = None) -> bytes | None:
    """Return an XMP packet of recipe JSON and of what `about_xmp` gave; None for neither."""
    if recipe is None:
        return about
    head, end, tail = (about or _PACKET % b"").rpartition(_END)
    return head + _RECIPE % escape(recipe).encode("ascii") + end + tail


def unwrap_xmp(packet: bytes | str) -> str | None:
    """Return the recipe JSON in an XMP packet, or None.

    Found by plain search: whatever else is in the packet, or wrong with it, does no harm.
    """
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    _, opened, rest = text.partition(_OPEN.decode())
    body, closed, _ = rest.partition(_CLOSE.decode())
    return unescape(body) if opened and closed else None


def _read_xmp(image: Image.Image, notes: list[str]) -> bytes | None:
    """Return what an opened file's XMP says of its picture, as `about_xmp`."""
    packet = image.info.get("xmp")
    if not isinstance(packet, (bytes, str)):
        return None
    try:
        return about_xmp(packet)
    except ValueError:
        notes.append("unreadable XMP dropped")
        return None


def check_metadata(picture: Any) -> None:
    """Raise GroundbrushError for a field of a `Picture` that no file could carry."""
    icc, exif, xmp, dpi = picture.icc, picture.exif, picture.xmp, picture.dpi
    packet = xmp is None or (isinstance(xmp, bytes) and _END in xmp)
    texts = isinstance(picture.texts, tuple) and all(
        isinstance(text, tuple) and len(text) == 2 and _is_own_text(*text) for text in picture.texts
    )
    notes = isinstance(picture.notes, tuple) and all(isinstance(n, str) for n in picture.notes)
    for name, good, expected in (
        ("icc", icc is None or isinstance(icc, bytes), "bytes or None"),
        ("exif", exif is None or isinstance(exif, bytes), "bytes or None"),
        ("xmp", packet, "a packet as `about_xmp` returns it, or None"),
        ("dpi", dpi is None or _as_resolution(dpi), "two numbers above 1, to 65535, or None"),
        ("texts", texts, "a tuple of (name, text), names as PNG's"),
        ("notes", notes, "a tuple of str"),
    ):
        if not good:
            given = repr(getattr(picture, name))[:80]
            raise GroundbrushError(f"{name} {given} given; expected {expected}")


def _as_resolution(dpi: object) -> Resolution | None:
    """Return pixels per inch, across and down, or None for what is none."""
    if not isinstance(dpi, (tuple, list)) or len(dpi) != 2:
        return None
    try:
        across, down = (float(v) for v in dpi)
    except (TypeError, ValueError, ZeroDivisionError):  # a TIFF's 0/0
        return None
    # JPEG holds whole numbers of 16 bits; 1 is what Pillow gives of a TIFF without a resolution.
    return (across, down) if 1 < across <= 65_535 and 1 < down <= 65_535 else None


def _read_colour(image: Image.Image) -> Chunks:
    """Return a PNG's chunks that say what its samples mean, unless that is sRGB.

    Pillow keeps neither all of them nor their bytes. Where there is an ICC profile, only cICP says
    more (PNG, third edition, 4.3).
    """
    file = getattr(image, "fp", None)
    if image.format != "PNG" or file is None or file.closed:
        return ()
    start, found, kind = file.tell(), dict[bytes, bytes](), b""
    try:
        file.seek(8)
        while kind != b"IDAT" and len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if kind in _COLOUR and size <= _LONGEST_COLOUR:
                found[kind] = file.read(size)
                file.seek(4, 1)
            else:
                file.seek(size + 4, 1)
    finally:
        file.seek(start)
    if image.info.get("icc_profile"):
        found = {kind: data for kind, data in found.items() if kind == b"cICP"}
    return tuple(chunk for chunk in found.items() if chunk not in _SRGB)


def _read_texts(image: Image.Image, notes: list[str]) -> Texts:
    """Return the named texts of a loaded file: PNG's, and the comment of a JPEG or GIF."""
    named: dict[str, Any] = dict(getattr(image, "text", {}))
    comment = image.info.get("comment")
    if isinstance(comment, bytes) and COMMENT not in named:
        named[COMMENT] = _decoded(comment).rstrip("\0")
    texts = {name: text for name, text in named.items() if _is_own_text(name, text)}
    while sum(map(len, texts.values())) > TEXT_LIMIT:
        longest = max(texts, key=lambda name: len(texts[name]))
        notes.append(f"the text {longest!r} of {len(texts.pop(longest)):,} characters dropped")
    return tuple(texts.items())


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _is_own_text(name: object, text: object) -> bool:
    """Whether a named text is the user's own: others are XMP, EXIF, our recipe, a thumbnail's."""
    if not (isinstance(name, str) and isinstance(text, str) and text):
        return False
    # PNG (third edition), 11.3.3: names are 1 to 79 printable characters of Latin-1.
    writable = 1 <= len(name) <= 79 and name.isprintable() and max(name) <= "\xff"
    writable = writable and not re.search("[\ud800-\udfff]", text)
    blocks = ("XML:", "Raw profile type ", "Thumb::", "groundbrush")
    return writable and not name.startswith(blocks)


def _ifd(data: bytearray, order: str, start: int) -> tuple[dict[int, tuple[int, int]], int]:
    """Return one EXIF directory as {tag: (type, offset of the value)} and its link's offset."""
    count = struct.unpack_from(order + "H", data, start)[0]
    entries = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        entries[tag] = (kind, at + 8)
    return entries, start + 2 + 12 * count


def _blank_thumbnail(data: bytearray, order: str, start: int, first_free: int) -> None:
    """Erase the thumbnail that the directory at `start` points at."""
    entries, _ = _ifd(data, order, start)
    if _THUMBNAIL_AT not in entries or _THUMBNAIL_LENGTH not in entries:
        return
    at, length = (
        struct.unpack_from(order + "I", data, entries[tag][1])[0]
        for tag in (_THUMBNAIL_AT, _THUMBNAIL_LENGTH)
    )
    if at < first_free or at + length > len(data):
        raise ValueError("the EXIF thumbnail lies outside its block")
    if at + length == len(data):
        del data[at:]
    else:
        data[at : at + length] = bytes(length)
