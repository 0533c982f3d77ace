// SPDX-License-Identifier: Apache-2.0

import Ingest
import Testing

@testable import Tapedeck

struct SourceSpecTests {
    static let good: [(String, Replay.Settings)] = [
        ("replay:a.csv", .init(path: "a.csv")),
        ("replay:-", .init(path: "-")),
        ("replay:/x/y z.csv.gz", .init(path: "/x/y z.csv.gz")),
        ("replay:c:\\a.csv", .init(path: "c:\\a.csv")),
        ("replay:a?", .init(path: "a")),
        ("replay:a?speed=1", .init(path: "a")),
        ("replay:a?speed=60", .init(path: "a", speed: 60)),
        ("replay:a?speed=0.5", .init(path: "a", speed: 0.5)),
        ("replay:a?speed=max", .init(path: "a", speed: nil)),
        ("replay:a?symbol=AAPL", .init(path: "a", symbol: "AAPL")),
        ("replay:a?symbol=IC MARKETS:1", .init(path: "a", symbol: "IC MARKETS:1")),
        ("replay:a?symbol=EURUSD=X", .init(path: "a", symbol: "EURUSD=X")),
        ("replay:a?max_pause=500ms", .init(path: "a", longestPause: .milliseconds(500))),
        (
            "replay:a.csv?speed=max&symbol=B&max_pause=1h&",
            .init(path: "a.csv", speed: nil, symbol: "B", longestPause: .seconds(3600))
        ),
        ("replay:a?shift=now", .init(path: "a", isAsOfNow: true)),
        ("replay:a?shift=now&loop=3", .init(path: "a", isAsOfNow: true, rounds: 3)),
        ("replay:a?loop=forever&shift=now&speed=10", .init(path: "a", speed: 10, isAsOfNow: true, rounds: nil)),
        // A path may hold a question mark: the last one begins the parameters.
        ("replay:what?.csv?speed=2", .init(path: "what?.csv", speed: 2)),
    ]

    @Test func `a source names what to read and how`() throws {
        for (text, settings) in Self.good {
            #expect(try SourceSpec(text) == .replay(settings), "\(text)")
        }
    }

    static let bad: [(String, String)] = [
        (
            "",
            "source '' is not known; allowed: replay:FILE[?speed=…&symbol=…], simulate[?rate=…], finnhub, finnhub-rest, yahoo, reddit"
        ),
        (
            "a.csv",
            "source 'a.csv' is not known; allowed: replay:FILE[?speed=…&symbol=…], simulate[?rate=…], finnhub, finnhub-rest, yahoo, reddit"
        ),
        (
            "REPLAY:a",
            "source 'REPLAY:a' is not known; allowed: replay:FILE[?speed=…&symbol=…], simulate[?rate=…], finnhub, finnhub-rest, yahoo, reddit"
        ),
        (
            "nasdaq:x",
            "source 'nasdaq:x' is not known; allowed: replay:FILE[?speed=…&symbol=…], simulate[?rate=…], finnhub, finnhub-rest, yahoo, reddit"
        ),
        ("replay:", "source 'replay:' names no file"), ("replay:?speed=1", "source 'replay:?speed=1' names no file"),
        ("replay:a?speed=0", "source 'replay:a?speed=0': speed is '0'; allowed: a number above 0, or max"),
        ("replay:a?speed=-1", "source 'replay:a?speed=-1': speed is '-1'; allowed: a number above 0, or max"),
        ("replay:a?speed=nan", "source 'replay:a?speed=nan': speed is 'nan'; allowed: a number above 0, or max"),
        ("replay:a?speed=inf", "source 'replay:a?speed=inf': speed is 'inf'; allowed: a number above 0, or max"),
        ("replay:a?speed=", "source 'replay:a?speed=': speed is ''; allowed: a number above 0, or max"),
        ("replay:a?speed", "source 'replay:a?speed': speed is ''; allowed: a number above 0, or max"),
        ("replay:a?symbol=", "source 'replay:a?symbol=': symbol has no value"),
        ("replay:a?max_pause=5", "source 'replay:a?max_pause=5': max_pause is '5'; allowed: a time such as 500ms"),
        (
            "replay:a?sped=1",
            "source 'replay:a?sped=1': parameter 'sped=1' is not known; allowed: speed, symbol, max_pause, shift, loop"
        ),
        (
            "replay:a?=1",
            "source 'replay:a?=1': parameter '=1' is not known; allowed: speed, symbol, max_pause, shift, loop"
        ),
        ("replay:a?shift=1h", "source 'replay:a?shift=1h': shift is '1h'; allowed: now"),
        (
            "replay:a?shift=now&loop=0",
            "source 'replay:a?shift=now&loop=0': loop is '0'; allowed: a number of rounds from 1, or forever"
        ),
        (
            "replay:a?shift=now&loop",
            "source 'replay:a?shift=now&loop': loop is ''; allowed: a number of rounds from 1, or forever"
        ),
        (
            "replay:a?loop=2",
            "source 'replay:a?loop=2': loop needs shift=now, because trades of the same times are there already"
        ),
        (
            "simulated",
            "source 'simulated' is not known; allowed: replay:FILE[?speed=…&symbol=…], simulate[?rate=…], finnhub, finnhub-rest, yahoo, reddit"
        ),
        ("simulate:x", "source 'simulate:x': 'x' is not known; parameters follow a question mark"),
        ("simulate?rate=0", "source 'simulate?rate=0': rate is '0'; allowed: 1 to 500000"),
        ("simulate?rate=500001", "source 'simulate?rate=500001': rate is '500001'; allowed: 1 to 500000"),
        ("simulate?symbols=1.5", "source 'simulate?symbols=1.5': symbols is '1.5'; allowed: 1 to 10000"),
        ("simulate?seed=-1", "source 'simulate?seed=-1': seed is '-1'; allowed: 0 to 18446744073709551615"),
        ("simulate?volatility=nan", "source 'simulate?volatility=nan': volatility is 'nan'; allowed: 0.0 to 5.0"),
        ("simulate?correlation=1.1", "source 'simulate?correlation=1.1': correlation is '1.1'; allowed: 0.0 to 1.0"),
        (
            "simulate?duration=0s",
            "source 'simulate?duration=0s': duration is '0s'; allowed: a time such as 500ms or 1h"
        ),
        (
            "simulate?rates=5",
            "source 'simulate?rates=5': parameter 'rates=5' is not known; "
                + "allowed: rate, symbols, seed, volatility, correlation, duration"
        ),
    ]

    @Test func `a simulation has defaults, and takes what it is told`() throws {
        for text in ["simulate", "simulate:", "simulate?", "simulate:?"] {
            #expect(try SourceSpec(text) == .simulate(.init()), "\(text)")
        }
        var settings = SimulatedMarket.Settings()
        settings.rate = 500_000
        settings.symbols = 10_000
        settings.seed = .max
        settings.volatility = 0.2
        settings.correlation = 1
        settings.duration = .seconds(3600)
        let text =
            "simulate?rate=500000&symbols=10000&seed=18446744073709551615&volatility=0.2&correlation=1&duration=1h"
        #expect(try SourceSpec(text) == .simulate(settings))
    }

    @Test(arguments: bad)
    func `a source that is wrong is told with what is allowed`(text: String, expected: String) {
        let error = #expect(throws: SettingsError.self) { _ = try SourceSpec(text) }
        #expect(error?.message == expected)
    }
}
