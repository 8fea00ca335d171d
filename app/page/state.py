"""What one browser session holds, and the line of work that all sessions share."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ...editor.api import Editor
from ...editor.as_code import literal
from ...editor.editing.result import Edit
from ...editor.errors import GroundbrushError
from ...editor.finder import Grounding
from ...editor.masks.operations import Operation
from ...editor.models.presets import preset_names
from ...editor.pictures.picture import Picture
from ..queue import JobCancelled, Work
from ..session.session import Session
from ..session.session_store import MAX_STORED, MAX_STORED_BYTES, new_id
from .canvas import read_mark
from .work import call, durations, store, submit

EMPTY: dict[str, Any] = {
    "session": None,  # app.session.session.Session
    "id": "",  # of the open session, in the page's address
    "address": "",  # the id that the address had last
    "choosing": False,  # the first screen is shown though a picture is open
    "asked": "",  # what was looked for last, found or not
    "trouble": "",  # why that failed, in words
    "news": "",  # how the last painting ended, where it gave no picture
    "job": None,  # painting under way
    "doing": "",  # what is painted there, in words
    "edits": [],  # painted and not yet kept
    "variant": 0,
    "tries": [],  # every such list of edits of this place, to choose from
    "versus": "before",  # what a result is compared with: the number of another, or before
    "again": None,  # paints the same again, with the options given
    "everything": None,  # a grounded sentence
    "choices": {},  # what to do with each of its things
    "sides": None,  # which sides to extend, how far, and the words for them
    "plan": None,
    "rows": None,  # its steps as fields
    "plan_turn": 0,  # new keys for these
    "search": 0,  # the same for what words found
    "chip": 0,  # the same for words to choose from
    "why": None,
    "done": 0,  # the number of the last mark that came from the surface
    "todo": [],  # marks and operations to do; they come from callbacks, which nothing interrupts
    "wrong": "",  # why one was refused
    "turn": 0,  # new keys for widgets that must begin afresh
    "memory": {},  # see `kept`
}


MAX_TRIES = 8
"""Most results of "Try again" that are kept, each with its variants."""
TYPED = ("find", "paint")
"""Fields that keep their words while hidden; Streamlit would forget them."""
DEFAULT = preset_names()[0]
SETTINGS: dict[str, Any] = {
    "variants": 1,
    "seed": 0,
    "quality": "final",
    "steps": 0,
    "guidance": 0.0,
    "size": 0,
}
"""Widgets behind Settings, and what they show first."""
UNKNOWN_ADDRESS = (
    "The picture of this address is not open. One is kept for a day after its last use, and only "
    f"the last {MAX_STORED}, or as many as fit into {MAX_STORED_BYTES / 1e9:g} GB. Choose a "
    "picture, or open a saved session."
)
_COMMAND = re.compile(r"[;,]? ?(?:or )?`groundbrush[^`]*`[^.;]*")
_PATH = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[\\/](?:[^\\/\s'\"]+[\\/])+([^\\/\s'\"]*)")


def begin() -> None:
    """Give a new browser session its state: that of its address, or an empty one."""
    s = st.session_state
    for name in EMPTY:
        if name not in s:
            s[name] = own(EMPTY[name])
    s.setdefault("preset", DEFAULT)
    s.setdefault("shown_first", dict(SETTINGS))
    s.setdefault("stored", ())  # `work_of` what the store held when this page last read or wrote it
    s.setdefault("left", None)  # the address that it left to another page
    for name in TYPED:
        if key(name) in s:
            s[key(name)] = s[key(name)]
    follow_address()


def follow_address() -> None:
    """Follow Back, Forward, a reload or a link to an open session."""
    s = st.session_state
    asked = st.query_params.get("s", "")
    if asked == s.address:
        s.left = None
    elif asked != s.left:  # that one is on its way out of the browser's address
        kept = store().get(asked) if asked else None
        s.address = asked
        if asked and asked != s.id and kept is None:
            s.wrong_address = s.choosing = True
            return
        if kept is not None and asked != s.id:
            settings = kept.pop("settings")
            if not s.id:  # a new page; one that is open has settings of its own
                s.preset, s.shown_first = kept["preset"], settings
            s.update({name: own(value) for name, value in kept.items()})
            s.stored = work_of(kept)
        s.choosing = not asked
    if s.id:
        context = get_script_run_ctx()
        store().add_viewer(s.id, context.session_id if context else "")


def show_address() -> None:
    """Write the id of what is shown into the address; before a rerun, which reads it."""
    s = st.session_state
    s.address = "" if s.choosing or s.session is None else s.id
    if s.address:
        st.query_params["s"] = s.address
    else:
        st.query_params.clear()


def choose_picture(choosing: bool = True) -> None:
    """Go to the first screen, or back to the picture that is open."""
    st.session_state.choosing = choosing
    show_address()


def work_of(values: Mapping[str, Any] | Any) -> tuple[Any, ...]:
    """What would be lost with a session: picture, mask and history, and what was painted."""
    tries = [edit for edits in values["tries"] for edit in edits]
    return values["session"], values["job"], *values["edits"], *tries


def keep() -> None:
    """Put the open session into the store; beside what another page has made of it meanwhile."""
    s = st.session_state
    if s.session is not None:
        there, now = store().get(s.id), work_of(s)
        theirs = s.stored if there is None else work_of(there)
        if not (same(theirs, s.stored) or same(theirs, now)):
            if same(now, s.stored):
                return
            s.left, s.id = s.id, new_id()
            show_address()
        s.stored = now
        names = [*EMPTY, "preset", *(key(name) for name in TYPED)]
        kept = {name: s[name] for name in names if name in s and name not in ("memory", "address")}
        kept["settings"] = {name: s.get(name, s.shown_first[name]) for name in SETTINGS}
        paintings = [v.image for edits in s.tries for edit in edits for v in edit.variants]
        store().put(s.id, kept, sum(a.nbytes for a in (*s.session.arrays, *paintings)))


def own(value: Any) -> Any:
    """A copy of a list or dictionary, which two pages must not share."""
    return value.copy() if isinstance(value, list | dict) else value


def kept(name: str, parts: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What `make` gives, made again only when a part is another one than at the last time."""
    store = st.session_state.memory
    known = store.get(name)
    if known is not None and same(known[0], parts):
        return known[1]
    value = make()
    store[name] = (parts, value)
    return value


