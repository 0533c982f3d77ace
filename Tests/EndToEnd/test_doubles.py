# SPDX-License-Identifier: Apache-2.0
"""The doubles of services, each tried with an independent client of the service."""
import pytest
from doubles.finnhub_rest import FinnhubREST
from doubles.yahoo import Yahoo

TOKEN = "secret-finnhub-token"


def test_the_double_of_finnhub_is_one_to_its_own_client():
    import finnhub as client

    double = FinnhubREST(TOKEN)
    try:
        real = client.Client(api_key=TOKEN)
        real.API_URL = double.url
        assert real.quote("AAPL") == double.quote("AAPL")
        assert real.company_profile2(symbol="AAPL")["name"] == "Apple Inc"
        assert real.company_profile2(symbol="NONE") == {}
        with pytest.raises(client.FinnhubAPIException) as refused:
            client_refused = client.Client(api_key="another")
            client_refused.API_URL = double.url
            client_refused.quote("AAPL")
        assert refused.value.status_code == 401
        double.limit = 1
        with pytest.raises(client.FinnhubAPIException) as limited:
            for _ in range(3):
                real.quote("AAPL")
        assert limited.value.status_code == 429
    finally:
        double.close()


def test_the_double_of_yahoo_is_one_to_yfinance(yfinance, monkeypatch):
    import curl_cffi.requests

    double = Yahoo()
    ask = curl_cffi.requests.Session.request

    def ask_double(session, method, url, *arguments, **options):
        for host in ("fc", "query1.finance", "query2.finance"):
            url = url.replace(f"https://{host}.yahoo.com", double.url)
        assert url.startswith(double.url), url
        return ask(session, method, url, *arguments, **options)

    monkeypatch.setattr(curl_cffi.requests.Session, "request", ask_double)
    try:
        history = yfinance.Ticker("BTC-USD").history(period="1mo", interval="2m")
        seen = {int(row.Index.timestamp()): (row.Open, row.High, row.Low, row.Close, row.Volume)
                for row in history.itertuples()}
        expected = double.bars("BTC-USD")
        # The last one it has mixed with the price of now.
        complete = sorted(expected)[:-1]
        assert len(complete) > 1000
        for start in complete:
            assert seen[start] == pytest.approx(expected[start])
        facts = yfinance.Ticker("AAPL").info
        assert {key: facts[key] for key in (
            "longName", "industry", "sector", "marketCap", "forwardPE", "trailingPE", "currency", "fiftyTwoWeekHigh",
            "fiftyTwoWeekLow", "fiftyDayAverage", "exchange", "shortRatio")} == {
            "longName": "Apple Inc.", "industry": "Consumer Electronics", "sector": "Technology",
            "marketCap": 3688676720640, "forwardPE": 29.548735, "trailingPE": 38.91442, "currency": "USD",
            "fiftyTwoWeekHigh": 260.1, "fiftyTwoWeekLow": 164.08, "fiftyDayAverage": 240.6902, "exchange": "NMS",
            "shortRatio": 2.12}
    finally:
        double.close()
