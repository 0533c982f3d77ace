# SPDX-License-Identifier: Apache-2.0
"""What Grafana's Infinity data source (yesoreyeram-infinity-datasource 3.11) sends for a query of a panel, and what its parsers
make of the reply: its rules, written down from its source, as a stand-in where no Grafana can run.
"""
import copy
import csv
import datetime
import io
import json
import re
import urllib.parse

import jq
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


def escaped(value):
    return re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", value)


# The values of a variable, as Grafana writes them.
FORMATS = {
    "csv": ",".join,
    "glob": lambda values: values[0] if len(values) == 1 else "{" + ",".join(values) + "}",
    "regex": lambda values: escaped(values[0]) if len(values) == 1 else "(" + "|".join(map(escaped, values)) + ")",
    "pipe": "|".join,
    "singlequote": lambda values: ",".join("'" + value.replace("'", "\\'") + "'" for value in values),
    "doublequote": lambda values: ",".join('"' + value.replace('"', '\\"') + '"' for value in values),
    "json": lambda values: json.dumps(values, separators=(",", ":")),
}


def interpolated(text, variables, since, until):
    """What is sent for a text of a query; what is no variable goes out as it is written."""
    text = re.sub(r"\$\{(__from|__to|__timeFrom|__timeTo)((?::\w+)*)\}", lambda match: macro(match, since, until), text)

    def value(match):
        name, form = match.group(1), match.group(2)
        if name not in variables:
            return match.group(0)
        return FORMATS[(form or ":glob")[1:]](variables[name] if isinstance(variables[name], list) else [variables[name]])

    return re.sub(r"\$\{(\w+)(:\w+)?\}", value, text)


ACCEPTED = {"json": "application/json;q=0.9,text/plain", "graphql": "application/json;q=0.9,text/plain", "csv": "text/csv; charset=utf-8"}


def body_of(query, replaced):
    """The body of a query that is not sent by GET, and its type: what is raw is plain text unless a type is set."""
    options = query["url_options"]
    if options.get("method", "GET") == "GET":
        return None, None
    kind = options.get("body_type", "raw")
    if query["type"] == "graphql" or kind == "graphql":
        body = {"query": replaced(options["body_graphql_query"])}
        if options.get("body_graphql_variables"):
            body["variables"] = json.loads(replaced(options["body_graphql_variables"]))
        return json.dumps(body), "application/json"
    if kind == "x-www-form-urlencoded":
        # Macros are not looked for in forms.
        return urllib.parse.urlencode([(pair["key"], pair["value"]) for pair in options["body_form"]]), "application/x-www-form-urlencoded"
    assert kind == "raw", kind
    return replaced(options.get("data", "")), options.get("body_content_type") or "text/plain"


def ask(base, query, variables, since, until, session=requests, key=None):
    """Sends a query of a panel (the object of its JSON) as the plug-in does, and returns the reply.

    A row of parameters that nobody has filled in is sent, too, as `=`.
    """
    assert query["source"] == "url" and query["parser"] in ("backend", "jq-backend", "simple"), query

    def replaced(text):
        return interpolated(text, variables, since, until)

    url = replaced(query["url"])
    if not url.startswith(base):
        url = base + url
    pairs = [(pair["key"], replaced(pair["value"])) for pair in query["url_options"].get("params", [])]
    parts = urllib.parse.urlsplit(url)
    pairs = urllib.parse.parse_qsl(parts.query, keep_blank_values=True) + pairs
    # Go's url.Values.Encode: sorted by key, a plus sign for a blank.
    encoded = urllib.parse.urlencode(sorted(pairs, key=lambda pair: pair[0]))
    url = urllib.parse.urlunsplit(parts._replace(query=encoded))
    headers = {"Accept": ACCEPTED.get(query["type"]), "Accept-Encoding": "gzip", "User-Agent": "Grafana/12.0"}
    body, headers["Content-Type"] = body_of(query, replaced)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return session.request(
        query["url_options"].get("method", "GET"), url, data=body, headers=headers, timeout=60)


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
    if kind == "json":
        return json.dumps(value)
    if kind == "timestamp":
        return timestamp(value)
    if kind == "timestamp_epoch":
        return int(value) if isinstance(value, float) or isinstance(value, str) and value.isdigit() else None
    if kind == "timestamp_epoch_s":
        return int(value) * 1000 if isinstance(value, float) else None
    raise AssertionError(kind)


KINDS = {"timestamp": "time", "timestamp_epoch": "time", "timestamp_epoch_s": "time"}


