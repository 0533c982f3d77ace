# SPDX-License-Identifier: Apache-2.0
"""The contract of Grafana's JSON data source (simpod-json-datasource 0.6; /search and /annotations of its older versions)."""
import pytest
import requests

from conftest import Up

SYMBOL, OTHER = "BITSTAMP:BTCUSD", "MTGOX:BTCUSD"
RANGE = {"from": "2011-01-01T00:00:00.000Z", "to": "2030-01-01T00:00:00.000Z", "raw": {"from": "2011-01-01", "to": "2030-01-01"}}


def post(up, path, body, status=200):
    reply = requests.post(f"{up.url}/simpod/{path}", json=body, timeout=30)
    assert reply.status_code == status, reply.text
    return reply.json()


def query(up, *targets, **more):
    """What version 0.6 sends for a panel."""
    return post(up, "query", {
        "panelId": 2, "range": RANGE, "rangeRaw": RANGE["raw"], "interval": "30s", "intervalMs": 30000,
        "maxDataPoints": 100, "scopedVars": {"__interval": {"text": "30s", "value": "30s"}}, "targets": list(targets)} | more)


def test_save_and_test(played):
    for path in ("/simpod", "/simpod/"):
        assert requests.get(played.url + path, timeout=30).status_code == 200


def test_every_metric_can_be_asked_for_with_its_payloads(played):
    metrics = post(played, "metrics", {})
    assert len(metrics) > 30
    for metric in metrics:
        assert metric["label"] and metric["value"]
        payload = {}
        for field in metric["payloads"]:
            assert field["type"] in ("input", "select", "multi-select", "textarea")
            options = field.get("options") or post(
                played, "metric-payload-options", {"metric": metric["value"], "payload": payload, "name": field["name"]})
            assert options and all(set(option) == {"label", "value"} for option in options)
            payload[field["name"]] = [SYMBOL] if field["type"] == "multi-select" else options[0]["value"]
            if field["name"] == "symbol":
                payload["symbol"] = SYMBOL
        reply = query(played, {"target": metric["value"], "refId": "A", "payload": payload})
        assert isinstance(reply, list) and reply, metric["value"]
        for part in reply:
            # What toDataFrame takes.
            assert "datapoints" in part and "target" in part or part["type"] == "table"


def test_lines_are_datapoints(played):
    reply = query(
        played, {"target": "close", "refId": "B", "payload": {"symbols": [SYMBOL, OTHER], "interval": "1d"}},
        {"target": "", "refId": "C"})
    assert [(part["target"], part["refId"]) for part in reply] == [(SYMBOL, "B"), (OTHER, "B")]
    for part in reply:
        bars = played.sql(
            "select close, extract(epoch from ts)::bigint * 1000 from bars where symbol = %s and timeframe = '1d' "
            "and ts >= '2011-01-01Z' and ts < '2030-01-01Z' order by ts", part["target"])
        assert len(bars) > 0 and len(part["datapoints"]) <= 100
        assert {tuple(point) for point in part["datapoints"]} <= set(bars)


def test_tables_are_typed(played):
    table, = query(played, {"target": "comparison", "refId": "A", "payload": {"symbols": f"({SYMBOL}|{OTHER})"}})
    assert table["columns"][0] == {"text": "symbol", "type": "string"}
    assert [row[0] for row in table["rows"]] == [SYMBOL, OTHER]
    candles, = query(played, {"target": "candles", "refId": "A", "payload": {"symbol": SYMBOL, "interval": "1d"}})
    assert [column["text"] for column in candles["columns"]] == ["time", "open", "high", "low", "close", "volume"]
    assert candles["columns"][0]["type"] == "time" and 0 < len(candles["rows"]) <= 100


@pytest.mark.parametrize("operator, value, kept", [
    ("=", SYMBOL, {SYMBOL}), ("!=", SYMBOL, {OTHER}), ("=~", "BITSTAMP:.*", {SYMBOL}), ("=~", "(A|MTGOX:BTCUSD)", {OTHER}),
    ("!~", ".*BTC.*", set()), ("<", "C", {SYMBOL}), (">", "C", {OTHER}), ("<=", SYMBOL, {SYMBOL}), (">=", SYMBOL, {SYMBOL, OTHER}),
    (">=", OTHER, {OTHER}), ("=|", f"{OTHER}|X", {OTHER}), ("!=|", f"{OTHER}|X", {SYMBOL}),
])
def test_filters_hold_for_every_panel(played, operator, value, kept):
    filters = [{"key": "symbol", "operator": operator, "value": value}]
    symbols = {"symbols": [SYMBOL, OTHER]}
    table, *lines = query(
        played, {"target": "comparison", "refId": "A", "payload": symbols},
        {"target": "close", "refId": "B", "payload": symbols | {"interval": "1d"}}, filters=filters)
    assert {row[0] for row in table["rows"]} == kept
    # No line of what does not pass, which a legend would have.
    assert {line["target"] for line in lines} == kept and all(line["datapoints"] for line in lines)


def test_a_filter_has_its_values_in_a_list_too(played):
    filters = [{"key": "symbol", "operator": "=|", "value": SYMBOL, "values": [SYMBOL, OTHER]}]
    table, = query(played, {"target": "comparison", "refId": "A"}, filters=filters)
    assert {row[0] for row in table["rows"]} == {SYMBOL, OTHER}
    table, = query(played, {"target": "last", "refId": "A"}, filters=[{"key": "price", "operator": "<=", "value": "0"}])
    assert table["rows"] == []


