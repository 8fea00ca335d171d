"""Scores of the miniature models on held-out scenes; ``python -m groundbrush.miniature.scores``.

One module a subject, each a function from a seed to plain records; ``journal`` keeps the records so
that a stopped run can be continued, ``page`` and ``sheets`` show them. Nothing here trains or
chooses anything.
"""
