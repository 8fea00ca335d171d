"""How well a preset finds things: benchmarks read, scored, compared and taken apart.

``readers`` turn published files into items, ``run`` grounds them into a journal, ``summary``
counts, ``report`` and ``sheet`` show, ``ablations`` switches one thing at a time.
"""
