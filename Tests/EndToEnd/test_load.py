# SPDX-License-Identifier: Apache-2.0
"""`tapedeck load`: every format, every mistake, every record accounted for."""
import gzip
import io
import json
import math
import shutil
import signal
import sqlite3
import struct
import subprocess

import fastavro
import pytest
from conftest import BINARY, ENVIRONMENT, ROOT, SAMPLE, run, summary, wait_until

HEADER = "ts,symbol,price,size,trade_id\n"


def load(folder, *arguments, **options):
    return run("load", "--data-dir", folder, "--json", *arguments, **options)


def test_the_sample_is_loaded_once_however_often_it_is_loaded(folder):
    first = run("load", "--data-dir", folder, SAMPLE)
    text = first.stdout.decode()
    for line in ["read                15,948", "accepted            15,948", "rejected                 0"]:
        assert line in text
    again = summary(load(folder, SAMPLE, SAMPLE))
    assert again["read"] == 31896 and again["accepted"] == 0 and again["already_there"] == 31896
    assert again["complete"] is True


def test_formats_and_spellings_give_the_same_trades(folder, tmp_path):
    trades = [
        ("2024-01-02T03:04:05.000006Z", "1704164645000006", "A:B", "10.5", "2"),
        ("2024-01-02T03:04:06Z", "1704164646000000", "A:B", "10.25", "0"),
    ]
    csv = tmp_path / "a.csv"
    csv.write_text("\ufeffid,Quantity,PRICE,extra,symbol,time\r\n" + "".join(
        f'{n},{t[4]},{t[3]},"x, ""y""",{t[2]},{t[0]}\r\n' for n, t in enumerate(trades)))
    ndjson = tmp_path / "a.ndjson"
    ndjson.write_text("".join(
        f'{{"timestamp":{t[1]},"symbol":"{t[2]}","price":"{t[3]}","qty":{t[4]},"trade_id":{n},"x":[1,{{}}]}}\n'
        for n, t in enumerate(trades)))
    packed = tmp_path / "a.csv.gz"
    # Two members, as `cat a.gz b.gz` makes them.
    packed.write_bytes(b"".join(gzip.compress(part) for part in csv.read_bytes().partition(b"\r\n")))
    assert summary(load(folder, csv))["accepted"] == 2
    for other in [ndjson, packed]:
        assert summary(load(folder, other)) | {"elapsed_ms": 0, "rows_per_second": 0, "files": []} == {
            "read": 2, "accepted": 0, "already_there": 2, "rejected": 0, "rejected_by_reason": {}, "bars_touched": 0,
            "rows_per_second": 0, "elapsed_ms": 0, "complete": True, "files": []}
    stdin = summary(load(folder, "-", stdin=csv.read_bytes()))
    assert stdin["already_there"] == 2
    nosymbol = tmp_path / "n.csv"
    nosymbol.write_text("ts,price,size,id\n" + "".join(f"{t[1]},{t[3]},{t[4]},{n}\n" for n, t in enumerate(trades)))
    assert summary(load(folder, "--symbol", "A:B", nosymbol))["already_there"] == 2


def test_finnhub_frames(folder, tmp_path):
    frames = tmp_path / "frames.jsonl"
    frames.write_text("\n".join([
        '{"type":"ping"}',
        '{"data":[{"c":["1","12"],"p":164,"s":"AAPL","t":1680286537580,"v":5},'
        '{"c":null,"p":164,"s":"AAPL","t":1680286537580,"v":5},{"p":1.5,"s":"B","t":1680286537579,"v":0}],"type":"trade"}',
        '{"type":"error","msg":"Invalid symbol"}', '{"data":[{"headline":"x"}],"type":"news"}']) + "\n")
    result = summary(load(folder, frames))
    assert (result["read"], result["accepted"], result["rejected"]) == (3, 3, 0)
    assert summary(load(folder, frames))["already_there"] == 3


