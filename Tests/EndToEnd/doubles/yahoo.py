# SPDX-License-Identifier: Apache-2.0
"""Yahoo's quote service as far as Tapedeck asks it: cookie and crumb, chart, quote, quoteSummary.

Its replies have the shape of recorded ones; the numbers are its own, a function of symbol and time, so that a test
knows what must arrive. Its clock stands still until the test moves it.
"""
import time

from .http_service import Service

FACTS = {
    "AAPL": dict(longName="Apple Inc.", shortName="Apple", quoteType="EQUITY", exchange="NMS", currency="USD",
                 country="United States", sector="Technology", industry="Consumer Electronics"),
    "BTC-USD": dict(longName=None, shortName="Bitcoin USD", quoteType="CRYPTOCURRENCY", exchange="CCC", currency="USD"),
}
WIDTHS = {"1m": 60, "2m": 120, "5m": 300, "15m": 900, "1d": 86400}


class Yahoo(Service):
    def __init__(self, *certificate):
        # Hours behind, so that no test moves it past the time that it is; at the beginning of a bar.
        self.now = int(time.time() - 2 * 3600) // 120 * 120
        self.begun = self.now - 2 * 86400
        self.session = 1
        self.renamed = {}
        super().__init__(*certificate)

    def advance(self, seconds):
        with self.lock:
            self.now += seconds

    def expire(self):
        """Cookies and crumbs given so far are taken no more."""
        with self.lock:
            self.session += 1

    # What it knows

    def price(self, symbol, moment):
        return (200 if symbol == "AAPL" else 60000) + moment // 60 % 100 + 0.25

    def bar(self, symbol, start, width):
        """(open, high, low, close, volume), or None where nobody traded; the last one so far."""
        if start // width % 17 == 0:
            return None
        end = min(start + width - 1, self.now)
        opened, closed = self.price(symbol, start), self.price(symbol, end) + (end - start) / 1000
        return opened, max(opened, closed) + 1, min(opened, closed) - 1, closed, 100 + (end - start)

    def bars(self, symbol, width=120, since=0):
        """Beginnings and values of all bars up to its clock's time."""
        starts = range(self.begun // width * width, self.now + 1, width)
        if symbol == "AAPL":
            # An hour of each day; what day it is does not matter here.
            starts = [start for start in starts if start % 86400 // 3600 == 15]
        return {start: bar for start in starts if start >= since and (bar := self.bar(symbol, start, width))}

    def quote(self, symbol):
        price = self.price(symbol, self.now)
        return dict(symbol=symbol, regularMarketPrice=price, regularMarketTime=self.now,
                    regularMarketOpen=price - 1, regularMarketDayHigh=price + 2, regularMarketDayLow=price - 2,
                    regularMarketPreviousClose=price - 3, regularMarketVolume=self.now % 100000, currency="USD",
                    quoteType=FACTS[symbol]["quoteType"], marketState="REGULAR", shortName=FACTS[symbol]["shortName"],
                    exchangeTimezoneName="America/New_York")

    # What it answers

    def handle(self, request):
        with self.lock:
            if request.path == "/cookie" or request.path == "/":
                # As the real one: a page that is not there, and the cookie with it.
                return 404, {"Set-Cookie": f"A3=d=secret-cookie-{self.session}; Path=/"}, b""
            if request.path.startswith("/v8/finance/chart/"):
                return self.chart(request.path.rsplit("/", 1)[1], request.query)
            if request.path.startswith("/ws/fundamentals-timeseries/"):
                # Tapedeck never asks for these; yfinance does beside a company's facts.
                return 200, {}, {"timeseries": {"result": [], "error": None}}
            if f"secret-cookie-{self.session}" not in request.headers.get("Cookie", ""):
                return self.unauthorized("Invalid Cookie")
            if request.path == "/v1/test/getcrumb":
                return 200, {"Content-Type": "text/plain"}, f"secret.Crumb/{self.session}".encode()
            if request.query.get("crumb") != f"secret.Crumb/{self.session}":
                return self.unauthorized("Invalid Crumb")
            if request.path == "/v7/finance/quote":
                found = [self.quote(symbol) for symbol in request.query["symbols"].split(",") if symbol in FACTS]
                return 200, {}, self.rename({"quoteResponse": {"result": found, "error": None}})
            if request.path.startswith("/v10/finance/quoteSummary/"):
                return self.summary(request.path.rsplit("/", 1)[1])
            return 404, {}, b""

    @staticmethod
    def unauthorized(words):
        error = {"code": "Unauthorized", "description": words}
        return 401, {}, {"finance": {"result": None, "error": error}}

    def chart(self, symbol, query):
        if symbol not in FACTS:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return 404, {}, {"chart": {"result": None, "error": error}}
        width = WIDTHS[query["interval"]]
        bars = self.bars(symbol, width, int(query.get("period1", 0)))
        # Moments without trades are in it as nulls, and at the end the price of now.
        times = range(min(bars), max(bars) + 1, width) if symbol == "BTC-USD" and bars else list(bars)
        rows = [(start, bars.get(start, (None,) * 5)) for start in times]
        if symbol == "BTC-USD":
            price = self.price(symbol, self.now)
            rows.append((self.now + 7, (price, price, price, price, 0)))
        names = ("open", "high", "low", "close", "volume")
        columns = {name: [row[1][index] for row in rows] for index, name in enumerate(names)}
        day = self.now // 86400 * 86400
        period = {"timezone": "UTC", "start": day, "end": day + 86400, "gmtoffset": 0}
        meta = dict(currency="USD", symbol=symbol, exchangeName=FACTS[symbol]["exchange"],
                    instrumentType=FACTS[symbol]["quoteType"], firstTradeDate=345479400, regularMarketTime=self.now,
                    hasPrePostMarketData=False, gmtoffset=0, timezone="UTC",
                    exchangeTimezoneName="UTC", regularMarketPrice=self.price(symbol, self.now),
                    priceHint=2, dataGranularity=query["interval"], range=query.get("range", ""),
                    currentTradingPeriod={"pre": period, "regular": period, "post": period},
                    tradingPeriods=[[{**period, "start": start, "end": start + 86400}]
                                    for start in range(day - 2 * 86400, day + 1, 86400)],
                    validRanges=["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"])
        result = {"meta": meta, "timestamp": [row[0] for row in rows], "indicators": {"quote": [columns]}}
        return 200, {}, self.rename({"chart": {"result": [result], "error": None}})

    def summary(self, symbol):
        if symbol not in FACTS:
            error = {"code": "Not Found", "description": f"Quote not found for symbol: {symbol}"}
            return 404, {}, {"quoteSummary": {"result": None, "error": error}}
        facts = FACTS[symbol]
        result = {
            "price": {key: facts[key] for key in ("longName", "shortName", "quoteType", "exchange", "currency")}
            | {"marketCap": 3688676720640, "symbol": symbol},
            "summaryDetail": dict(trailingPE=38.91442, forwardPE=29.548735, fiftyTwoWeekLow=164.08,
                                  fiftyTwoWeekHigh=260.1, fiftyDayAverage=240.6902, currency=facts["currency"]),
            "quoteType": {"symbol": symbol, "exchange": facts["exchange"], "quoteType": facts["quoteType"]},
        }
        if "sector" in facts:
            result["assetProfile"] = {key: facts[key] for key in ("country", "sector", "industry")}
            result["defaultKeyStatistics"] = {"shortRatio": 2.12}
        return 200, {}, self.rename({"quoteSummary": {"result": [result], "error": None}})

    def rename(self, reply):
        """The reply with members renamed: what a change of Yahoo's schema does."""
        if isinstance(reply, dict):
            return {self.renamed.get(key, key): self.rename(value) for key, value in reply.items()}
        return [self.rename(element) for element in reply] if isinstance(reply, list) else reply
