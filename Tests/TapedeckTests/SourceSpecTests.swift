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
        // A path may hold a question mark: the last one begins the parameters.
        ("replay:what?.csv?speed=2", .init(path: "what?.csv", speed: 2)),
    ]

    @Test func `a source names what to read and how`() throws {
        for (text, settings) in Self.good {
            #expect(try SourceSpec(text) == .replay(settings), "\(text)")
        }
    }

    static let bad: [(String, String)] = [
        ("", "source '' is not known; allowed: replay:FILE[?speed=…&symbol=…]"),
        ("a.csv", "source 'a.csv' is not known; allowed: replay:FILE[?speed=…&symbol=…]"),
        ("REPLAY:a", "source 'REPLAY:a' is not known; allowed: replay:FILE[?speed=…&symbol=…]"),
        ("nasdaq:x", "source 'nasdaq:x' is not known; allowed: replay:FILE[?speed=…&symbol=…]"),
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
            "source 'replay:a?sped=1': parameter 'sped=1' is not known; allowed: speed, symbol, max_pause"
        ),
        ("replay:a?=1", "source 'replay:a?=1': parameter '=1' is not known; allowed: speed, symbol, max_pause"),
    ]

    @Test(arguments: bad)
    func `a source that is wrong is told with what is allowed`(text: String, expected: String) {
        let error = #expect(throws: SettingsError.self) { _ = try SourceSpec(text) }
        #expect(error?.message == expected)
    }
}
