"""Open sessions by id."""

from __future__ import annotations

from groundbrush.app.session.session_store import DAY, MAX_STORED, SessionStore, new_id


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_session_is_kept_for_a_day_after_its_last_use():
    clock = Clock()
    store = SessionStore(clock=clock)
    store.put("a", {"find": "the cup"})
    clock.now = 0.9 * DAY
    assert store.get("a") == {"find": "the cup"}
    clock.now = 1.8 * DAY
    assert store.get("a") == {"find": "the cup"}
    clock.now = 2.9 * DAY
    assert store.get("a") is None


def test_the_longest_unused_go_first_where_they_are_too_large():
    store = SessionStore(max_bytes=10)
    for name in "abc":
        store.put(name, {}, 4)
    assert store.get("a") is None
    store.get("b")
    store.put("d", {}, 4)
    assert store.get("c") is None
    assert store.get("b") == {}
    store.put("e", {}, 99)
    assert store.get("e") == {}
    assert store.get("b") is None


def test_only_so_many_are_kept():
    store = SessionStore()
    for number in range(MAX_STORED + 1):
        store.put(str(number), {"number": number})
    assert store.get("0") is None
    assert store.get("1") == {"number": 1}


def test_a_session_is_viewed_while_one_of_its_pages_is_active():
    store = SessionStore()
    store.put("a", {})
    store.add_viewer("a", "before")
    store.add_viewer("a", "after")
    assert store.is_viewed("a", lambda viewer: viewer == "after")
    store.put("a", {})
    assert store.is_viewed("a", lambda viewer: True)
    assert not store.is_viewed("a", lambda viewer: False)
    assert not store.is_viewed("b", lambda viewer: True)


def test_ids_cannot_be_guessed():
    assert len({new_id() for _ in range(100)}) == 100
    assert len(new_id()) >= 20
