"""The names of learners, without anything heavy: ``--help`` lists them.

The names are those of the registries in ``models``; ``tests/service/settings/test_learner.py`` keeps the two in step.
"""

KINDS = ("auto", "leaves", "rls", "knn", "linear", "mlp", "fm", "online", "batch")
