"""What a trainer is made of: its model, its lane along the log, its versions, and what it does beside learning.

The loop is ``service/trainer.py``.
"""
