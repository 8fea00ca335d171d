"""From a sentence to a plan of edits: ``steps`` holds it, ``reader`` reads it.

Reading goes by clauses (``clauses``), pairs of things and what becomes of them (``pairs``), and
the things themselves (``things``), with the vocabulary of asking in ``words``.
"""

from .steps import Plan, Step, Unread

__all__ = ["Plan", "Step", "Unread"]
