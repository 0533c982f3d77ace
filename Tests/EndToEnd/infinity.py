# SPDX-License-Identifier: Apache-2.0
"""What Grafana's Infinity data source (yesoreyeram-infinity-datasource 3.11) sends for a query of a panel, and what its backend
parser makes of the reply: its rules, written down from its source, as a stand-in where no Grafana can run.
"""
import datetime
import json
import re
import urllib.parse

import requests


class PanelError(Exception):
    """What a user sees in the corner of the panel."""


class Field:
    def __init__(self, name, kind, values, labels=None):
        self.name, self.kind, self.values, self.labels = name, kind, values, labels or {}

    def __repr__(self):
        return f"{self.name}:{self.kind}{self.labels}{self.values[:3]}"


class Frame:
    def __init__(self, fields):
        self.fields = fields

    def __len__(self):
        return len(self.fields[0].values) if self.fields else 0

    def of(self, kind):
        return [field for field in self.fields if field.kind == kind]

    def __getitem__(self, name):
        return next(field for field in self.fields if field.name == name)

    def rows(self, *names):
        """Tuples of the named columns; times in milliseconds."""
        return list(zip(*(self[name].values for name in names)))


# MARK: The request

def macro(match, since, until):
    """`${__from}`, `${__to:date:seconds}`: milliseconds unless a format is named."""
    name, form = match.group(1), match.group(2)
    time = {"__from": since, "__timeFrom": since, "__to": until, "__timeTo": until}[name]
    if form in (None, ""):
        return str(time)
    if form == ":date:seconds":
        return str(time // 1000)
    if form in (":date", ":date:iso"):
        moment = datetime.datetime.fromtimestamp(time / 1000, datetime.timezone.utc)
        text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
        return text + "Z"
    raise PanelError(f"unknown format {form}")


def interpolated(text, variables, since, until):
    """What is sent for a text of a query; what is no variable goes out as it is written."""
    text = re.sub(r"\$\{(__from|__to|__timeFrom|__timeTo)((?::\w+)*)\}", lambda match: macro(match, since, until), text)

    def value(match):
        name, form = match.group(1), match.group(2)
        if name not in variables:
            return match.group(0)
        values = variables[name] if isinstance(variables[name], list) else [variables[name]]
        if form == ":csv" or len(values) == 1:
            return ",".join(values)
        return "{" + ",".join(values) + "}"

    return re.sub(r"\$\{(\w+)(:\w+)?\}", value, text)


def ask(base, query, variables, since, until, session=requests, key=None):
    """Sends a query of a panel (the object of its JSON) as the plug-in does, and returns the reply."""
    assert query["source"] == "url" and query["type"] == "json" and query["parser"] == "backend", query
    url = interpolated(query["url"], variables, since, until)
    if not url.startswith(base):
        url = base + url
    pairs = [(pair["key"], interpolated(pair["value"], variables, since, until))
             for pair in query["url_options"].get("params", []) if pair["key"]]
    parts = urllib.parse.urlsplit(url)
    pairs = urllib.parse.parse_qsl(parts.query, keep_blank_values=True) + pairs
    # Go's url.Values.Encode: sorted by key, a plus sign for a blank.
    encoded = urllib.parse.urlencode(sorted(pairs, key=lambda pair: pair[0]))
    url = urllib.parse.urlunsplit(parts._replace(query=encoded))
    headers = {"Accept": "application/json;q=0.9,text/plain", "Accept-Encoding": "gzip", "User-Agent": "Grafana/12.0"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return session.request(query["url_options"].get("method", "GET"), url, headers=headers, timeout=60)


# MARK: The reply

def selected(value, path):
    """A path of gjson's, as far as columns and roots use it."""
    for piece in path.split(".") if path else []:
        if isinstance(value, list) and piece.isdigit():
            value = value[int(piece)] if int(piece) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(piece)
        else:
            return None
    return value


def kind_of(values):
    for value in values:
        if isinstance(value, bool):
            return "boolean"
        if isinstance(value, float):
            return "number"
        if isinstance(value, str):
            return "string"
        if value is not None:
            return "json"
    return "string"


def timestamp(text):
    """Of the layouts that are understood, those that are ISO; numbers are years to it, and are no times."""
    if not isinstance(text, str):
        return None
    match = re.fullmatch(r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2}))?", text)
    if not match:
        return None
    moment = datetime.datetime.fromisoformat(
        match.group(1) + ("T" + match.group(2) + (match.group(4) or "Z") if match.group(2) else "T00:00:00Z"))
    return int(moment.timestamp() * 1000) + int(float(match.group(3) or 0) * 1000)


