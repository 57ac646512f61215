"""Replaying rows as events: in order, at the rate that was asked for, each one taken once whatever the server does."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.decoding.event_bodies import events_from_body
from service.errors import DeliveryFailed, StreamFileInvalid
from service.replaying.message_forms import Format
from service.replaying.replay import Progress, batches, replay
from service.replaying.replay_events import Roles, as_json, events_of
from service.replaying.replay_http import HttpTarget
from service.replaying.replay_targets import Delivered
from service.replaying.stream_files import open_stream_file
from tests.support.answering import Answer, Asked, accept_all, answering


class Collecting:
    """A target that keeps what it gets."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []

    def send(self, events: Sequence[bytes]) -> Delivered:
        self.sent.append(list(events))
        return Delivered(len(events))

    def close(self) -> None:
        """Do nothing."""


class Clock:
    """Time that passes only by sleeping, and a little with every look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def numbered(count: int) -> Iterator[bytes]:
    """Yield events that tell their number."""
    return (b'{"features":{"n":%d},"label":1}' % number for number in range(count))


def sent_to(target: HttpTarget, events: Sequence[bytes]) -> Delivered:
    """Send one batch and close the target."""
    try:
        return target.send(events)
    finally:
        target.close()


def make_events(tmp_path: Path, name: str, content: str, roles: Roles) -> list[Any]:
    """Return the events of a file, decoded."""
    path = tmp_path / name
    path.write_text(content)
    return [msgspec.json.decode(as_json(event)) for event in events_of(open_stream_file(path), roles)]


def test_rows_become_events(tmp_path: Path) -> None:
    """The label, the id or the time would be learned as a feature."""
    content = "key,when,city,price,late\na1,2026-01-02 03:04:05,Oslo,3.5,true\na2,,Rome,,\n"
    assert make_events(tmp_path, "a.csv", content, Roles("late", "key", "when")) == [
        {"features": {"city": "Oslo", "price": 3.5}, "label": True, "id": "a1", "timestamp": "2026-01-02 03:04:05"},
        {"features": {"city": "Rome", "price": None}, "id": "a2"},
    ]


def test_labels_keep_their_kind(tmp_path: Path) -> None:
    """Classes 0 and 1 would become numbers to regress on, or the other way round."""
    labels = [event["label"] for event in make_events(tmp_path, "a.csv", "x,y\n1,1\n1,1.0\n1,a\n1,false\n", Roles("y"))]
    assert [(label, type(label)) for label in labels] == [(1, int), (1.0, float), ("a", str), (False, bool)]


def test_nested_objects_become_dotted_features(tmp_path: Path) -> None:
    """The label of a nested event could not be named."""
    content = '{"order": {"late": true, "price": 3, "tags": ["a"]}, "n": 1}\n{"n": 2}\n'
    assert make_events(tmp_path, "a.ndjson", content, Roles("order.late")) == [
        {"features": {"order.price": 3, "order.tags": ["a"], "n": 1}, "label": True},
        {"features": {"n": 2}},
    ]


def test_events_in_our_own_format_go_as_they_are(tmp_path: Path) -> None:
    """Weights, ids and labels without features would be lost."""
    content = '{"id": "a", "features": {"x": 1}, "weight": 2.0}\n{"id": "a", "label": "late"}\n'
    events = make_events(tmp_path, "a.ndjson", content, Roles(None))
    assert events == [msgspec.json.decode(line) for line in content.splitlines()]


@pytest.mark.parametrize(
    ("name", "content", "roles", "problem"),
    [
        ("a.csv", "x,y\n1,2\n", Roles(None), "--label COLUMN; it has x, y"),
        ("a.csv", "x,price\n1,2\n", Roles("prise"), "did you mean price"),
        ("a.csv", "x,y\n1,2\n", Roles("y", id="zz"), "no column 'zz' for --id"),
        ("a.csv", "x,y\n1,2\n", Roles("y", timestamp="t"), "no column 't' for --timestamp"),
        ("a.ndjson", '{"x": 1}\n', Roles(None), "object 1 is no event.*--label FIELD"),
        ("a.ndjson", '{"y": 1, "a": {"b": 1}, "a.b": 2}\n', Roles("y"), "object 1.*a.b"),
    ],
)
def test_columns_that_are_not_there_are_told(
    tmp_path: Path, name: str, content: str, roles: Roles, problem: str
) -> None:
    """A whole file would be sent without its labels."""
    with pytest.raises(StreamFileInvalid, match=problem):
        make_events(tmp_path, name, content, roles)


def test_everything_is_sent_in_order() -> None:
    """The model would learn a stream that never was."""
    target, seen = Collecting(), list[Progress]()
    done = replay(numbered(10), target, seen.append, batch=4)
    assert [len(some) for some in target.sent] == [4, 4, 2]
    assert [event for some in target.sent for event in some] == list(numbered(10))
    assert (done.sent, done.delivered.accepted) == (10, 10)
    assert [progress.sent for progress in seen] == [4, 8, 10]


def test_an_empty_stream_ends_well() -> None:
    """A file with nothing but its header would fail."""
    done = replay([], Collecting(), lambda _: None, batch=4)
    assert (done.sent, done.rate) == (0, 0.0)


@pytest.mark.parametrize(("rate", "size"), [(1000.0, 100), (5.0, 1), (100_000.0, 500), (0.5, 1)])
def test_a_rate_is_kept_in_small_steps(rate: float, size: int) -> None:
    """Events would come in bursts of a second, or at another rate."""
    clock, target = Clock(), Collecting()
    done = replay(numbered(1000), target, lambda _: None, batch=500, rate=rate, clock=clock, sleep=clock.sleep)
    assert len(target.sent[0]) == size
    assert clock.now == pytest.approx((1000 - size) / rate)
    assert done.seconds == pytest.approx(clock.now)


def test_a_slow_answer_is_caught_up_with() -> None:
    """One pause of the server would lower the rate for good."""
    clock = Clock()

    class Slow(Collecting):
        def send(self, events: Sequence[bytes]) -> Delivered:
            clock.now += 0.3 if not self.sent else 0.0
            return super().send(events)

    replay(numbered(100), Slow(), lambda _: None, batch=100, rate=100.0, clock=clock, sleep=clock.sleep)
    assert clock.now == pytest.approx(0.9)


def test_batches_hold_everything_once() -> None:
    """Events at the end would be lost."""
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("form", ["json", "ndjson", "arrow"])
def test_a_batch_over_http(form: Format) -> None:
    """A server would not understand what it is sent."""
    with answering(lambda _: Answer(202, {"accepted": 3, "rejected": []})) as server:
        delivered = sent_to(HttpTarget(server.url + "/", "fraud", form), list(numbered(3)))
    assert delivered == Delivered(3)
    (post,) = server.posts()
    assert post.path == "/v1/models/fraud/events"
    taken = events_from_body(post.body, post.headers["content-type"])
    found = [msgspec.json.decode(event) for _, event in taken if isinstance(event, bytes)]
    assert [event["features"]["n"] for event in found] == [0, 1, 2]


@pytest.mark.parametrize("trouble", [Answer(503), Answer(429), Answer(409), Answer(502, "bad gateway"), Answer(0)])
def test_a_batch_is_tried_again_under_the_same_key(trouble: Answer) -> None:
    """A server that restarts would lose events, or learn them twice."""
    clock, troubles = Clock(), iter([trouble, trouble])

    def answer(asked: Asked) -> Answer:
        return next(troubles, None) or accept_all(asked)

    with answering(answer) as server:
        target = HttpTarget(server.url, sleep=clock.sleep)
        target.send(list(numbered(2)))
        sent_to(target, list(numbered(2)))
    keys = [post.headers["idempotency-key"] for post in server.posts()]
    assert keys[0] == keys[1] == keys[2]
    assert keys[3] != keys[0]
    assert clock.slept == [0.1, 0.2]


def test_the_server_says_how_long_to_wait() -> None:
    """A server in need of rest would be asked all the time."""
    clock, troubles = (
        Clock(),
        iter([Answer(503, headers={"retry-after": "2"}), Answer(429, headers={"retry-after": "x"})]),
    )
    with answering(lambda asked: next(troubles, None) or accept_all(asked)) as server:
        sent_to(HttpTarget(server.url, sleep=clock.sleep), list(numbered(1)))
    assert clock.slept == [2.0, 0.2]


def test_a_batch_that_is_too_large_is_halved() -> None:
    """A stream of large events could not be replayed without knowing the server's limits."""

    def answer(asked: Asked) -> Answer:
        return accept_all(asked) if len(asked.events()) <= 3 else Answer(413, {"detail": "too large"})

    with answering(answer) as server:
        assert sent_to(HttpTarget(server.url), list(numbered(10))) == Delivered(10)
        taken = [post for post in server.posts() if len(post.events()) <= 3]
    assert [event["features"]["n"] for post in taken for event in post.events()] == list(range(10))
    assert len({post.headers["idempotency-key"] for post in taken}) == len(taken)


