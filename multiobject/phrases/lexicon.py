"""Word lists: nouns for things, stuff and nothing visible; adjectives that contrast."""

from __future__ import annotations

import re

# The picture itself.
PICTURE = frozenset(
    "image picture photo photograph pic snapshot scene view shot close-up background "
    "foreground".split()
)
# Pictures that may also hang on a wall: the picture itself only where they say what they show.
DEPICTION = frozenset(
    "picture photo photograph painting drawing illustration sketch portrait rendering cartoon "
    "print poster image".split()
)
SHOWING = frozenset("show depict feature contain display portray capture include".split())

# Places inside the picture: part of a relation ("on the left"), never a thing.
PLACE = frozenset("left right middle center centre distance foreground background rear".split())
# The same after a preposition and without a property ("at the back"; "a white top" is clothing).
PLACE_OR_THING = frozenset("top bottom front back side corner edge end".split())
PLACE_WORDS = frozenset(
    "the a its their each either both other opposite left right upper lower top bottom back front "
    "far very".split()
)

# "a group of people" is people: their number is the noun's.
COLLECTIVE = frozenset(
    "group bunch couple pair lot number herd flock pile stack row set collection variety series "
    "line heap cluster crowd array assortment handful dozen plenty selection trio pack "
    "swarm school".split()
)
# "two slices of pizza" is pizza: their number is the unit's.
UNIT = frozenset("slice piece kind type sort bit sheet lump chunk strip pinch drop".split())
QUANTIFIERS = frozenset(
    "one two three four five six seven eight nine ten some all both several many most each either "
    "few any half".split()
)
ONE_OF_MANY = frozenset(["one", "either"])
EVERY = frozenset(["all", "every", "each"])
NUMBERS = {
    word: number
    for number, word in enumerate("one two three four five six seven eight nine ten".split(), 1)
} | {"both": 2, "couple": 2, "pair": 2, "dozen": 12}
VAGUE = frozenset(
    "some several many few numerous most various half dozens hundreds thousands lots loads".split()
)
MANY = frozenset("several many both few these those numerous multiple various countless".split())
# Pronouns that some pipelines tag as nouns.
PRONOUN_LIKE = frozenset(
    "one ones other others none something someone somebody anything anyone anybody everything "
    "everyone everybody nothing nobody".split()
)
# Plural in grammar, one thing in a picture.
PLURAL_IN_FORM = frozenset(
    "scissors jeans pants trousers shorts tights leggings overalls pajamas pyjamas binoculars "
    "pliers tweezers sunglasses eyeglasses goggles headphones tongs clippers".split()
)

# Not visible. Lemmas; nouns in -ness and -ism are added by `is_abstract`.
ABSTRACT = frozenset(
    """
    ability absence action activity advantage adventure advice age agreement air amount anger
    anxiety appearance art aspect atmosphere attempt attention attitude autumn background balance
    beauty beginning behavior behaviour belief benefit birth boredom business care chance
    change chaos charm choice colour color comfort community comparison competition concept
    condition confidence confusion contrast control conversation courage course creativity culture
    curiosity danger date dawn day daylight daytime death decision degree delight democracy depth
    design desire detail difference difficulty direction discussion dream dusk duty education
    effect effort elegance emotion energy enjoyment environment error evening event evidence
    excitement existence experience expression fact faith fall fame fashion fear feeling focus
    form freedom friendship fun function future game goal grace grief growth guilt habit half
    happiness harmony hate hatred health height help history hobby holiday honesty honor honour
    hope hour humor humour idea imagination importance impression innocence inspiration instant
    interest issue joy justice kindness knowledge lack laughter law leisure length level liberty
    life lifestyle lot love luck manner matter meaning mean memory midday midnight mind minute
    moment month mood morning motion movement mystery nature need night noise noon nothing number
    occasion opinion opportunity order pace pain part passion past patience peace perspective
    place pleasure poverty power presence pride privacy problem process progress promise purpose
    quality quantity question rate reason relation relationship relaxation respect rest result
    romance routine rush sadness sake season second sense serenity shame shape silence situation
    size smell smile soul sound speed spirit spring state stillness strength stress style success
    summer sunlight sunrise sunset sunshine surprise symmetry taste temperature tension theme
    thing thought time today tomorrow tonight tradition tranquility trick trouble trust truth use
    vacation value variety victory vibe war warmth way weather week weekend weight width winter
    trip wisdom work year yesterday youth
    monday tuesday wednesday thursday friday saturday sunday january february march april may june
    july august september october november december
    skiing surfing skateboarding snowboarding swimming running jogging hiking fishing cooking
    dancing walking riding cycling shopping sailing tennis soccer golf hockey cricket rugby
    volleyball badminton
    """.split()
)
_CONCRETE = frozenset(
    "harness wilderness witness lioness governess baroness business prism".split()
)
# Bare objects of these are a game ("play baseball"), with an article they are a thing.
PLAYING = frozenset(["play", "game", "match", "practice", "do"])

