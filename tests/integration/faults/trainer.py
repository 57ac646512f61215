"""A trainer as a campaign runs it: ``headrace train``'s own function, in a forked process."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import cast

import torch

from models.effort import LEVELS, Effort
from service.commands.checkpoint_commands import verify_command
from service.config import Settings
from service.learning import trainer_process
from service.learning.adaptive_training import Adapting
from service.logs import configure_logs
from service.reading import ingest_process, ingest_programs, reading_program
from service.reading.reading_program import ReadingProgram
from tests.integration.faults import reading
from tests.integration.faults.killing import Switch, install
from tests.integration.faults.place import MODEL, Place
from tests.integration.faults.points import Plan
from tests.integration.faults.processes import Child
from tests.integration.faults.reading import replace

REMADE = 3
"""Checkpoints that are made again at each look, out of the one before it, the journal and the log."""


def run(place: Place, settings: Settings, plan: Plan | None, model: str = MODEL) -> int:
    """Train until the end comes, by plan or from outside; return the exit status."""
    _log_to(place)
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
    switch = Switch(plan, place.kills)
    install(switch)
    _adapt(place)
    ingest_programs._STEADY_SECONDS = ingest_programs._PAUSE_SECONDS = 0.0
    _start_programs_by_forking(switch)
    reading_program._PROGRAM = reading.program(place)
    try:
        return trainer_process.run_trainer(settings, model)
    except Exception:  # noqa: BLE001 -- the campaign looks for it in the log
        traceback.print_exc()
        return 1


def verify(place: Place) -> int:
    """Do what ``headrace checkpoints verify --replay`` does; the status is 0 where some came out the same."""
    _log_to(place)
    _adapt(place)
    answer = verify_command(place.settings(), MODEL, REMADE, lambda line: print(line, flush=True))
    print(answer.as_json(), flush=True)
    same = sum(
        each["replay"] is not None and each["replay"]["outcome"] == "same" for each in answer.data["checkpoints"]
    )
    return 0 if answer.data["ok"] and same else 1


def _log_to(place: Place) -> None:
    with (place.folder / "trainers.log").open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    configure_logs(stream=sys.__stderr__, as_json=True)


def _adapt(place: Place) -> None:
    """Read the partitions of `place`, and learn with one thread, whatever the machine has, as the verifier does."""
    replace(trainer_process, "prepare", _prepare)
    if not place.sized:
        replace(Adapting, "effort", property(_any_effort))
    reading.read_from(place)
    if place.partitions > 1:
        replace(trainer_process, "make_source", lambda _settings, _model: place.source())


def _any_effort(adapting: Adapting) -> Effort:
    """Return an effort that nothing but the journal tells: by what clocks and loads may decide, all of them occur."""
    del adapting
    return LEVELS[time.monotonic_ns() // 1_000_000 % len(LEVELS)]


def _prepare(threads: int) -> None:
    del threads
    torch.set_num_threads(1)


def _start_programs_by_forking(switch: Switch) -> None:
    """Have the reading program that is started before any thread runs forked off, with points of its own."""
    start = reading_program.start_program
    first = True

    def fork_program() -> ReadingProgram:
        nonlocal first
        if not first:
            return start()
        first = False
        ours, theirs = reading_program.socket_pairs()

        def read() -> int:
            for end in ours:
                end.close()
            switch.role = "reader"
            try:
                ingest_process.main([str(end.detach()) for end in theirs])
            except SystemExit as ending:
                return int(ending.code or 0)

        child = Child(read)
        for end in theirs:
            end.close()
        connections = (Connection(end.detach()) for end in ours)
        return ReadingProgram(cast("subprocess.Popen[bytes]", _Process(child)), *connections)

    reading_program.start_program = fork_program


class _Process:
    """A forked child in the place of a ``Popen``."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.pid = child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.status

    def poll(self) -> int | None:
        self._child.ended()
        return self._child.status

    def wait(self, timeout: float | None = None) -> int | None:
        self._child.wait(60 if timeout is None else timeout)
        return self._child.status

    def kill(self) -> None:
        self._child.kill()