@pytest.mark.parametrize("refusals", [1, 4, 99], ids=["once", "to the last try", "always"])
def test_what_kafka_did_not_acknowledge_is_sent_again_by_itself(refusals: int) -> None:
    """Events would be lost, or those that arrived would come twice, while a broker restarts."""
    refused, clock = iter(range(refusals)), Clock()

    def answer(asked: Asked) -> Answer:
        found = [event["features"]["n"] for event in asked.events()]
        if 1 not in found or next(refused, None) is None:
            return accept_all(asked)
        rejected = [{"index": found.index(1), "reason": "not_appended"}]
        return Answer(202, {"accepted": len(found) - 1, "rejected": rejected})

    with answering(answer) as server:
        delivered = sent_to(HttpTarget(server.url, sleep=clock.sleep), list(numbered(3)))
        sent = [[event["features"]["n"] for event in post.events()] for post in server.posts()]
        keys = {post.headers["idempotency-key"] for post in server.posts()}
    assert delivered == (Delivered(3) if refusals < 5 else Delivered(2, {"not_appended": 1}))
    assert sent == [[0, 1, 2]] + [[1]] * min(refusals, 4)
    assert len(keys) == len(sent)


def test_what_the_server_refuses_is_counted_by_reason() -> None:
    """Events would vanish without a word."""

    def answer(asked: Asked) -> Answer:
        rejected = [{"index": 0, "reason": "feature"}, {"index": 1, "reason": "label"}, {"index": 2, "reason": "label"}]
        return Answer(202, {"accepted": len(asked.events()) - 3, "rejected": rejected})

    with answering(answer) as server:
        target = HttpTarget(server.url)
        done = replay(numbered(10), target, lambda _: None, batch=5)
        target.close()
    assert done.delivered == Delivered(4, {"feature": 2, "label": 4})


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (422, {"detail": "no", "field": "x"}, r"422: no \(field x\)"),
        (404, {"detail": "there is no model x"}, "404: there is no model x"),
        (413, {"detail": "too large"}, "413: too large"),
        (500, "oops", '500: "oops"'),
    ],
)
def test_a_refusal_ends_the_replay_with_the_servers_words(status: int, body: Any, said: str) -> None:
    """The user would wait for a minute, or not learn why."""
    with answering(lambda _: Answer(status, body)) as server, pytest.raises(DeliveryFailed, match=said):
        sent_to(HttpTarget(server.url), list(numbered(1)))


