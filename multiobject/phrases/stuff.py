"""Which nouns name stuff, what has no shape of its own and cannot be counted, and which things."""

from __future__ import annotations

# COCO's stuff and the plain words people say for it (https://github.com/nightrome/cocostuff).
STUFF = frozenset(
    """
    air asphalt bush beach blanket brick building cage cardboard carpet ceiling cement cliff cloth
    cloud coast concrete countertop court crowd curtain desert dirt earth fabric fence field
    fire fireplace floor flooring fog foliage forest fur garden glass grass gravel greenery ground
    hair hay hedge hill ice jungle lake land landscape lawn leaves light lot marble meadow metal
    mist moss mountain mountaintop mud ocean pasture pavement pebble plain plant platform playing
    pond rail railing railroad rain river road rock roof rubble sand scenery sea seawater shade
    shadow shore shrub sidewalk skin sky skyline skyscraper smoke snow soil steam straw street
    sunlight surface terrain textile tile track trail tree turf tunnel vegetation wall wallpaper
    water waterdrop waterfall wave wetland wheat wood woodland woods yard
    """.split()
)
# In COCO's lists but one thing each in a picture that names them in the singular.
_COUNTED = frozenset("building bush blanket plant rock tree tunnel fireplace cage lot".split())


def is_thing(lemma: str, plural: bool = False) -> bool:
    """Whether a noun names things that can be counted.

    Trees and rocks are things one by one and stuff in the plural.

    Examples
    --------
    >>> is_thing("dog"), is_thing("sky"), is_thing("tree"), is_thing("tree", plural=True)
    (True, False, True, False)
    """
    return lemma not in STUFF or (lemma in _COUNTED and not plural)