def same(these: tuple[Any, ...], those: tuple[Any, ...]) -> bool:
    """Whether two tuples hold the same objects, or equal words and numbers."""
    return len(these) == len(those) and all(
        a is b or (isinstance(a, str | int) and a == b) for a, b in zip(these, those, strict=True)
    )


@contextmanager
def told(part: str = "This part of the page") -> Iterator[None]:
    """Show an error where it happens; the other parts of the page stay as they are."""
    try:
        yield
    except JobCancelled as stop:
        st.info(literal(str(stop)))
    except GroundbrushError as error:
        st.error(said(error))
    except Exception as error:  # Streamlit stops and restarts a script by other exceptions
        logging.getLogger("groundbrush").exception("%s failed", part)
        st.error(
            f"{part} failed ({type(error).__name__}); the rest works. Change what you gave it, or "
            "reload the page: nothing is lost. The terminal shows the details for a report."
        )


def said(error: object) -> str:
    """A message for the page: no markdown, no paths of the server, no commands for a terminal."""
    words = _COMMAND.sub("", _PATH.sub(r"…/\1", str(error)))
    return literal(words[:1].upper() + words[1:])


def open_session(session: Session, session_id: str | None = None) -> None:
    """Begin with a picture or a reopened session; a painting under way is stopped."""
    s = st.session_state
    turn, session_id = s.turn + 1, new_id() if session_id is None else session_id
    if s.job is not None:
        s.job.cancel()
    for name in EMPTY:
        s[name] = own(EMPTY[name])
    for name in ("upload", "saved"):
        s.pop(name, None)
    s.session, s.turn, s.id = session, turn, session_id
    # a reopened session has its mask already: its words are not looked for again
    s.asked = session.find if session.mask is not None else ""
    s[key("find")], s[key("paint")] = session.find, session.paint
    show_address()
    keep()


def key(name: str) -> str:
    """A widget's key; a new one for each picture and after each kept edit."""
    return f"{name}-{st.session_state.turn}"


def fresh(session: Session) -> None:
    """Continue with another state of the picture, in which nothing is found or painted yet."""
    open_session(session.cleared(), session_id=st.session_state.id)


def look(editor: Editor, words: str, spot: Any) -> None:
    """Find what was typed and begin a mask from it."""
    s = st.session_state
    forget()
    picture = s.session.picture
    try:
        found = call(lambda: editor.ground(picture, words), "looking", spot)
        s.session = s.session.looked(found, editor.finder.scene(picture))
    except GroundbrushError as error:
        s.trouble = str(error)
    s.asked = words  # last: where the page is run again meanwhile, the next run searches again


