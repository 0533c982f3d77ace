# SPDX-License-Identifier: Apache-2.0
"""The log in Kafka: the built command on librdkafka's mock cluster, and readers from outside."""
import io
import json
import struct
import time

import confluent_kafka
import fastavro
import pytest
from conftest import ROOT, SAMPLE, run, summary
from faults import KAFKA_PROPERTIES, MockKafka
from test_load import crc64_avro


@pytest.fixture
def kafka():
    cluster = MockKafka()
    yield cluster
    cluster.stop()


def consume(kafka, topic, count):
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": kafka.bootstraps, "group.id": "outside", "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 10})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in partitions])
    messages = []
    deadline = time.monotonic() + 60
    while len(messages) < count and time.monotonic() < deadline:
        messages += [message for message in consumer.consume(1000, 0.2) if not message.error()]
    consumer.close()
    return messages


def test_a_tape_goes_through_kafka_and_a_reader_from_outside_can_decode_it(folder, kafka, tmp_path):
    config = tmp_path / "kafka.properties"
    config.write_text("# more of librdkafka's\ncompression.type=zstd\n")
    arguments = ["--data-dir", folder, "--event-log", f"kafka://{kafka.bootstraps}?{KAFKA_PROPERTIES}",
                 "--kafka-config", config]
    first = summary(run("load", *arguments, "--json", SAMPLE))
    assert (first["accepted"], first["rejected"], first["complete"]) == (15948, 0, True)
    again = summary(run("load", *arguments, "--json", SAMPLE))
    assert (again["accepted"], again["already_there"], again["complete"]) == (0, 15948, True)
    # A load waits for the last checkpoint, however many partitions it made: the next one begins without a recovery.
    assert "immediate shutdown" not in (folder / "postgres/postgres.log").read_text()

    schemas = {}
    for path in (ROOT / "schemas").glob("*.avsc"):
        schema = fastavro.schema.load_schema(path)
        schemas[crc64_avro(fastavro.schema.to_parsing_canonical_form(schema).encode())] = schema
    for topic in ["trades.staging", "trades"]:
        messages = consume(kafka, topic, 2 * 15948)
        assert len(messages) >= 2 * 15948
        places = {}
        for message in messages:
            value = message.value()
            assert value[:2] == b"\xc3\x01"
            record = fastavro.schemaless_reader(io.BytesIO(value[10:]), schemas[struct.unpack("<Q", value[2:10])[0]])
            assert message.key().decode() == record["symbol"]
            # A symbol keeps its partition, and so its order.
            assert places.setdefault(record["symbol"], message.partition()) == message.partition()


def test_topics_and_mistakes(folder, kafka, tmp_path):
    log = f"kafka://{kafka.bootstraps}"
    lines = run("topics", "--event-log", log).stdout.decode().splitlines()
    assert len(lines) == 18 and "posts.rejected  4 partitions  0 records" in lines
    secret = tmp_path / "kafka.properties"
    secret.write_text("sasl.password=geheim\nno.such.property=1\n")
    for arguments, words in [
        (["--event-log", "kafka://127.0.0.1:1?acks=0"], "acks is not yours to set"),
        (["--event-log", "kafka://127.0.0.1:1?sasl.password=geheim"], "belongs in the file of TAPEDECK_KAFKA_CONFIG"),
        (["--event-log", log, "--kafka-config", secret], "no.such.property is not one of librdkafka's"),
        (["--event-log", log, "--kafka-config", tmp_path / "missing"], "missing"),
    ]:
        result = run("topics", *arguments, check=False)
        assert result.returncode != 0 and words in result.stderr.decode()
        assert "geheim" not in result.stderr.decode()


def test_status_tells_the_lag_of_each_partition(start, kafka):
    log = f"kafka://{kafka.bootstraps}?{KAFKA_PROPERTIES}"
    up = start("--event-log", log, "--source", f"replay:{SAMPLE}?speed=max")
    deadline = time.monotonic() + 60
    while up.one("select count(*) from trades") < 15948:
        assert time.monotonic() < deadline, up.output()
        time.sleep(0.1)
    while True:
        status = json.loads(run("status", "--data-dir", up.folder, "--json").stdout)
        if status["lag"] == 0:
            break
        assert time.monotonic() < deadline, status
    assert sum(p["end_offset"] for p in status["partitions"] if p["topic"] == "trades") >= 15948
    assert up.environment["TAPEDECK_EVENT_LOG"] == log
    assert up.stop()[0] == 0
