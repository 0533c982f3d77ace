# SPDX-License-Identifier: Apache-2.0
"""Makes the README's pictures of the console: `make screenshots`.

A server on a folder of its own takes simulated prices and posts, ending now and going on while the pictures are taken.
"""
import base64
import json
import math
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/EndToEnd"))
from conftest import BINARY, ENVIRONMENT, Up, run, wait_until  # noqa: E402

PRICES = {"AAPL": 232.4, "MSFT": 512.1, "NVDA": 178.9, "TSLA": 341.2, "GME": 27.4, "AMC": 5.1,
          "BINANCE:BTCUSDT": 96250.0, "BINANCE:ETHUSDT": 3390.0}
VOLATILITY = {"GME": 3.0, "AMC": 3.2, "TSLA": 1.8, "NVDA": 1.5}
MOODS = {"AAPL": 0.62, "MSFT": 0.6, "NVDA": 0.75, "TSLA": 0.45, "GME": 0.55, "AMC": 0.3}
POSTS = {
    "good": ["$%s to the moon, great quarter and amazing guidance", "Bought more $%s today, I love this company",
             "$%s earnings were fantastic, best print in years", "Happy with my $%s calls, what a wonderful week"],
    "bad": ["$%s is a terrible mess, I hate this chart", "Lost everything on $%s, awful company",
            "$%s guidance was horrible, expecting a crash", "Sad to see $%s fail again, disgusting dilution"],
    "flat": ["What time does $%s report?", "Anyone know the float of $%s?", "$%s opened a new office in Austin"],
}
SUBREDDITS = ["wallstreetbets", "stocks", "investing", "options"]
DAYS = 4
SIZE = {"width": 1320, "height": 825}
PICTURES = [
    ("market", "dark", "#/market?symbol=NVDA&timeframe=5m", None),
    ("forecast", "light", "#/forecast?symbol=AAPL&timeframe=15m&lookback=3d&steps=48", "Test on the past"),
    ("sentiment", "dark", "#/sentiment?symbol=NVDA&window=3d", None),
    ("sql", "light", "#/sql", "Run"),
    ("pipeline", "dark", "#/pipeline", None),
]
QUERY = """select symbol, time_bucket('1 hour', ts) as hour, vwap(price, size), count(*) as trades
from trades
where ts > now() - interval '1 day'
group by symbol, hour
order by hour desc, trades desc"""


class Walk:
    """Prices that go on, each by a geometric Brownian motion of its own."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.prices = dict(PRICES)

    def trade(self, symbol, ts, seconds):
        scale = VOLATILITY.get(symbol, 1.0) * 0.45 * math.sqrt(seconds / (365 * 86_400))
        self.prices[symbol] *= math.exp(scale * self.random.gauss(0, 1))
        price = round(self.prices[symbol], 2 if self.prices[symbol] > 10 else 4)
        size = max(1, int(self.random.lognormvariate(3, 1.2)))
        return f"{int(ts * 1e6)},{symbol},{price},{size}"

    def history(self):
        now, lines = time.time(), []
        for symbol in PRICES:
            ts = now - DAYS * 86_400
            while True:
                seconds = self.random.expovariate(1 / 15)
                ts += seconds
                if ts >= now:
                    break
                lines.append((ts, self.trade(symbol, ts, seconds)))
        lines.sort()
        return ["ts,symbol,price,size", *(line for _, line in lines)]

    def follow(self, stream, until):
        """Trades as they happen, some eight a second, until they are no longer wanted."""
        stream.write("ts,symbol,price,size\n")
        while not until.is_set():
            symbol = self.random.choice(list(PRICES))
            stream.write(self.trade(symbol, time.time(), 15) + "\n")
            stream.flush()
            until.wait(self.random.expovariate(8))
        stream.close()


def posts(seed):
    rnd, now = random.Random(seed), time.time()
    for number in range(1200):
        symbol = rnd.choice(list(MOODS))
        ts = now - rnd.random() ** 1.3 * DAYS * 86_400
        mood = "flat" if rnd.random() < 0.2 else "good" if rnd.random() < MOODS[symbol] + 0.2 * math.sin(ts / 20_000) else "bad"
        text, name = rnd.choice(POSTS[mood]) % symbol, f"s{number:x}"
        post = {"id": name, "subreddit": rnd.choice(SUBREDDITS), "author": f"reader_{rnd.randrange(300)}",
                "created_utc": int(ts), "score": rnd.randrange(300)}
        if rnd.random() < 0.3:
            yield {**post, "name": "t3_" + name, "title": text, "selftext": "", "url": "https://example.com/" + name}
        else:
            yield {**post, "name": "t1_" + name, "link_id": "t3_s", "body": text}


def webp(browser, png):
    """The picture as WebP, which the browser makes."""
    page = browser.new_page()
    data = page.evaluate("""async png => {
        const image = new Image();
        image.src = 'data:image/png;base64,' + png;
        await image.decode();
        const canvas = Object.assign(document.createElement('canvas'), {width: image.width, height: image.height});
        canvas.getContext('2d').drawImage(image, 0, 0);
        return canvas.toDataURL('image/webp', 0.62).split(',')[1];
    }""", base64.b64encode(png).decode())
    page.close()
    return base64.b64decode(data)


def shoot(browser, up, name, scheme, path, press):
    page = browser.new_context(viewport=SIZE, color_scheme=scheme).new_page()
    page.goto(f"{up.url}/{path}")
    page.wait_for_timeout(4000)
    if name == "sql":
        page.evaluate("text => ace.edit(document.querySelector('.editor')).setValue(text, 1)", QUERY)
    if press:
        page.get_by_role("button", name=press, exact=True).click()
    # Long enough for lines to have a shape.
    page.wait_for_timeout(40_000 if name == "pipeline" else 4000)
    picture = webp(browser, page.screenshot())
    target = ROOT / f"docs/console-{name}.webp"
    target.write_bytes(picture)
    print(f"{target.relative_to(ROOT)}: {len(picture) / 1024:.0f} KiB")
    page.context.close()


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-screenshots-"))
    walk = Walk(11)
    tape = folder / "history.csv"
    tape.write_text("\n".join(walk.history()) + "\n")
    (folder / "posts.ndjson").write_text("".join(json.dumps(post) + "\n" for post in posts(5)))
    (folder / "bad.csv").write_text("ts,symbol,price,size\n2024-01-01,AAPL,-4,10\n2024-01-01,,10,10\nyesterday,AAPL,10,1\n2024-01-01,AAPL,abc,1\n")
    up = Up(folder / "data", "--source", f"replay:{tape}?speed=max")
    ended = threading.Event()
    feed = None
    try:
        count = len(tape.read_text().splitlines()) - 1
        wait_until(lambda: up.one("select count(*) from trades") == count, 300, "the history", up)
        for file in (ROOT / "samples/instruments_us.csv", ROOT / "samples/instruments_more.csv", folder / "posts.ndjson", folder / "bad.csv"):
            run("load", file, "--data-dir", up.folder)
        feed = subprocess.Popen([str(BINARY), "ingest", "replay:/dev/stdin?speed=max", "--data-dir", str(up.folder)],
                                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT)
        threading.Thread(target=walk.follow, args=(feed.stdin, ended), daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for picture in PICTURES:
                shoot(browser, up, *picture)
            browser.close()
    finally:
        ended.set()
        if feed:
            feed.terminate()
            feed.wait(30)
        up.close()
        shutil.rmtree(folder, ignore_errors=True)


main()
