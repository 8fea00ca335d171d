"""How well a preset finds things: read benchmarks, measure, score, compare, ablate.

``readers`` turn published files into items, ``measure`` grounds them into a journal, ``scores``
counts, ``report`` and ``sheet`` show, ``arms`` switches one thing at a time, ``job`` and ``png``
run it all. Nothing here knows how a phrase is found.
"""
