// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc
import HTTP
import Postgres
import TestSupport
import Testing

@testable import QueryServer

/// Posts, sentiment and forecasts over a socket.
@Suite(.serialized) struct AnalyticsLiveTests {
    /// The server of all tests, with posts and mentions, and one that makes forecasts.
    private static let served = Task<(address: SocketAddress, server: QueryServer), any Error> {
        let shared = try await TestServer.shared.value
        try shared.write(
            """
            insert into market.posts (id, kind, source, subreddit, title, body, score, submission_id, created_at, observed_at,
                sentiment)
            select 't1_' || g, 'comment', 'test', case when g % 2 = 0 then 'stocks' else 'wallstreetbets' end, null,
                'body "' || g, g, 't3_1', timestamptz '2024-05-01Z' + g * interval '1 minute', now(), 0.5
            from generate_series(1, 10) g;
            insert into market.mentions (post_id, symbol, ts, subreddit, sentiment, body_sentiment)
            select id, s, created_at, subreddit, 0.5, 0.5 from market.posts, unnest(array['GME', 'AMC']) s
            where submission_id = 't3_1' and (s = 'GME' or subreddit = 'stocks');
            select ops.refresh_sentiment_bars(array_agg(symbol), array_agg(ts)) from market.mentions;
            insert into ops.bar_state (symbol, timeframe, ts, open, high, low, close, volume, notional, trade_count, open_ts,
                open_id, open_source, close_ts, close_id, close_source)
            select 'FC', '1h', timestamptz '2024-01-01Z' + g * interval '1 hour', p, p, p, p, 2, 2 * p, 1, '2024-01-01Z', 1, 't',
                '2024-01-01Z', 1, 't'
            from generate_series(1, 100) g, lateral (select 100 + sin(g) as p) as price;
            """)
        let loop = try EventLoop(name: "forecast")
        loop.start()
        let writer = try ConnectionSettings(
            "postgresql://tapedeck_writer@/tapedeck?host=\(shared.directory)&port=5432")
        let (server, address) = try await TestServer.serve(shared.readerURL) {
            $0.forecasts = ForecastDesk(loop: loop, writer: writer)
        }
        return (address, server)
    }

    private func get(_ target: String) async throws -> Reply { try await Self.served.value.address.request(target) }

    private func post(_ body: String) async throws -> Reply {
        try await Self.served.value.address.request(
            "/api/v1/forecasts", method: "POST", headers: ["Content-Type: application/json"], body: body)
    }