def test_rejected_records_are_counted_by_reason(folder, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(HEADER + "1,A,10,1,1\n2,A,zero,1,2\n3,A,0,1,3\n4,A,0,1,4\nlater,A,1,1,5\n6,A,1\n"
                    "7,A,1e-310,1,7\n8,A,1,1e308,8\n")
    result = load(folder, path)
    assert result.returncode == 0
    counted = summary(result)
    assert (counted["read"], counted["accepted"], counted["rejected"]) == (8, 1, 7)
    assert counted["rejected_by_reason"] == {
        "price_unreadable": 1, "price_not_positive": 2, "ts_unreadable": 1, "malformed_line": 1,
        # A ratio or a sum with these would end each query that meets them.
        "price_out_of_range": 1, "size_out_of_range": 1}
    assert counted["complete"] is True


@pytest.mark.parametrize("name, content, message", [
    ("missing.csv", None, "cannot be opened"),
    ("header.csv", b"when,symbol,cost\n1,A,2\n", ":1: the header lacks ts|time|timestamp|ts_us, price, size"),
    ("folder", "folder", "is a folder"),
    ("cut.csv.gz", gzip.compress((HEADER + "1,A,10,1,1\n2,A,10,1,2\n").encode())[:-12], "gzip"),
    ("crc.csv.gz", gzip.compress((HEADER + "1,A,10,1,1\n").encode())[:-8] + b"\0" * 8, "corrupt"),
])
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_loaded(folder, tmp_path, name, content, message):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    good = tmp_path / "good.csv"
    good.write_text(HEADER + "9,G,10,1,1\n")
    result = load(folder, path, good, check=False)
    assert result.returncode == 1
    counted = summary(result)
    failure = counted["files"][0]["error"]
    assert str(path) in failure and message in failure
    assert counted["files"][1]["error"] is None
    assert counted["complete"] is False
    # What was good before the damage is kept, and accounted for.
    assert counted["accepted"] == counted["read"] >= 1


def test_a_load_joins_a_server_that_runs_on_the_folder(start, tmp_path):
    up = start("--source", f"replay:{SAMPLE}?max_pause=100ms")
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "".join(f"{1_700_000_000 + n},L,{n + 1},1,{n}\n" for n in range(5000)))
    result = summary(load(up.folder, path))
    assert (result["accepted"], result["complete"]) == (5000, True)
    assert up.one("select count(*) from trades where symbol = 'L'") == 5000


def test_volumes_are_correctly_rounded_sums(played):
    """Volume and notional equal Python's exactly rounded fsum, to the last bit."""
    trades = played.sql("select symbol, extract(epoch from date_bin('1 day', ts, timestamptz 'epoch'))::bigint, "
                        "price, size from trades")
    sums = {}
    for symbol, day, price, size in trades:
        sums.setdefault((symbol, day), []).append((size, price * size))
    bars = played.sql(
        "select symbol, extract(epoch from ts)::bigint, volume, notional, trade_count from bars where timeframe = '1d'")
    assert len(bars) == len(sums) > 300
    for symbol, day, volume, notional, count in bars:
        parts = sums[symbol, day]
        assert (volume, notional, count) == (
            math.fsum(size for size, _ in parts), math.fsum(product for _, product in parts), len(parts))


def test_a_reader_from_outside_can_decode_the_log(played):
    """The records of the log are Avro, in single-object encoding, of the schemas in schemas/."""
    schemas = {}
    for path in (ROOT / "schemas").glob("*.avsc"):
        schema = fastavro.schema.load_schema(path)
        canonical = fastavro.schema.to_parsing_canonical_form(schema)
        schemas[crc64_avro(canonical.encode())] = schema
    log = sqlite3.connect(f"file:{played.folder}/log/log.sqlite?mode=ro", uri=True)
    rows = log.execute("select t.name, b.count, b.bytes from batches b join topics t on t.id = b.topic_id").fetchall()
    counts = {}
    for topic, count, data in rows:
        records = list(batch_records(data))
        assert len(records) == count
        for key, value in records:
            assert value[:2] == b"\xc3\x01"
            schema = schemas[struct.unpack("<Q", value[2:10])[0]]
            record = fastavro.schemaless_reader(io.BytesIO(value[10:]), schema)
            assert key.decode() == record["symbol"]
            counts[topic] = counts.get(topic, 0) + 1
    assert counts == {"trades.staging": 15948, "trades": 15948}


def batch_records(data):
    """Key and value of each record: a length of four bytes, little-endian, before each."""
    position = 0
    while position < len(data):
        fields = []
        for _ in range(2):
            length, = struct.unpack_from("<I", data, position)
            fields.append(data[position + 4:position + 4 + length])
            position += 4 + length
        yield fields


