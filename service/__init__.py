"""Where events meet models: the trainer, the API and the command line. Start reading at ``trainer.py``."""
