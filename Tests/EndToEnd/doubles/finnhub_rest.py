# SPDX-License-Identifier: Apache-2.0
"""Finnhub's REST interface as far as Tapedeck asks it: /quote and /stock/profile2, with its limits in the heads."""
import time

from .http_service import Service

PROFILES = {
    "AAPL": dict(country="US", currency="USD", exchange="NASDAQ NMS - GLOBAL MARKET", finnhubIndustry="Technology",
                 ipo="1980-12-12", marketCapitalization=2693850, name="Apple Inc", shareOutstanding=16319.44,
                 ticker="AAPL", weburl="https://www.apple.com/"),
}


class FinnhubREST(Service):
    def __init__(self, token, *certificate):
        self.token = token
        self.now = int(time.time() - 600)
        # Requests that it takes in each period of so many seconds, and how many it has refused.
        self.limit = 60
        self.period = 60
        self.refused = 0
        self.window = (0, 0)
        super().__init__(*certificate)

    def advance(self, seconds):
        with self.lock:
            self.now += seconds

    def quote(self, symbol):
        if symbol not in ("AAPL", "BINANCE:BTCUSDT"):
            return dict(c=0, d=None, dp=None, h=0, l=0, o=0, pc=0, t=0)
        price = (200 if symbol == "AAPL" else 60000) + self.now % 50
        # Whole numbers as such.
        return dict(c=price, d=1.5, dp=0.75, h=price + 2, l=price - 2.5, o=price - 1, pc=price - 1.5, t=self.now)

    def handle(self, request):
        with self.lock:
            if request.headers.get("X-Finnhub-Token", request.query.get("token")) != self.token:
                return 401, {}, {"error": "Invalid API key"}
            now = int(time.time()) // self.period
            used = self.window[1] + 1 if self.window[0] == now else 1
            self.window = (now, used)
            heads = {"X-Ratelimit-Limit": str(self.limit), "X-Ratelimit-Remaining": str(max(0, self.limit - used)),
                     "X-Ratelimit-Reset": str((now + 1) * self.period)}
            if used > self.limit:
                self.refused += 1
                return 429, heads, {"error": "API limit reached. Please try again later. Remaining Limit: 0"}
            symbol = request.query.get("symbol", "")
            if request.path.endswith("/quote"):
                if symbol == "PREMIUM":
                    return 403, heads, {"error": "You don't have access to this resource."}
                return 200, heads, self.quote(symbol)
            if request.path.endswith("/stock/profile2"):
                return 200, heads, PROFILES.get(symbol, {})
            return 404, heads, {"error": "Not found"}
