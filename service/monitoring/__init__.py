"""What a trainer and a server say of themselves: status, counters, histograms.

``service/metrics.py`` is where Prometheus asks.
"""