def crc64_avro(data):
    """CRC-64-AVRO, as the Avro specification has it."""
    empty = 0xC15D213AA4D7A795
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ (empty if value & 1 else 0)
        table.append(value)
    crc = empty
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def test_retention_keeps_what_nobody_has_processed(folder, start, tmp_path):
    """Records older than the retention, left in the log by an ingest that nobody processed, still reach the store."""
    path = tmp_path / "old.csv"
    path.write_text(HEADER + "".join(f"{1_700_000_000 + n},R,{n + 1},1,{n}\n" for n in range(30_000)))
    run("ingest", "--data-dir", folder, f"replay:{path}?speed=max")
    log = sqlite3.connect(folder / "log/log.sqlite")
    log.execute("update batches set appended_at = appended_at - 4 * 86400")
    log.commit()
    log.close()
    up = start("--source", f"replay:{path}?speed=max")
    wait_until(lambda: up.one("select count(*) from trades where symbol = 'R'") == 30_000, 60, "the old records", up)


def test_each_symbol_of_a_replay_has_its_own_place(folder, start, tmp_path):
    path = tmp_path / "ab.csv"
    path.write_text(HEADER + "1700000000,A,1,1,1\n1700000001,B,1,1,2\n")
    for symbol in ["A", "B"]:
        run("ingest", "--data-dir", folder, f"replay:{path}?speed=max&symbol={symbol}")
    up = start("--source", f"replay:{path}?speed=max")
    wait_until(lambda: up.one("select count(*) from trades") == 2, 30, "both trades", up)


def test_a_line_with_a_type_of_its_own_is_a_trade(folder, tmp_path):
    path = tmp_path / "typed.ndjson"
    path.write_text('{"type":"match","ts":1704187806,"symbol":"T","price":1,"size":1}\n{"type":"trade"}\n'
                    '{"type":"trade","data":[7,{"s":"U","p":2,"t":1704187806000,"v":1,"c":[1,"2"]}]}\n')
    result = summary(load(folder, path))
    assert (result["read"], result["accepted"], result["rejected"]) == (4, 2, 2)


def logged(folder):
    """How many records the log has."""
    try:
        log = sqlite3.connect(f"file:{folder}/log/log.sqlite?mode=ro", uri=True)
        return log.execute("select sum(count) from batches").fetchone()[0]
    except sqlite3.OperationalError:
        return None


def test_a_silent_pipe_keeps_nothing_back_and_does_not_keep_the_process(folder, tmp_path):
    """What a pipe has said is in the log at once, and a signal ends the wait for more."""
    process = subprocess.Popen(
        [str(BINARY), "ingest", "--data-dir", str(folder), "replay:-"], stdin=subprocess.PIPE, env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.stdin.write((HEADER + "1700000000,P,1,1,1\n1700000000,P,2,1,2\n1700000000,P,3").encode())
    process.stdin.flush()

    wait_until(lambda: logged(folder) == 2, 30, "two trades in the log")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert summary(load(folder, "-", stdin=b"ts,symbol,price,size\n"))["complete"] is True


def test_ctrl_c_ends_a_load_with_its_account(folder):
    process = subprocess.Popen(
        [str(BINARY), "load", "--data-dir", str(folder), "--json", "-"], stdin=subprocess.PIPE, env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdin.write((HEADER + "1700000000,P,1,1,1\n").encode())
    process.stdin.flush()
    # The trade, and what became of it.
    wait_until(lambda: logged(folder) == 2, 30, "the trade in the log")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert json.loads(output)["read"] == 1


def test_a_new_log_on_a_known_store_is_read_from_its_start(folder, start, tmp_path):
    """Offsets of a log that is gone say nothing of the one in its place."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(HEADER + "".join(f"{1_700_000_000 + n},N,1,1,{n}\n" for n in range(100)))
    second.write_text(HEADER + "".join(f"{1_700_001_000 + n},N,1,1,{n}\n" for n in range(50)))
    assert summary(load(folder, first))["accepted"] == 100
    shutil.rmtree(folder / "log")
    assert summary(load(folder, second))["accepted"] == 50
    assert summary(load(folder, first))["already_there"] == 100


def test_unknown_frames_are_rejected_and_known_ones_counted(folder, tmp_path):
    path = tmp_path / "frames.ndjson"
    path.write_text('{"type":"ping"}\n{"type":"update","s":"A","p":1}\n')
    result = summary(load(folder, path))
    assert (result["read"], result["rejected"]) == (1, 1)
    assert result["files"][0]["frames_without_trades"] == 1
