"""From the log to decoded chunks.

The loop that polls and decodes, in a process of its own, and what becomes of what it refuses. Start at ``ingest.py``.
"""
