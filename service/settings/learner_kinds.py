"""The names of learners and how they learn a history, without anything heavy: ``--help`` says so.

They are those of the registries in ``models``; ``tests/service/settings/test_learner.py`` keeps the two in step.
"""

KINDS = ("auto", "leaves", "rls", "knn", "linear", "mlp", "fm", "online", "batch")

EPOCHS = 5
"""How often networks go through a file of history, at most; the same as in ``models/history.py``."""
