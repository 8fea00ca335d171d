"""The words by which a sentence requests a change."""

from __future__ import annotations

REPLACE = frozenset("replace swap exchange substitute switch".split())
TURN = frozenset("turn change transform convert morph".split())
MAKE = frozenset(["make"])
PAINT = frozenset("paint colour color recolour recolor dye tint repaint".split())
REMOVE = frozenset("remove erase delete eliminate".split())
PUT = frozenset("put place add insert draw set".split())
NAME = frozenset("find locate select pick".split())
KEEP = frozenset("keep leave preserve".split())
COMMANDS = REPLACE | TURN | MAKE | PAINT | REMOVE | PUT | NAME | KEEP
# Several words that mean one verb: the words, and the verb they stand for.
PHRASAL = {
    ("get", "rid", "of"): "remove",
    ("take", "away"): "remove",
    ("take", "out"): "remove",
    ("take", "off"): "remove",
    ("cut", "out"): "remove",
    ("wipe", "out"): "remove",
    ("swap", "out"): "swap",
    ("switch", "out"): "switch",
}
# The same with the thing between: "take the dog away".
APART = {"take": ("away", "out", "off"), "cut": ("out",), "swap": ("out",)}

KNOWN = (
    "replace X with Y, turn X into Y, make X Y, change the colour of X to Y, remove X, put Y on X"
)

# What may stand before a command without changing it.
OPENERS = frozenset(
    "please then now also first firstly second secondly third next finally lastly afterwards "
    "afterward after that could can would will you i we want 'd like to let 's us just kindly "
    "and but or plus so ok okay hey hi hello too instead".split()
)
JOINTS = frozenset("and then but also plus".split())
STOPS = frozenset(", ; . ! ? : - -- & \" ' ( )".split())
DENIALS = frozenset("not n't never without".split())
LIMITERS = frozenset("only just exactly".split())
# What may follow one, without changing it.
CLOSERS = frozenset("please too also now instead then afterwards , . ; ! ? : - \" '".split())

COLOUR = frozenset("colour color".split())
PICTURE = frozenset("picture image photo photograph scene".split())
PRONOUNS_ONE = frozenset("it".split())
PRONOUNS_MANY = frozenset("them".split())
POINTERS = frozenset(
    "this that these those one ones he she him her they everything something anything all".split()
)
WHOLE = frozenset("everything anything something everyone everybody nothing".split())
INDEFINITE = frozenset("a an some another".split())
DEFINITE = frozenset("the this that these those my your his her its our their".split())
# They say where a thing is, not how it looks.
NOT_LOOKS = frozenset(
    "left right first second third fourth last top bottom middle front back upper lower other "
    "next nearest farthest only".split()
)
NONE = frozenset("no zero".split())
# Directions: "put a dog next to the cat" names nothing that could be painted over.
BESIDE = frozenset(
    "in next beside behind under underneath below above near between by at inside beneath before "
    "alongside around outside across against".split()
)
