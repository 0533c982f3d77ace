# SPDX-License-Identifier: Apache-2.0
"""Sentiment, posts, instruments, forecasts and jobs, from outside."""

import gzip
import json
import os
import random
import signal
import subprocess

import numpy
import pandas
import psycopg
import pytest
import requests
from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE, SentimentIntensityAnalyzer

from conftest import BINARY, ENVIRONMENT, ROOT, run, summary, wait_until

SHARED = ROOT.parent / "shared" / "data" / "test-only" / "reddit"


@pytest.fixture
def up(start, tmp_path):
    """A server that has played one trade."""
    tape = tmp_path / "one.csv"
    tape.write_text("ts,symbol,price,size\n2020-01-01,ONE,1,1\n")
    return start("--source", f"replay:{tape}?speed=max")


def command(up, name, *arguments):
    """A command on the running server's folder."""
    return run(name, *arguments, "--data-dir", up.folder)


def scores(texts):
    """What `tapedeck sentiment` says of each text."""
    escape = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"})
    lines = "".join(text.translate(escape) + "\n" for text in texts)
    done = run("sentiment", stdin=lines.encode(), cwd=ROOT)
    return [tuple(map(float, line.split("\t"))) for line in done.stdout.decode().splitlines()]


def expected(texts):
    analyzer = SentimentIntensityAnalyzer()
    results = []
    for text in texts:
        score = analyzer.polarity_scores(text)
        results.append((score["compound"], score["pos"], score["neg"], score["neu"]))
    return results


def compare(texts):
    ours, theirs = scores(texts), expected(texts)
    assert len(ours) == len(theirs) == len(texts)
    differing = [(text[:200], a, b) for text, a, b in zip(texts, ours, theirs) if a != b]
    assert not differing, differing[:5]


def test_sentiment_equals_the_original_on_generated_texts():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rnd = random.Random(seed)
    analyzer = SentimentIntensityAnalyzer()
    rules = "no or nor but least at very never so this without doubt kind of just enough sort the shit bomb bad ass"
    rules += " bus stop yeah right kiss death to die for beating heart stock table"
    words = list(analyzer.lexicon) + list(BOOSTER_DICT) * 20 + NEGATE * 20 + rules.split() * 60
    emoji = list(analyzer.emojis)
    texts = []
    for _ in range(10_000):
        parts = []
        for _ in range(rnd.randrange(14)):
            word = rnd.choice(words)
            word = rnd.choice([word] * 6 + [word.upper(), word.capitalize()])
            if rnd.random() < 0.15:
                word += rnd.choice(["!", "!!", "?", "???", ".", ",", ":)", '"', "?!"])
            if rnd.random() < 0.07:
                word = rnd.choice("(\"*'-_") + word
            if rnd.random() < 0.06:
                word = rnd.choice(emoji) + rnd.choice(["", word])
            parts.append(word)
        texts.append(rnd.choice([" ", " ", "  ", "\n", "\t", "\u00a0"]).join(parts))
    compare(texts)


