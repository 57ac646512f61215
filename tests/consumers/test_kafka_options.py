"""Without a broker: what the client is told, what its errors are told as, and when a partition counts as standing."""

from pathlib import Path

import pytest
import trustme
from kafka import KafkaConsumer, KafkaProducer, errors

from consumers.errors import CodecMissing, ConsumerError, LogUnreadable, PositionLost, SourceUnavailable, TopicMissing
from consumers.kafka import KafkaSource
from consumers.kafka_client import reading_error
from consumers.kafka_options import KafkaOptions
from consumers.kafka_refusal import check_certificate
from consumers.kafka_watch import Watch


def test_secrets_do_not_show() -> None:
    """Else passwords are in the logs of everybody who logs their settings."""
    options = KafkaOptions(sasl_password="rabbit", ssl_password="hole", extra={"ssl_keyfile_password": "teapot"})
    assert not {"rabbit", "hole", "teapot"} & set(repr(options).replace("'", " ").split())


@pytest.mark.parametrize("client", [KafkaConsumer, KafkaProducer])
def test_the_client_knows_every_setting(client: type) -> None:
    """Else a setting is refused at run time, or worse, ignored."""
    assert KafkaOptions().connection().keys() <= client.DEFAULT_CONFIG.keys()  # type: ignore[attr-defined]  # no stubs


def test_settings_are_handed_on() -> None:
    """Else a user's certificate is read and then not used."""
    options = KafkaOptions(bootstrap_servers="one:1,two:2", sasl_username="alice", ssl_cafile="ca.pem")
    handed_on = options.connection()
    assert handed_on["bootstrap_servers"] == ["one:1", "two:2"]
    assert (handed_on["sasl_plain_username"], handed_on["ssl_cafile"]) == ("alice", "ca.pem")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.OffsetOutOfRangeError({}), PositionLost),
        (errors.NoOffsetForPartitionError(), PositionLost),
        (errors.LogTruncationError({}), PositionLost),
        (errors.UnsupportedCodecError("zstd"), CodecMissing),
        (errors.UnknownTopicOrPartitionError(), TopicMissing),
        (errors.TopicAuthorizationFailedError(), SourceUnavailable),
        (errors.KafkaTimeoutError(), SourceUnavailable),
        (errors.KafkaConnectionError(), SourceUnavailable),
        (OSError("no route"), SourceUnavailable),
        (errors.CorruptRecordError("crc"), LogUnreadable),
        (RuntimeError("unpacking"), LogUnreadable),
    ],
)
def test_an_error_of_the_client_is_told_as_what_it_means(error: Exception, expected: type[ConsumerError]) -> None:
    """Else a trainer gives up where it should wait, or goes on where it would lose events."""
    assert type(reading_error(error, "events", KafkaOptions())) is expected


def test_a_certificate_of_no_use_is_told_before_anybody_is_asked(tmp_path: Path) -> None:
    """Else a locked file is retried for ever as if the cluster were away, or asks for a phrase at a terminal."""
    issued = trustme.CA().issue_cert("headrace.test")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    options = KafkaOptions(ssl_certfile=str(certificate), ssl_keyfile=str(key))
    check_certificate(options)
    check_certificate(KafkaOptions())
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(ConsumerError, match=r"key\.pem cannot be read or unlocked.*ssl_password") as caught:
        KafkaSource(options, "events").open({})
    assert not isinstance(caught.value, SourceUnavailable)
    key.unlink()
    with pytest.raises(ConsumerError, match=r"key\.pem cannot be used: .*No such file"):
        check_certificate(options)


def test_only_time_spent_polling_lets_a_partition_stand() -> None:
    """Else a trainer that had no room for an hour connects anew for nothing, or a stalled one never does."""
    watch = Watch(10.0)
    assert watch.standing([0, 1]) == []
    watch.polled(9.0)
    assert watch.standing([0, 1]) == []
    watch.progressed(1)
    watch.polled(2.0)
    assert watch.standing([0, 1]) == [0]
    assert watch.standing([0, 1]) == []
    watch.polled(9.0)
    assert watch.standing([0, 1, 2]) == [1]