_CONTRASTS = (
    "red orange yellow green blue purple violet pink brown black white grey gray golden gold "
    "silver beige turquoise teal cyan magenta maroon navy tan cream",
    "small large big little tiny huge medium giant smaller larger bigger",
    "young old new ancient modern antique older younger newer",
    "tall short long high low taller shorter longer",
    "thick thin fat slim wide narrow",
    "left right upper lower top bottom middle front back",
    "first second third fourth last",
    "wooden metal plastic glass stone leather paper ceramic steel brick concrete",
    "striped spotted plain checkered checked dotted floral",
    "round square rectangular triangular oval",
    "hot cold warm cool",
    "open closed shut",
    "empty full",
    "clean dirty",
    "wet dry",
    "ripe unripe rotten fresh",
    "male female",
    "light dark bright",
)
# adjective -> its family: "red and green apples" are two kinds, "big and red apples" are one.
CONTRAST = {word: i for i, words in reversed([*enumerate(_CONTRASTS)]) for word in words.split()}
COLOURS = frozenset(_CONTRASTS[0].split())
PATTERNS = frozenset("striped spotted checkered checked dotted patterned".split())
SHADES = frozenset(
    "dark light bright pale deep pastel neon dull matte matt glossy metallic".split()
)

# Words that put letters, not things, between the quotation marks after them.
LETTERING = frozenset(
    "say read spell write state label word letter text caption title logo sign call name".split()
)
ABSENT = frozenset(["without", "except", "excluding", "minus"])
EXCEPTED = re.compile(
    r"\b(?:(?:but|save|less) (?:not|for|the|an?|one)|except|excepted|exception of|excluding"
    r"|excluded|(?:apart|aside|different) from|other than|besides|barring|minus|unlike"
    rf"|(?:almost|nearly|hardly|up to) (?:all|any|every|\d+|{'|'.join(NUMBERS)}))\b"
    r"|[,;] *(?:(?:(?:just|only) )?not|just|only)\b",
    re.IGNORECASE,
)
TOGETHER = frozenset(["between", "among", "amongst", "amid"])

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
# Stuff in COCO, but one thing in the singular.
_COUNTED = frozenset("building bush blanket plant rock tree tunnel fireplace cage lot".split())


def is_abstract(lemma: str) -> bool:
    """Return whether a noun names nothing visible."""
    if lemma in ABSTRACT:
        return True
    return lemma.endswith(("ness", "ism")) and lemma not in _CONCRETE


def is_thing(lemma: str, plural: bool = False) -> bool:
    """Return whether a noun names things that can be counted.

    Trees and rocks are things in the singular and stuff in the plural.

    Examples
    --------
    >>> is_thing("dog"), is_thing("sky"), is_thing("tree"), is_thing("tree", plural=True)
    (True, False, True, False)
    """
    return lemma not in STUFF or (lemma in _COUNTED and not plural)
