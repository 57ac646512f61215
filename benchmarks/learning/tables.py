"""Results for people: ours against each of the others with every loss, who scored what, calibration, drift, speed."""

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.learning.board import FOREST, OURS, Board, Column, main_score
from benchmarks.learning.results import Kept, Speed
from service.measuring.machine import Machine

MISSING = "–"
LEVEL = 0.001
"""Differences below it, as a share of the larger figure, are no win and no loss."""

ABSURD = 1e6
"""A mean absolute error beyond it, on any of these streams, is that of a learner that diverged."""

INTRODUCTION = f"""\
At a label delay of N, blocks of N rows are answered before any of their labels is learned: for all learners, by the
same code. The first block, answered before any label at all, is not scored. Everything is at its defaults. Figures are
means over seeds, ± the standard deviation where there are any. Beside a stream's name stands how many of its rows were
learned; {MISSING} is not measured."""

EVENTS = ("recovery", "first_visit", "return_visit")
"""Scores that are numbers of events."""

TITLES = {"accuracy": "accuracy", "mae": "mean absolute error (less is better)"}


def markdown(kept: Kept, where: Machine, date: str) -> str:
    """Return all tables."""
    board = Board(kept)
    versions = sorted({part for cell in kept.cells.values() for part in cell.version.split(", ") if part})
    parts = [
        f"# Learning, {date}",
        f"{where.processor}, {where.cores} cores, {where.memory_gib} GiB, {where.system}, Python {where.python}.",
        f"{', '.join(versions)}.",
        INTRODUCTION,
        *_against(board),
        *(part for delay in board.delays for part in _scores(board, delay)),
        *_other(board, "Log loss", "log_loss"),
        *_other(board, "Expected calibration error", "calibration_error"),
        *_other(board, "Events until the score is back after an abrupt drift", "recovery"),
        *_other(board, "Events until a concept is known that is met for the first time", "first_visit"),
        *_other(board, "Events until a concept is known again that returns", "return_visit"),
        *_longer(board),
        *_throughput(kept.speeds),
        *_failures(board),
    ]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def compared(ours: float, theirs: float, score: str) -> int:
    """Return 1 where ours is better, -1 where theirs is, 0 where they are level."""
    if abs(ours - theirs) <= LEVEL * max(abs(ours), abs(theirs)):
        return 0
    return 1 if (ours > theirs) == (score == "accuracy") else -1


def _against(board: Board) -> list[str]:
    """Return ours against each of the others at a delay of 64, and every single loss."""
    lines, losses = [], []
    for peer in board.learners:
        verdicts = []
        for stream in board.streams(64) if not peer.startswith("headrace/") else ():
            score = main_score(board.sources[stream])
            ours, theirs = board.figure(OURS, stream, 64, score), board.figure(peer, stream, 64, score)
            if ours and theirs and ours.rows == theirs.rows:
                verdicts.append(compared(ours.mean, theirs.mean, score))
                if verdicts[-1] < 0:
                    losses.append([stream, peer, _text(theirs.mean, score), _text(ours.mean, score)])
        if verdicts:
            lines.append([peer, *(str(verdicts.count(verdict)) for verdict in (1, 0, -1))])
    if not lines:
        return []
    title = f"## {OURS} against the others at a delay of 64 events"
    parts = [title, table(["", "streams won", "level", "lost"], lines)]
    return [*parts, "Lost:", table(["", "to", "theirs", "ours"], sorted(losses))] if losses else parts


def _scores(board: Board, delay: int) -> list[str]:
    """Return the scores at a delay, a table for each group and measure."""
    parts = [f"## Delay {delay:,}"]
    for group in dict.fromkeys(source.group for source in board.sources.values()):
        for score, title in TITLES.items():
            streams = [name for name in board.streams(delay, group) if main_score(board.sources[name]) == score]
            columns = [board.column(stream, delay, score) for stream in streams]
            if columns:
                parts += [f"### {group}: {title}", _grid(board, columns)]
    return parts


