"""The sections of ``make bench``: each a module with ``measure``, named in ``table.py``, which imports none of them.

``measure(address, topic, folder, events, rounds)`` takes a broker, a topic of so many JSON events, a folder that is its
own, and how often to measure; it returns results. What it cannot measure is a result too, which says why.
"""