def test_patience_ends() -> None:
    """A replay to a server that is gone would hang for ever."""
    with answering(lambda _: Answer(503, {"detail": "the broker is away"})) as server:
        target = HttpTarget(server.url, patience=0.3)
        with pytest.raises(DeliveryFailed, match=r"503: the broker is away; gave up after 0\.3 s"):
            sent_to(target, list(numbered(1)))
    with pytest.raises(DeliveryFailed, match="cannot be reached"):
        sent_to(HttpTarget(server.url, patience=0.1), list(numbered(1)))


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    """Whoever forgot to start the service would wait for a minute."""
    with answering(lambda _: Answer(404, {"detail": "there is no model 'x'"})) as server:
        target = HttpTarget(server.url, "x")
        with pytest.raises(DeliveryFailed, match="there is no model 'x'"):
            target.check()
        target.close()
    target = HttpTarget(server.url)
    with pytest.raises(DeliveryFailed, match="headrace up"):
        target.check()
    target.close()


@pytest.mark.parametrize(("rate", "sizes"), [(None, [60, 40]), (100.0, [20] * 5), (1000.0, [60, 40])])
def test_messages_are_full_at_any_rate(rate: float | None, sizes: list[int]) -> None:
    """A low rate would split messages, or be kept in bursts."""
    clock, target = Clock(), Collecting()
    some = {"batch": 75, "unit": 20, "rate": rate, "clock": clock, "sleep": clock.sleep}
    replay(numbered(100), target, lambda _: None, **some)  # type: ignore[arg-type]  # of several types
    assert [len(each) for each in target.sent] == sizes
    assert clock.now == pytest.approx(0.0 if rate is None else (100 - sizes[-1]) / rate)