    @Test func `posts are filtered, newest first, and pages repeat nothing`() async throws {
        let all = try await get("/api/v1/posts?symbol=GME&from=2024-05-01&to=2024-05-02")
        #expect(all.status == 200, "\(all.text)")
        #expect(all.text.hasPrefix(#"{"posts":[{"id":"t1_10","kind":"comment","subreddit":"stocks","author":null,"#))
        #expect(all.text.contains(#""body":"body \"10","#) && all.text.contains(#""symbols":["AMC","GME"]}"#))
        #expect(try await get("/api/v1/posts?symbol=AMC").text.matches(of: /"id":"t1_/).count == 5)
        #expect(
            try await get("/api/v1/posts?subreddit=wallstreetbets&kind=comment").text.matches(of: /"id":"t1_/).count
                == 5)
        #expect(try await get("/api/v1/posts?kind=submission").text == "{\"posts\":[],\"next_page_token\":null}\n")
        var ids: [String] = []
        var target = "/api/v1/posts?limit=3&order=asc"
        for _ in 0..<10 {
            let reply = try await get(target)
            ids += reply.text.matches(of: /"id":"(t1_\d+)"/).map { String($0.1) }
            guard let token = reply.text.firstMatch(of: /"next_page_token":"([^"]+)"/)?.1 else { break }
            target = "/api/v1/posts?limit=3&order=asc&page_token=\(token)"
        }
        #expect(ids == (1...10).map { "t1_\($0)" })
        let csv = try await get("/api/v1/posts?limit=1&format=csv")
        #expect(csv.text.hasPrefix("id,kind,subreddit,") && csv.text.split(separator: "\n").count == 2)
        #expect(try await get("/api/v1/posts?kind=x").status == 400)
        #expect(try await get("/api/v1/posts?symbl=x").text.contains("Perhaps you meant"))
    }

    @Test func `sentiment comes by symbol and timeframe`() async throws {
        let hour = try await get("/api/v1/sentiment?symbol=GME&timeframe=1h&from=2024-05-01&time=ms")
        #expect(
            hour.text
                == "{\"sentiment\":[{\"symbol\":\"GME\",\"ts\":1714521600000,\"mean_sentiment\":0.5,\"post_count\":10,"
                + "\"positive_count\":10,\"negative_count\":0,\"mean_finance_sentiment\":null}],\"next_page_token\":null}\n"
        )
        #expect(try await get("/api/v1/sentiment?symbols=AMC&timeframe=1m").text.matches(of: /"AMC"/).count == 5)
        #expect(try await get("/api/v1/sentiment?timeframe=1s").status == 400)
    }

    @Test func `a forecast is made, kept, listed and read again`() async throws {
        let made = try await post(
            #"{"symbol":"FC","steps":5,"paths":1000,"seed":"7","lookback":"3d","sample_paths":2,"price":"close"}"#)
        #expect(made.status == 201, "\(made.text)")
        let location = try #require(made.fields["location"])
        let read = try await get(location)
        #expect(read.status == 200, "\(read.text)")
        // What was answered at once is what was kept, but for the clock's and the maker's spelling.
        #expect(made.text == read.text)
        #expect(read.text.hasPrefix("{\"forecasts\":[{") && read.text.hasSuffix("]}],\"next_page_token\":null}\n"))
        #expect(try await get(location + "?format=json").text == read.text)
        #expect(try await get(location + "?format=csv").status == 400)
        #expect(made.text.contains(#""seed":"7","lookback":"3d","timeframe":"1h","price":"close""#))
        #expect(made.text.matches(of: /"step":\d/).count == 5 && made.text.matches(of: /"path":\d/).count == 2)
        #expect(made.text.matches(of: /"bin":\d/).count == 50)
        let list = try await get("/api/v1/forecasts?symbol=FC")
        #expect(list.text.contains(#""symbol":"FC","#) && list.text.hasSuffix("\"next_page_token\":null}\n"))
        // The same seed, the same numbers; nothing is kept.
        let again = try await post(
            #"{"symbol":"FC","steps":5,"paths":1000,"seed":7,"lookback":"3d","sample_paths":2,"price":"close","store":false}"#
        )
        #expect(again.status == 200 && again.fields["location"] == nil)
        #expect(again.text.contains("\"forecast_id\":null"))
        let fan = { (text: String) in text.firstMatch(of: /"fan":.*/)?.0 }
        #expect(fan(again.text) == fan(made.text))
    }

    @Test func `a forecast of 10,000 paths and 252 steps takes well under a second`() async throws {
        let reply = try await post(
            #"{"symbol":"FC","horizon":"252h","paths":10000,"drift":0.1,"volatility":0.4,"store":false}"#)
        // A bound on time only tells an answer from a hang: debug builds are slow.
        #expect(reply.status == 200 && reply.text.contains(#""lookback":null"#) && reply.text.contains(#""drift":0.1"#))
    }

    @Test(arguments: [
        ("{", 400, "invalid_json"), ("[]", 400, "invalid_json"), ("{}", 400, "missing_parameter"),
        (#"{"symbol":"FC","pathes":3}"#, 400, "unknown_parameter"),
        (#"{"symbol":"FC","paths":1}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","paths":"many"}"#, 400, "invalid_parameter"), (#"{"symbol":7}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","timeframe":"2h"}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","steps":2,"horizon":"2h"}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","horizon":"90m"}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","horizon":"10001h"}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","lookback":"1y"}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","steps":10000,"paths":10001}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","antithetic":true,"paths":11}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","time_base":"trading"}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","drift":5e9}"#, 400, "invalid_parameter"),
        (#"{"symbol":"FC","seed":-1}"#, 400, "invalid_parameter"), (#"{"symbol":"a  b"}"#, 400, "invalid_parameter"),
        (#"{"symbol":"UNKNOWN"}"#, 404, "not_found"), (#"{"symbol":"FC","lookback":"1h"}"#, 422, "insufficient_data"),
    ])
    func `what cannot be forecast is refused with a reason`(body: String, status: Int, code: String) async throws {
        let reply = try await post(body)
        #expect(reply.status == status && reply.text.hasPrefix("{\"code\":\"\(code)\""), "\(reply.text)")
    }

    @Test func `a forecast is asked for in JSON that says so, as no page of another origin can without asking`()
        async throws
    {
        let address = try await Self.served.value.address
        let body = #"{"symbol":"FC","paths":10,"store":false}"#
        func status(_ type: String?, _ body: String?) throws -> Int {
            try address.request(
                "/api/v1/forecasts", method: "POST", headers: type.map { ["Content-Type: \($0)"] } ?? [], body: body
            ).status
        }
        for type in [
            nil, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "image/png",
            "text/plain; application/json", "application/json; charset=utf-16",
        ] { #expect(try status(type, body) == 415, "\(type ?? "none")") }
        #expect(try status("application/json", nil) == 411)
        for type in ["application/json", "Application/JSON; charset=\"UTF-8\""] {
            #expect(try status(type, body) == 200)
        }
    }

    @Test func `where nothing can be kept, a forecast is answered all the same`() async throws {
        let shared = try await TestServer.shared.value
        let loop = try EventLoop(name: "forecast")
        loop.start()
        let (server, address) = try await TestServer.serve(shared.readerURL) {
            $0.forecasts = ForecastDesk(loop: loop, writer: nil)
        }
        func post(_ body: String) throws -> Reply {
            try address.request(
                "/api/v1/forecasts", method: "POST", headers: ["Content-Type: application/json"], body: body)
        }
        #expect(try post(#"{"symbol":"FC","paths":10}"#).status == 200)
        #expect(try post(#"{"symbol":"FC","paths":10,"store":true}"#).status == 422)
        await server.shutdown(deadline: .seconds(1))
        loop.stop()
    }

    @Test func `other methods and other numbers are refused`() async throws {
        let address = try await Self.served.value.address
        #expect(try address.request("/api/v1/posts", method: "POST", body: "x").status == 405)
        #expect(try address.request("/api/v1/forecasts", method: "DELETE").status == 405)
        #expect(try await get("/api/v1/forecasts/0").status == 404)
        #expect(try await get("/api/v1/forecasts/x").status == 404)
        #expect(try await get("/api/v1/forecasts/999999").text.contains("there is no forecast 999999"))
    }
}