def cell(value, kind):
    if value is None:
        return None
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value)
    if kind == "number":
        try:
            return float(value)
        except (TypeError, ValueError):
            return None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "timestamp":
        return timestamp(value)
    if kind == "timestamp_epoch":
        return int(value) if isinstance(value, float) or isinstance(value, str) and value.isdigit() else None
    if kind == "timestamp_epoch_s":
        return int(value) * 1000 if isinstance(value, float) else None
    raise AssertionError(kind)


KINDS = {"timestamp": "time", "timestamp_epoch": "time", "timestamp_epoch_s": "time"}


def parsed(reply, query):
    """The frame that a reply becomes; raises what the panel shows instead."""
    if reply.status_code >= 400:
        raise PanelError(f"unsuccessful HTTP response\nstatus code: {reply.status_code} {reply.reason}")
    if not reply.content:
        raise PanelError("empty response received")
    # Go's json.Unmarshal into any: every number is a float64.
    value = json.loads(reply.content.decode("utf-8-sig"), parse_int=float)
    if query["root_selector"]:
        value = selected(value, query["root_selector"])
        if value is None:
            raise PanelError("error converting json data to frame")
    rows = value if isinstance(value, list) else [value]
    columns = query["columns"]
    if not columns:
        names = sorted({name for row in rows if isinstance(row, dict) for name in row})
        columns = [{"selector": name, "text": name, "type": kind_of([row.get(name) for row in rows])} for name in names]
    fields = []
    for column in columns:
        values = [cell(selected(row, column["selector"]), column["type"]) for row in rows]
        fields.append(Field(column["text"] or column["selector"], KINDS.get(column["type"], column["type"]), values))
    # By name, whatever the order in which they were declared.
    frame = Frame(sorted(fields, key=lambda field: field.name))
    return wide(frame) if query["format"] == "timeseries" else frame


def wide(frame):
    """grafana-plugin-sdk-go's LongToWide, if the frame is long: a time, texts, numbers. Rows have to be in order of time;
    if they are not, the frame is returned as it is, without a word.
    """
    times, factors, numbers = frame.of("time"), frame.of("string"), frame.of("number")
    if len(times) != 1 or not factors or not numbers:
        return frame
    time = times[0].values
    if any(value is None for value in time) or any(a > b for a, b in zip(time, time[1:])):
        return frame
    moments = sorted(set(time))
    places = {moment: place for place, moment in enumerate(moments)}
    series = {}
    for row, moment in enumerate(time):
        labels = tuple((factor.name, factor.values[row]) for factor in factors)
        for number in numbers:
            values = series.setdefault((number.name, labels), [None] * len(moments))
            values[places[moment]] = number.values[row]
    fields = [Field(name, "number", values, dict(labels)) for (name, labels), values in series.items()]
    return Frame([Field(times[0].name, "time", moments)] + fields)


def answered(base, query, variables, since, until, **options):
    return parsed(ask(base, query, variables, since, until, **options), query)


# MARK: What panels need of a frame

def complaints(panel_type, format_, frame):
    """Why a panel of that type would show nothing, or something wrong."""
    said = []
    times, numbers = frame.of("time"), frame.of("number")
    if not frame.fields or len(frame) == 0:
        return ["no rows"]
    if panel_type in ("timeseries", "candlestick", "heatmap", "state-timeline"):
        if len(times) != 1:
            said.append(f"{len(times)} time fields")
        elif times[0].values != sorted(times[0].values):
            said.append("times do not ascend")
    if panel_type in ("timeseries", "candlestick", "heatmap", "histogram", "stat", "gauge", "bargauge", "barchart"):
        if not any(value is not None for field in numbers + frame.of("boolean") for value in field.values):
            said.append("no number")
    if format_ == "timeseries" and frame.of("string"):
        said.append("not pivoted: texts are left among the series")
    if panel_type == "candlestick":
        missing = {"open", "high", "low", "close", "volume"} - {field.name.lower() for field in numbers}
        if missing:
            said.append(f"no {missing}")
    if panel_type == "logs" and {field.name for field in frame.fields} < {"timestamp", "body"}:
        said.append("no timestamp or body")
    if panel_type in ("barchart", "bargauge") and len(frame.fields) < 2:
        said.append("nothing to name the bars")
    return said
