# SPDX-License-Identifier: Apache-2.0
"""Sentiment, posts, instruments, forecasts and jobs, from outside."""

import gzip
import json
import random

import numpy
import psycopg
import pytest
import requests
from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE, SentimentIntensityAnalyzer

from conftest import ROOT, run, summary

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
    forecast = made.json()["forecast"]
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
