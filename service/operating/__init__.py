"""What operators ask of a model while it learns: pause, resume, roll back, keep a version under a name, take one away.

The API and the command line write a command into a durable table, and the trainer that owns the model obeys between two
microbatches. Start at ``command_table.py``, then ``operator.py``.
"""