def document(reply):
    """The text of a reply; raises what the panel shows instead. Of an error that is its status line, never its body."""
    if reply.status_code >= 400:
        raise PanelError(f"unsuccessful HTTP response\nstatus code: {reply.status_code} {reply.reason}")
    if not reply.content:
        raise PanelError("empty response received")
    return reply.content.decode("utf-8-sig")


def value_of(reply):
    # Go's json.Unmarshal into any: every number is a float64.
    return json.loads(document(reply), parse_int=float)


def rooted(value, query):
    """What the root selector points at: a path of gjson's, or for jq a program, of whose results one array is the rows."""
    if query["parser"] == "jq-backend":
        results = jq.compile(query["root_selector"] or ".").input_value(value).all()
        # Its whole numbers come as such here.
        results = json.loads(json.dumps(results), parse_int=float)
        return results[0] if len(results) == 1 and isinstance(results[0], list) else results
    if query["root_selector"]:
        value = selected(value, query["root_selector"])
        if value is None:
            raise PanelError("error converting json data to frame")
    return value


def undeclared(rows):
    """Columns of objects without a word about them: by name, typed by their first value, and all of that type."""
    columns = []
    for name in sorted({name for row in rows if isinstance(row, dict) for name in row}):
        values = [row.get(name) for row in rows]
        kinds = {kind_of([value]) for value in values if value is not None}
        if len(kinds) > 1:
            raise PanelError(f"error converting json data to frame: {name} is {' and '.join(sorted(kinds))}")
        columns.append({"selector": name, "text": name, "type": kind_of(values)})
    return columns


def framed(rows, columns, query):
    # Of no rows there are no fields, whatever is declared.
    if not rows:
        return Frame([])
    fields = []
    for column in columns:
        values = [cell(selected(row, column["selector"]), column["type"]) for row in rows]
        fields.append(Field(column["text"] or column["selector"], KINDS.get(column["type"], column["type"]), values))
    # By name, whatever the order in which they were declared.
    frame = Frame(sorted(fields, key=lambda field: field.name))
    return wide(frame) if query["format"] == "timeseries" else frame


def separated(text, delimiter):
    """The header and the rows of CSV or TSV: every cell is text. Blank lines are skipped; one of blanks is a row with too few."""
    records = [record for record in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if record]
    if any(len(record) != len(records[0]) for record in records):
        raise PanelError("error getting response: wrong number of fields")
    return records[0], [dict(zip(records[0], record)) for record in records[1:]]


def parsed(reply, query):
    """The frame that a reply becomes by the parsers of the server side; raises what the panel shows instead."""
    assert query["parser"] in ("backend", "jq-backend"), query
    if query["type"] in ("csv", "tsv"):
        header, rows = separated(document(reply), "," if query["type"] == "csv" else "\t")
        return framed(rows, query["columns"] or [{"selector": name, "text": name, "type": "string"} for name in header], query)
    value = rooted(value_of(reply), query)
    rows = value if isinstance(value, list) else [value]
    return framed(rows, query["columns"] or undeclared(rows), query)


def as_frames(reply, query):
    """What a page makes of a reply by the parser `simple` and the format `as-is`: each thing a frame, by @grafana/data's
    toDataFrame."""
    assert (query["parser"], query["format"]) == ("simple", "as-is"), query
    value = rooted(json.loads(document(reply)), query)
    frames = []
    for thing in value if isinstance(value, list) else [value]:
        if isinstance(thing, dict) and "fields" in thing:
            fields = [Field(field["name"], field.get("type", "other"), field["values"], field.get("labels"))
                      for field in thing["fields"]]
        elif isinstance(thing, dict) and "datapoints" in thing:
            values, times = zip(*thing["datapoints"]) if thing["datapoints"] else ((), ())
            fields = [Field("Time", "time", list(times)), Field(thing["target"], "number", list(values))]
        elif isinstance(thing, dict) and thing.get("type") == "table" and "columns" in thing:
            fields = [Field(column["text"], column.get("type", "other"), [row[place] for row in thing["rows"]])
                      for place, column in enumerate(thing["columns"])]
        else:
            raise PanelError("Unsupported data format")
        if len({len(field.values) for field in fields}) > 1:
            raise PanelError("fields of different lengths")
        frames.append(Frame(fields))
    return frames


# MARK: Pages

# `pagination_max_pages` beyond it is as much, unless the server's settings say otherwise.
PAGE_LIMIT = 5