def forget() -> None:
    """Drop what the words found, with its mask; a mask that was drawn by hand stays."""
    s = st.session_state
    mask, found = s.session.mask, s.session.found
    by_hand = s.session.drawn and mask.mask.any() and not (found and found.found)
    kept = {"mask": mask, "drawn": True} if by_hand else {}
    s.session = dataclasses.replace(s.session.cleared(), **kept)
    for name in (
        "why",
        "asked",
        "trouble",
        "news",
        "wrong",
        "everything",
        "plan",
        "rows",
        "choices",
    ):
        s[name] = own(EMPTY[name])


def candidate_key(found: Grounding) -> str:
    """The key of the chips that choose among the places found."""
    return f"{key('candidate')}-{hash((found.phrase, found.box, found.score))}"


def choose(editor: Editor, number: Any) -> None:
    """Take one of the places found: the number that it has in the picture and on its chip."""
    s = st.session_state
    found = s.session.found
    first = 1 if found is not None and found.found else 0
    if found is None or not str(number).isdecimal():
        return
    index = int(number) - 1 - first
    if -first <= index < len(found.candidates):
        chosen = None if index < 0 else index
        s.session = s.session.looked(found, editor.finder.scene(present()), chosen)
        s[candidate_key(found)] = str(number)


def do_marks(editor: Editor) -> None:
    """Do what was marked and pressed, in order.

    A mark leaves the list when it is done: where the page is run again meanwhile, the next run
    does it.
    """
    s = st.session_state
    named = s.session.find
    if s.todo:
        s.wrong = ""
    while s.todo:
        wanted = s.todo[0]
        try:
            s.session = marked(editor, s.session, wanted)
        except GroundbrushError as error:
            s.wrong = str(error)
        s.todo.pop(0)
    if named != s.session.find and s.get(key("find")) == s.asked:  # else new words are typed
        s.asked = s[key("find")] = s.session.find


def marked(editor: Editor, session: Session, wanted: Any) -> Session:
    """A session after an operation, or a mark as the surface sends it."""
    if isinstance(wanted, Mapping):
        if wanted.get("kind") in ("undo", "redo"):
            return session.undo() if wanted["kind"] == "undo" else session.redo()
        if wanted.get("kind") == "candidate":
            choose(editor, wanted.get("number"))
            return st.session_state.session
        wanted = read_mark(wanted, session.picture.size)
    scene = editor.finder.scene(session.picture)
    operation: Operation = wanted
    done: Session = call(lambda: session.mark(operation, scene), "marking")
    return done


def paint(editor: Editor, words: str | None, options: dict[str, Any]) -> None:
    """Put a painting in line."""
    s = st.session_state
    session, found = s.session, s.session.found
    request = session.request(words, **options)
    known = found if found is not None and found.phrase == request.find else None
    where = request.find or "the marked place"
    doing = f"{where} → {request.paint}" if request.paint else f"removing {where}"
    work = lambda cb: [editor.paint(session.picture, request, cb, known)]  # noqa: E731
    begin_job(work, doing, partial(paint, editor, words))


def begin_job(work: Work, doing: str, again: Callable[[dict[str, Any]], None]) -> None:
    """Queue work that ends with a list of edits; `again` does it with other options."""
    s = st.session_state
    s.edits, s.variant, s.versus, s.news = [], 0, "before", ""
    s.job, s.doing, s.again = submit(work), doing, again


def paint_final() -> None:
    """Paint once more what was painted as a draft, with all steps."""
    s = st.session_state
    done = s.edits[-1].request
    options = {name: getattr(done, name) for name in ("variants", "seed", "settings")}
    with told("Painting"):
        s.again({**options, "draft": False})


def duration_key(draft: bool, settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the time of a painting depends on."""
    s = st.session_state
    return s.preset, draft, settings.get("steps"), settings.get("size"), s.session.size


def take() -> None:
    """Collect a painting that is over."""
    s = st.session_state
    job, s.job = s.job, None
    try:
        s.edits = job.value()
        s.tries = [*s.tries[1 - MAX_TRIES :], s.edits] if finished() else s.tries
    except GroundbrushError as error:  # shown until something else is tried
        s.news = str(error)
        s.edits = s.tries[-1] if s.tries else []
        return
    if job.seconds_a_step and len(s.edits) == 1:
        request = s.edits[0].request
        key = duration_key(request.draft, request.settings)
        durations()[key] = job.seconds_a_step * job.total


def finished() -> list[Edit]:
    """What was painted and is not yet kept or dropped."""
    return [edit for edit in st.session_state.edits if edit.done]


def present() -> Picture:
    """The picture as it now is, the same object for as long as the edits are."""
    session = st.session_state.session
    return kept("present", (session.original, session.changes), lambda: session.picture)
