"""From checkpoint and journal to the very parameters that there were.

At a start, after a rollback, to prove a checkpoint, to begin anew. Start at ``recovery.py``.
"""