def test_sentiment_equals_the_original_on_odd_texts():
    """What no author writes: blanks of all kinds, long words, control characters, letters of other scripts, inside words."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rnd = random.Random(seed)
    analyzer = SentimentIntensityAnalyzer()
    words = list(analyzer.lexicon) + list(BOOSTER_DICT) * 10 + NEGATE * 20
    odd = ["É", "ÉCLAIR", "éclair", "ß", "Σ", "İ", "ǅ", "Ⓐ", "Great’s", "“good”", "don’t", "y'ain'tn't", "n't", "'n't'",
           "N'T", "x" * 70, "http://" + "a" * 64 + "good", "!" * 70 + "good" + "." * 70, "\x00", "a\x1bb", "\x7fgood\x7f",
           "<3", "日本語", "Великий", "ΑΒΓ", "(é)", "--", "...", "\u200bgood", "\ufeffbad", "ﬀ", "ŉ", "\u212a"]
    blanks = [" "] * 6 + ["  ", "\n", "\t", "\xa0", "\x1c", "\x1f", "\x85", "\u2003", "\u3000", "\u2028", "\x0b", "\r\n"]
    texts = []
    for _ in range(5000):
        text = ""
        for _ in range(rnd.choice([0, 1, 2, 3, 5, 8, 14, 25, 40])):
            word = rnd.choice(words if rnd.random() < 0.8 else odd)
            word = rnd.choice([word] * 5 + [word.upper(), word.swapcase()])
            if rnd.random() < 0.1:
                word = rnd.choice("(\"*'-_#@[") + word + rnd.choice(["!", "?", ".", "'s", "’s"])
            if rnd.random() < 0.05:
                middle = rnd.randrange(len(word) + 1)
                word = word[:middle] + rnd.choice(["'", "\xa0", "é", "n't", "\x1e", "\x00", rnd.choice(list(analyzer.emojis))])
            text += word + rnd.choice(blanks)
        texts.append(text if rnd.random() < 0.5 else text.rstrip())
    compare(texts)


def test_sentiment_equals_the_original_on_recorded_texts():
    if not SHARED.is_dir():
        pytest.skip("the recorded posts are not part of the checkout")
    import csv

    csv.field_size_limit(1 << 30)
    texts = []
    for name, columns in (("comments", ["text"]), ("submissions", ["title", "text"])):
        with gzip.open(SHARED / f"wsb_gme_{name}.csv.gz", "rt", encoding="utf8", newline="") as file:
            for row in csv.DictReader(file):
                texts += [row[column] or "" for column in columns]
    with gzip.open(SHARED / "comments_general.jsonl.gz", "rt", encoding="utf8") as file:
        texts += [json.loads(line)["body"] for line in file]
    assert len(texts) > 10_000
    compare(texts)


def test_posts_become_sentiment_that_readers_see(up, tmp_path):
    command(up, "load", ROOT / "samples/instruments_us.csv", ROOT / "samples/instruments_more.csv")
    posts = tmp_path / "posts.jsonl.gz"
    with gzip.open(posts, "wt") as file:
        for n in range(200):
            body = ["GME is wonderful 🚀", "I hate gamestop", "nothing"][n % 3]
            file.write(json.dumps({"id": f"c{n}", "link_id": "t3_s", "body": body, "subreddit": "stocks",
                                   "created_utc": 1_700_000_000 + 60 * n, "edited": False}) + "\n")
    assert summary(command(up, "load", "--json", posts))["accepted"] == 200
    assert summary(command(up, "load", "--json", posts))["already_there"] == 200
    reply = requests.get(f"{up.url}/api/v1/sentiment", {"symbol": "GME", "timeframe": "1d"}, timeout=10).json()
    counts = [sum(bar[name] for bar in reply["sentiment"]) for name in ("post_count", "positive_count", "negative_count")]
    assert counts == [134, 67, 67]
    listed = requests.get(f"{up.url}/api/v1/posts", {"symbol": "GME", "limit": 1}, timeout=10).json()["posts"][0]
    analyzer = SentimentIntensityAnalyzer()
    assert listed["sentiment"] == analyzer.polarity_scores(listed["body"])["compound"]
    with psycopg.connect(up.reader_url) as connection:
        rows = connection.execute("select symbol, mention_count from mention_counts where symbol = 'GME'").fetchall()
        assert sum(count for _, count in rows) == 134
        # Instruments that were loaded today are no events of today.
        freshest, = connection.execute("select max(last_event_ts) from ops.sources").fetchone()
        assert freshest.timestamp() == 1_700_000_000 + 60 * 199


FRAMES = {"1m": "1min", "5m": "5min", "15m": "15min", "1h": "1h", "1d": "1D"}


def frame(connection, query):
    """The rows of a query as a frame, times in UTC."""
    cursor = connection.execute(query)
    rows = pandas.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description])
    for name in rows:
        if name.endswith("ts"):
            rows[name] = pandas.to_datetime(rows[name], utc=True).astype("datetime64[us, UTC]")
    return rows


def same(ours, theirs, keys, exact, close):
    """Whether two frames have the same rows: some columns equal, others within the last digits of a mean."""
    ours, theirs = (rows.sort_values(keys).reset_index(drop=True)[keys + exact + close] for rows in (ours, theirs))
    pandas.testing.assert_frame_equal(
        ours, theirs, check_dtype=False, check_exact=False, rtol=0, atol=1e-12, check_names=False)


class Thread:
    """Posts as their authors leave them: texts of which each says by itself what it speaks of."""

    TEXTS = [("GME is wonderful", {"GME"}), ("I hate $AMC", {"AMC"}), ("gamestop and AMC are both terrible", {"GME", "AMC"}),
             ("TSLA", {"TSLA"}), ("nothing at all", set()), ("good morning", set())]

    def __init__(self, rnd):
        self.rnd, self.posts = rnd, {}
        # Midnight of a Tuesday, and moments at, before and after the ends of bars.
        edges = [0, 59.999999, 60, 300, 899.5, 900, 3599.999999, 3600, 7200, 86399.999999, 86400]
        for n in range(150):
            created = 1_700_006_400 + (rnd.choice(edges) if rnd.random() < 0.3 else round(rnd.uniform(0, 3 * 86400), 3))
            name = f"t3_s{n}" if n < 20 else f"t1_c{n}"
            text, symbols = rnd.choice(self.TEXTS)
            # Some comments are below submissions that nobody has seen.
            self.posts[name] = {"name": name, "created": created, "text": text, "symbols": symbols, "deleted": False,
                                "subreddit": rnd.choice(["stocks", "wallstreetbets"]), "edited": False,
                                "parent": None if n < 20 else f"t3_s{rnd.randrange(30)}"}

    def edit(self):
        for post in self.rnd.sample(list(self.posts.values()), 60):
            post["edited"] = 1_700_500_000
            post["text"], post["symbols"] = self.rnd.choice(self.TEXTS)

    def delete(self):
        for post in self.rnd.sample(list(self.posts.values()), 25):
            post["deleted"] = True

    def write(self, path):
        with open(path, "w") as file:
            for post in self.rnd.sample(list(self.posts.values()), len(self.posts)):
                text = "[deleted]" if post["deleted"] else post["text"]
                line = {"name": post["name"], "created_utc": post["created"], "subreddit": post["subreddit"],
                        "edited": post["edited"]}
                line |= {"title": "What do you think?", "selftext": text} if post["parent"] is None else {
                    "body": text, "link_id": post["parent"]}
                file.write(json.dumps(line) + "\n")
        return path

    def mentions(self):
        """Who mentions what, by the rules as the documents say them, scored by the original."""
        analyzer, rows = SentimentIntensityAnalyzer(), []
        for post in self.posts.values():
            if post["deleted"]:
                continue
            above = self.posts.get(post["parent"], {"symbols": set(), "deleted": True})
            symbols = post["symbols"] | (set() if above["deleted"] else above["symbols"])
            text = post["text"] if post["parent"] else "What do you think?\n\n" + post["text"]
            score = analyzer.polarity_scores(text)["compound"]
            rows += [(symbol, post["subreddit"], pandas.Timestamp(round(post["created"] * 1e6), unit="us", tz="UTC"), score)
                     for symbol in symbols]
        return pandas.DataFrame(rows, columns=["symbol", "subreddit", "ts", "sentiment"])


def bars_of(mentions, timeframe):
    """Sentiment bars from scratch."""
    groups = mentions.assign(ts=mentions.ts.dt.floor(FRAMES[timeframe]), up=mentions.sentiment >= 0.05,
                             down=mentions.sentiment <= -0.05).groupby(["symbol", "ts"])
    bars = groups.agg(mean_sentiment=("sentiment", "mean"), post_count=("sentiment", "size"),
                      positive_count=("up", "sum"), negative_count=("down", "sum")).reset_index()
    return bars.assign(timeframe=timeframe)


def check_views(connection, mentions):
    """Every view over posts against pandas."""
    bars = pandas.concat(bars_of(mentions, timeframe) for timeframe in FRAMES)
    same(frame(connection, "select * from market.sentiment_bars"), bars, ["symbol", "timeframe", "ts"],
         ["post_count", "positive_count", "negative_count"], ["mean_sentiment"])
    counts = mentions.assign(ts=mentions.ts.dt.floor("1h")).groupby(["symbol", "subreddit", "ts"]).agg(
        mention_count=("sentiment", "size"), mean_sentiment=("sentiment", "mean")).reset_index()
    same(frame(connection, "select * from market.mention_counts"), counts, ["symbol", "subreddit", "ts"],
         ["mention_count"], ["mean_sentiment"])
    prices = frame(connection, "select symbol, timeframe, ts as price_ts, close as price from market.bars")
    joined = []
    for timeframe in FRAMES:
        left = bars[bars.timeframe == timeframe].sort_values("ts")
        right = prices[prices.timeframe == timeframe].drop(columns="timeframe").sort_values("price_ts")
        left = left.assign(ts=left.ts.astype("datetime64[us, UTC]"))
        joined.append(pandas.merge_asof(left, right, left_on="ts", right_on="price_ts", by="symbol"))
    joined = pandas.concat(joined)
    ours = frame(connection, "select * from market.sentiment_prices")
    # Without a price before, with one of the same bar, and with an older one.
    assert ours.price.isna().any() and (ours.ts == ours.price_ts).any() and (ours.ts > ours.price_ts).any()
    same(ours.astype({"price": float}), joined, ["symbol", "timeframe", "ts"], ["post_count", "price_ts"],
         ["mean_sentiment", "price"])


def test_views_over_posts_are_what_pandas_makes_of_them(up, tmp_path):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rnd = random.Random(seed)
    command(up, "load", ROOT / "samples/instruments_us.csv", ROOT / "samples/instruments_more.csv")
    tape = tmp_path / "prices.csv"
    with open(tape, "w") as file:
        file.write("ts,symbol,price,size\n1700006400000000,GME,20,1\n")
        # From the second day on, so that some sentiment has no price yet; AMC only once.
        for n in range(400):
            file.write(f"{1_700_092_800 + rnd.randrange(2 * 86400)},TSLA,{rnd.randrange(1, 500)},1\n")
        file.write("1700092800,AMC,5,1\n")
    command(up, "load", tape)
    thread = Thread(rnd)
    with psycopg.connect(up.reader_url, autocommit=True) as connection:
        for change in (None, thread.edit, thread.delete):
            if change:
                change()
            done = summary(command(up, "load", "--json", thread.write(tmp_path / "posts.ndjson")))
            assert done["rejected"] == 0
            check_views(connection, thread.mentions())


def test_windows_of_sentiment_end_now_and_leave_out_their_beginning(up):
    """In one transaction, whose now() stands still: what lies on the edges of each window."""
    rows = [("now", 0, 0.5), ("half an hour", 1800, -0.9), ("less than it", 1799.999999, -0.3), ("one hour", 3600, 0.7),
            ("less than it", 3599.999999, 0.049), ("two hours", 7200, 0.1), ("less than it", 7199.999999, -0.05),
            ("four hours", 14400, 0.9), ("less than it", 14399.999999, 0.05), ("not yet", -0.000001, -1.0)]
    with psycopg.connect(up.writer_url) as connection:
        for n, (_, age, score) in enumerate(rows):
            connection.execute(
                "insert into market.posts (id, kind, source, created_at, observed_at) values (%s, 'comment', 't', now(), now())",
                [f"t1_{n}"])
            connection.execute(
                "insert into market.mentions (post_id, symbol, ts, sentiment)"
                " values (%s, 'GME', now() - %s * interval '1 second', %s)", [f"t1_{n}", age, score])
        # One of long ago is the latest of its symbol, and in no window.
        connection.execute(
            "insert into market.mentions (post_id, symbol, ts, sentiment) values ('t1_0', 'AMC', '2020-01-01Z', -0.5)")
        ours = connection.execute(
            "select symbol, span, mean_sentiment, post_count, positive_count, negative_count"
            " from market.sentiment_windows order by symbol, span").fetchall()
        connection.rollback()
    expected = [("AMC", "now", -0.5, 1, 0, 1)]
    for span, width in (("1h", 3600), ("2h", 7200), ("30m", 1800), ("4h", 14400)):
        scores = [score for _, age, score in rows if 0 <= age < width]
        expected.append(("GME", span, sum(scores) / len(scores), len(scores), sum(x >= 0.05 for x in scores),
                         sum(x <= -0.05 for x in scores)))
    expected.append(("GME", "now", 0.5, 1, 1, 0))
    assert [row[:2] + row[3:] for row in ours] == [row[:2] + row[3:] for row in expected]
    assert [row[2] for row in ours] == pytest.approx([row[2] for row in expected], abs=1e-12)


def test_a_subreddit_names_a_company_only_where_that_is_asked_for(start, tmp_path):
    posts = tmp_path / "posts.ndjson"
    posts.write_text('{"id":"c1","link_id":"t3_s","body":"nice","subreddit":"teslamotors","created_utc":1700000000}\n'
                     '{"id":"c2","link_id":"t3_s","body":"AI is for YOU, and $AI too","subreddit":"x","created_utc":1700000000}\n'
                     '{"id":"c3","link_id":"t3_s","body":"AI is for YOU, YOLO","subreddit":"x","created_utc":1700000000}\n')
    instruments = tmp_path / "instruments.csv"
    instruments.write_text('symbol,name\nTSLA,"Tesla, Inc."\nAI,"C3.ai, Inc."\nYOU,"Clear Secure, Inc."\n')
    tape = tmp_path / "one.csv"
    tape.write_text("ts,symbol,price,size\n2020-01-01,ONE,1,1\n")
    source = ("--source", f"replay:{tape}?speed=max")
    mentions = "select post_id, symbol from mentions order by post_id, symbol"
    up = start(*source)
    command(up, "load", instruments)
    command(up, "load", posts)
    assert up.sql(mentions) == [("t1_c2", "AI")]
    assert up.stop()[0] == 0
    up = start(*source, "--subreddit-mentions", "on")
    # A newer version is looked through by the rule that holds now.
    posts.write_text('{"id":"c1","link_id":"t3_s","body":"nicer","subreddit":"teslamotors","created_utc":1700000000,"edited":1700000100}\n')
    command(up, "load", posts)
    assert up.sql(mentions) == [("t1_c1", "TSLA"), ("t1_c2", "AI")]


def test_the_lock_of_a_runner_that_is_killed_is_freed(up):
    """Even in the middle of a statement, which PostgreSQL would finish for nobody."""
    with psycopg.connect(up.writer_url) as blocker:
        blocker.execute("lock table market.forecasts in access exclusive mode")
        runner = subprocess.Popen(
            [str(BINARY), "jobs", "run", "retention", "--data-dir", str(up.folder)], env=ENVIRONMENT,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running = "select count(*) from ops.jobs where job = 'retention' and last_result = 'running'"
        wait_until(lambda: up.one(running) == 1, 30, "the job to run", up)
        # While it runs nothing else does.
        def other():
            return run("jobs", "run", "validation-report", "--data-dir", up.folder, check=False)

        assert other().returncode == 75 and b"another process is running a job" in other().stderr
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait(30)
        # The table is still locked, and the dead process's statement would still wait for it.
        wait_until(lambda: other().returncode == 0, 60, "the lock of the dead runner", up)
    assert run("jobs", "run", "retention", "--data-dir", up.folder).stdout.startswith(b"0 forecasts")
    history = up.sql("select job, result from ops.job_runs where job = 'retention' order by run_id")
    assert history == [("retention", None), ("retention", "ok")]


def test_a_forecast_is_the_log_normal_it_stands_for(up, tmp_path):
    tape = tmp_path / "tape.csv"
    rnd = numpy.random.default_rng(4)
    price = 100 * numpy.exp(numpy.cumsum(rnd.normal(0, 0.01, 500)))
    with open(tape, "w") as file:
        file.write("ts,symbol,price,size\n")
        for hour, value in enumerate(price):
            file.write(f"{1_700_006_400 + 3600 * hour},X,{float(value)!r},1\n")
    assert summary(command(up, "load", "--json", tape))["accepted"] == 500
    made = requests.post(
        f"{up.url}/api/v1/forecasts",
        json={"symbol": "X", "horizon": "2d", "paths": 20000, "seed": 1, "lookback": "60d", "price": "close"}, timeout=30)
    assert made.status_code == 201, made.text
    forecast = made.json()["forecasts"][0]
    assert requests.get(up.url + made.headers["Location"], timeout=10).json() == made.json()
    # The estimates, as NumPy makes them.
    returns = numpy.diff(numpy.log(price))
    volatility = returns.std(ddof=1) * numpy.sqrt(365 * 24)
    assert forecast["volatility"] == pytest.approx(volatility, rel=1e-9)
    assert forecast["drift"] == pytest.approx(returns.mean() * 365 * 24 + volatility**2 / 2, rel=1e-9)
    # The fan, within five standard errors of the closed form.
    last = forecast["fan"][-1]
    years = 48 / (365 * 24)
    mean = numpy.log(price[-1]) + (forecast["drift"] - volatility**2 / 2) * years
    deviation = volatility * numpy.sqrt(years)
    for name, z, level in (("p05", -1.6448536, 0.05), ("p50", 0, 0.5), ("p95", 1.6448536, 0.95)):
        density = numpy.exp(-z * z / 2) / numpy.sqrt(2 * numpy.pi) / deviation
        error = numpy.sqrt(level * (1 - level) / 20000) / density
        assert abs(numpy.log(last[name]) - mean - z * deviation) < 5 * error
    # The same seed by the command gives the same numbers; jobs run by hand.
    command(up, "forecast", "--symbol", "X", "--seed", "1", "--steps", "48", "--paths", "20000", "--lookback", "60d",
                 "--price", "close")
    with psycopg.connect(up.reader_url) as connection:
        count, different = connection.execute(
            "select count(*), count(distinct (p05, p50, p95, mean)) from forecast_steps where step = 48").fetchone()
        assert (count, different) == (2, 1)
        assert b"steps scored" in run("jobs", "run", "score", "--data-dir", up.folder).stdout
        assert connection.execute("select last_result from ops.jobs where job = 'score'").fetchone() == ("ok",)
        assert connection.execute("select count(*) from gbm_predictions").fetchone()[0] == 96


def test_a_missing_lexicon_is_told(tmp_path):
    done = run("sentiment", "--lexicon", tmp_path, check=False, stdin=b"", cwd=ROOT)
    assert done.returncode != 0
    assert b"make deps" in done.stderr and b"TAPEDECK_LEXICON" in done.stderr
