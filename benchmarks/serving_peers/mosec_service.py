"""mosec: a server in Rust, a worker process in Python. As its documentation has it: ``forward`` of decoded JSON."""

from typing import Any

from mosec import Server, Worker

from benchmarks.serving_peers.network import Classifier


class Predicting(Worker):  # type: ignore[misc]  # it has no types
    """The worker."""

    def __init__(self) -> None:
        self._classifier = Classifier()

    def forward(self, data: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        return self._classifier.answer(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Predicting)
    server.run()
