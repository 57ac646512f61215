"""A version of a model as one file: for other programs to answer with, and for other models to begin with.

Start at ``export_file.py``; the format is described in ``docs/export.md``.
"""
