"""Which heads of a model say where: found on any pictures with phrases, without labels.

``samples`` draws pairs, ``measure`` keeps two numbers a head and sample, ``result`` ranks over
trials, ``figures`` and ``report`` show, ``bundled`` and ``cache`` serve presets without heads.
"""