def _other(board: Board, title: str, score: str) -> list[str]:
    """Return a table of another score at a delay of 64, over those streams for which there is one."""
    columns = [board.column(stream, 64, score) for stream in board.streams(64)]
    columns = [column for column in columns if column.best is not None]
    return [f"## {title} at a delay of 64 events", _grid(board, columns)] if columns else []


def _grid(board: Board, columns: Sequence[Column]) -> str:
    """Return learners by streams."""
    lines = [[learner, *(_cell(board, learner, column) for column in columns)] for learner in board.learners]
    shown = [line for line in lines if any(text != MISSING for text in line[1:])]
    return table(["", *(f"{column.stream} ({column.rows:,})" for column in columns)], shown)


def _cell(board: Board, learner: str, column: Column) -> str:
    """Return one figure, the best in bold, with its rows where they are not as many as the others'."""
    figure = board.figure(learner, column.stream, column.delay, column.score)
    if figure is None:
        return "failed" if board.failure(learner, column.stream, column.delay) else MISSING
    text = _text(figure.mean, column.score)
    if column.best is not None and figure.rows == column.rows and text == _text(column.best, column.score):
        text = f"**{text}**"
    if len(figure.values) > 1:
        text += f" ± {_text(statistics.stdev(figure.values), column.score)}"
    return text if figure.rows == column.rows else f"{text} (first {figure.rows:,})"


def _text(value: float, score: str) -> str:
    if score == "mae":
        return "diverged" if value > ABSURD else f"{value:.3g}"
    return f"{value:,.0f}" if score in EVENTS else f"{value:.3f}"


def _longer(board: Board) -> list[str]:
    """Return what a delay of 256 costs, ours and the forest."""
    lines = []
    for stream in board.streams(256):
        score, line = main_score(board.sources[stream]), [stream]
        for learner in (OURS, FOREST):
            near, far = (board.figure(learner, stream, delay, score) for delay in (64, 256))
            same = near and far and near.rows == far.rows
            line.append(f"{_text(near.mean, score)} → {_text(far.mean, score)}" if same and near and far else MISSING)
        lines.append(line)
    return ["## From a delay of 64 to one of 256", table(["", OURS, FOREST], lines)] if lines else []


def _throughput(speeds: Sequence[Speed]) -> list[str]:
    """Return events a second on one core, and everybody's as multiples of the peers', round by round."""
    rates: dict[tuple[int, str], dict[tuple[str, int], float]] = {}
    for each in speeds:
        if not each.failure:
            rates.setdefault((each.microbatch, each.learner), {})[each.run, each.round] = each.per_second
    peers = list(dict.fromkeys(learner for _, learner in rates if not learner.startswith("headrace/")))
    lines = [
        [
            learner,
            f"{microbatch:,}",
            f"{statistics.median(rounds.values()):,.0f}",
            *(_multiple(rounds, rates.get((microbatch, peer), {})) for peer in peers),
        ]
        for (microbatch, learner), rounds in sorted(rates.items())
    ]
    header = ["", "microbatch", "events a second (median)", *(f"× {peer}" for peer in peers)]
    return ["## Throughput on one core, ten features, in processor time", table(header, lines)] if lines else []


def _multiple(ours: dict[tuple[str, int], float], theirs: dict[tuple[str, int], float]) -> str:
    """Return the median ratio over the rounds that both took part in."""
    ratios = [ours[at] / theirs[at] for at in ours.keys() & theirs.keys()]
    return f"{statistics.median(ratios):.1f}" if ratios else MISSING


def _failures(board: Board) -> list[str]:
    """Return what failed, and why."""
    tried = sorted(board.cells)
    lines = [[learner, stream, str(delay), board.failure(learner, stream, delay)] for learner, stream, delay in tried]
    failed = [line for line in lines if line[-1]]
    return ["## Failed", table(["learner", "stream", "delay", "reason"], failed)] if failed else []