@pytest.mark.parametrize("nothing", [[], "", None])
def test_a_list_that_nothing_is_chosen_in_any_more_is_all(played, nothing):
    traded = [row[0] for row in played.sql("select symbol from latest order by symbol")]
    lines = query(played, {"target": "close", "refId": "A", "payload": {"symbols": nothing, "interval": ""}})
    assert [line["target"] for line in lines] == traded
    table, = query(played, {"target": "last", "refId": "A", "payload": {"symbols": nothing}})
    assert [row[1] for row in table["rows"]] == traded
    filters = [{"key": "symbol", "operator": "=", "value": OTHER}]
    line, = query(played, {"target": "close", "refId": "A", "payload": {"symbols": nothing}}, filters=filters)
    assert line["target"] == OTHER


def test_fields_of_one_symbol_have_names_of_their_own(played):
    symbol = {"symbols": [SYMBOL], "interval": "1d"}
    lines = query(played, {"target": "open", "refId": "A", "payload": symbol}, {"target": "close", "refId": "B", "payload": symbol})
    assert [line["target"] for line in lines] == [f"{SYMBOL} open", f"{SYMBOL} close"]
    lines = query(played, {"target": "close", "refId": "A", "payload": symbol}, {"target": "close", "refId": "B", "payload": symbol | {"interval": "1h"}})
    assert [line["target"] for line in lines] == [SYMBOL, SYMBOL]
    lines = query(played, {"target": "close", "refId": "A", "payload": symbol | {"fields": "open"}})
    assert [line["target"] for line in lines] == [f"{SYMBOL} close", f"{SYMBOL} open"]


@pytest.mark.parametrize("several", [f"{{{SYMBOL},{OTHER}}}", f"{SYMBOL}|{OTHER}", f"'{SYMBOL}','{OTHER}'", f'"{SYMBOL}","{OTHER}"', f'["{SYMBOL}","{OTHER}"]'])
def test_several_values_are_read_however_they_are_written(played, several):
    table, = query(played, {"target": "comparison", "refId": "A", "payload": {"symbols": several}})
    assert [row[0] for row in table["rows"]] == [SYMBOL, OTHER]


def test_a_target_without_symbols_is_of_all_or_of_the_filter(played):
    traded = [row[0] for row in played.sql("select symbol from latest order by symbol")]
    assert [line["target"] for line in query(played, {"target": "close", "refId": "A", "payload": {}})] == traded
    filters = [{"key": "symbol", "operator": "=", "value": OTHER}]
    line, candles = query(played, {"target": "close", "refId": "A"}, {"target": "candles", "refId": "B"}, filters=filters)
    assert line["target"] == OTHER and candles["rows"]


def test_variables_and_filters_have_values(played):
    symbols = [row[0] for row in played.sql("select symbol from latest order by symbol")]
    values = post(played, "variable", {"payload": {"target": "symbols"}, "range": RANGE})
    assert [value["__value"] for value in values] == symbols and all(value["__text"] for value in values)
    assert post(played, "variable", {"payload": {"target": ""}, "range": RANGE}) == values
    assert post(played, "variable", {"payload": {"target": "symbols", "search": "bitstamp:btc"}}) == [
        {"__text": SYMBOL, "__value": SYMBOL}]
    assert post(played, "variable", {"payload": {"target": "sources"}}) == [{"__text": "file", "__value": "file"}]
    keys = post(played, "tag-keys", {})
    assert {"type": "string", "text": "symbol"} in keys
    assert [value["text"] for value in post(played, "tag-values", {"key": "symbol"})] == symbols
    for key in keys:
        assert isinstance(post(played, "tag-values", {"key": key["text"]}), list)


def test_older_versions(played):
    assert "close" in post(played, "search", {"target": ""})
    assert post(played, "search", {"target": "rsi"}) == ["rsi_14"]
    marks = post(played, "annotations", {
        "range": RANGE, "rangeRaw": RANGE["raw"], "variables": {},
        "annotation": {"name": "a", "datasource": "t", "enable": True, "iconColor": "red", "query": "alerts"}})
    raised = played.sql(
        "select ts from ops.alerts where retracted_at is null and ts >= '2011-01-01Z' and ts < '2030-01-01Z' order by ts")
    assert [mark["time"] for mark in marks] == [int(ts.timestamp() * 1000) for ts, in raised][-1000:] and marks
    assert all(mark["text"] and isinstance(mark["tags"], list) for mark in marks)


@pytest.mark.parametrize("path, body, words", [
    ("query", {"targets": [{"target": "clos", "refId": "A"}]}, "there is no metric"),
    ("query", {"targets": [{"target": "close", "refId": "A", "payload": {"symbols": "$symbol"}}]}, "variable $symbol"),
    ("query", {"targets": [{"target": "close"}] * 27}, "more than 26 targets"),
    ("query", {"targets": [], "filters": [{"key": "symbol", "operator": "~", "value": ""}]}, "\"operator\""),
    ("tag-values", {"key": "colour"}, "\"key\""),
    ("variable", {"payload": {"target": "colours"}}, "\"target\""),
    ("query", [], "an array, not an object"),
])
def test_an_error_is_shown(played, path, body, words):
    refused = post(played, path, body, 400)
    assert words in refused["error"]["message"] and refused["error"]["code"] == refused["code"]


def test_a_browser_may_ask_by_itself(folder):
    up = Up(folder, "--cors-origins", "https://grafana.example")
    try:
        asked = {"Origin": "https://grafana.example", "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "accept, content-type"}
        allowed = requests.options(up.url + "/simpod/query", headers=asked, timeout=30)
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://grafana.example"
        assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
        assert {"accept", "content-type"} <= set(allowed.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(","))
        reply = requests.post(up.url + "/simpod/tag-keys", json={}, headers={"Origin": "https://grafana.example"}, timeout=30)
        assert reply.headers["Access-Control-Allow-Origin"] == "https://grafana.example"
    finally:
        up.close()
