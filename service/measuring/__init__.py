"""What ``headrace compare`` and ``headrace sweep`` share: rows of a file, processes of their own, charts and pages.

Start with ``stream.py`` (what is measured on), ``processes.py`` (where) and ``chart.py`` (how it is shown).
"""
