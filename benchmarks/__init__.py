"""What is measured, and how: ratios within one run, kept under ``results/``. Start at ``__main__.py``."""
