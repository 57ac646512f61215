"""From bytes to examples: the steps behind ``service/events.py``.

Read ``one_call.py`` first, then the fast path (``typed_decoding.py``) and the general one.
"""
