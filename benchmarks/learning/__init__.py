"""``make bench-learning``: how well and how fast streams are learned, beside other libraries, at equal label delay.

``streams.py`` and ``drifting.py`` say what is learned, ``measure.py`` is the one measure for all, ``cell.py`` runs one
learner over one stream in a process of its own, ``results.py`` keeps what came out, ``tables.py`` shows it.
The learners are in ``benchmarks/peers``.
"""