def at_page(query, parameter, name, value):
    """The query of a page. The parameter is added behind the others, of the same name too. Of the type `replace` it is put in place
    of `${__pagination.NAME}`: in the URL of this page, but in the rows of parameters of all that follow."""
    options = query["url_options"]
    if query.get(f"pagination_param_{parameter}_type") == "replace":
        place = "${__pagination.%s}" % name
        for pair in options.get("params", []):
            pair["value"] = pair["value"].replace(place, str(value))
        return query | {"url": query["url"].replace(place, str(value))}
    return query | {"url_options": options | {"params": options.get("params", []) + [{"key": name, "value": str(value)}]}}


def cursor_of(value, query):
    """Where to go on: nothing, and that is the end, for an empty text, null, or what is not there. jq's is the text of an array
    of results, which is never nothing."""
    path = query["pagination_param_cursor_extraction_path"]
    if query["parser"] == "jq-backend":
        return json.dumps(jq.compile(path).input_value(value).all())
    found = selected(value, path)
    return "" if found is None else str(found)


def merged(pages):
    """One frame of several, which have to be alike: in number, names and types of their columns."""
    first, *others = pages
    for page in others:
        if [field.name for field in page.fields] != [field.name for field in first.fields]:
            raise PanelError("unable to merge fields due to different fields")
        if [field.kind for field in page.fields] != [field.kind for field in first.fields]:
            raise PanelError("unable to merge fields due to different field types")
        for field, more in zip(first.fields, page.fields):
            field.values += more.values
    return first


def paged(base, query, variables, since, until, **options):
    """The frame of a query with pages. By offset and by page number all that are allowed for are asked for, whatever comes; by
    cursor until there is none, one page more than are allowed for. The first request is without a cursor."""
    query = copy.deepcopy(query)
    mode, name = query["pagination_mode"], query.get
    count, cursor_name = int(name("pagination_max_pages") or 0), name("pagination_param_cursor_field_name")
    if query["parser"] == "backend":
        # The other parsers know no defaults.
        count, cursor_name = max(1, min(count, PAGE_LIMIT)), cursor_name or "cursor"
    size = int(name("pagination_param_size_value") or 1000)
    pages, cursor, number = [], "", 0
    while number < count or mode == "cursor" and number <= count:
        page = query
        if mode in ("offset", "page"):
            page = at_page(page, "size_field", name("pagination_param_size_field_name") or "limit", size)
        if mode == "offset":
            page = at_page(page, "offset_field", name("pagination_param_offset_field_name") or "offset",
                           int(name("pagination_param_offset_value") or 0) + number * size)
        elif mode == "page":
            page = at_page(page, "page_field", name("pagination_param_page_field_name") or "page",
                           int(name("pagination_param_page_value") or 1) + number)
        else:
            assert mode == "cursor", mode
            if number:
                page = at_page(page, "cursor_field", cursor_name or "", cursor)
        number += 1
        reply = ask(base, page, variables, since, until, **options)
        # The pages are merged first, and pivoted then.
        value = rooted(value_of(reply), query)
        rows = value if isinstance(value, list) else [value]
        # A page without rows has no columns.
        columns = (query["columns"] or undeclared(rows)) if rows else []
        pages.append(framed(rows, columns, query | {"format": "table"}))
        if mode == "cursor":
            cursor = cursor_of(value_of(reply), query)
            if not cursor:
                break
    frame = merged(pages)
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
    """The frame that a query of the server side's parsers ends in."""
    if query.get("pagination_mode", "none") != "none":
        return paged(base, query, variables, since, until, **options)
    return parsed(ask(base, query, variables, since, until, **options), query)


def values_of(frame):
    """What a variable may be."""
    if not frame.fields:
        raise PanelError("at least one field expected for variable")
    return frame["__value"].values


# MARK: What panels need of a frame

def display_names(panel, frame):
    """What fields are called in a panel, which is what patterns of its options are tested against."""
    names = {}
    for override in panel["fieldConfig"]["overrides"]:
        for each in override["properties"]:
            if each["id"] == "displayName":
                assert override["matcher"]["id"] == "byName", override
                names[override["matcher"]["options"]] = each["value"]
    return {field.name: names.get(field.name, field.name) for field in frame.fields}


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
    names = {field.name for field in frame.fields}
    if panel_type == "logs" and not names >= {"timestamp", "body"}:
        said.append("no timestamp or body")
    # With both of these the plug-in marks a frame as lines, and Grafana guesses the level of lines without the third.
    if panel_type == "logs" and format_ == "logs" and "severity" not in names:
        said.append("no severity")
    if panel_type in ("barchart", "bargauge") and len(frame.fields) < 2:
        said.append("nothing to name the bars")
    return said
