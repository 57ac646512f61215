"""Other ways of serving the same network, each as its own documentation suggests. Run by ``benchmarks/serving.py``."""
