"""``headrace sweep``: what each size of a microbatch costs and brings on this machine.

Start with ``sweep.py``; what is measured is in ``cell_run.py``, what is made of it in ``choice.py``.
"""
