"""LitServe: FastAPI before a worker process. As its documentation has it: ``setup`` and ``predict``."""

import argparse
from typing import Any

import litserve

from benchmarks.serving_peers.network import Classifier


class Predicting(litserve.LitAPI):  # type: ignore[misc]  # it has no types here
    """What is served."""

    def setup(self, device: str) -> None:
        """Make the network, in the worker."""
        del device
        self._classifier = Classifier()

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        return self._classifier.answer(request)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    server = litserve.LitServer(Predicting(), accelerator="cpu", workers_per_device=1)
    server.run(port=parser.parse_args().port, host="127.0.0.1", log_level="error", generate_client_file=False)
