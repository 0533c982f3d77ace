// SPDX-License-Identifier: Apache-2.0

import HTTP
import Market
import Postgres
import Testing

@testable import QueryServer

private let noon = Timestamp(microseconds: 1_704_110_400_000_000)

private func panel(_ kind: PanelKind, _ query: String) throws -> Panel {
    try Panel(kind, try QueryParameters(Array(query.utf8)[...]), now: noon, testConfiguration)
}

private func series(_ query: String) throws -> SeriesRequest {
    try SeriesRequest(try QueryParameters(Array(query.utf8)[...]), now: noon, testConfiguration)
}

private func refusal<T>(_ body: () throws -> T) -> QueryError? {
    do {
        _ = try body()
        return nil
    } catch { return error as? QueryError }
}

struct PanelTests {
    @Test(arguments: [
        "A,B", "{A,B}", "(A|B)", "A, B,A", "A|B", "'A','B'", "'A', 'B'", "\"A\",\"B\"", "[\"A\",\"B\"]", "{A,,B}",
    ])
    func `symbols come in any of Grafana's lists`(_ text: String) throws {
        let encoded = text.replacing(" ", with: "%20").replacing("|", with: "%7C")
        #expect(try series("symbols=\(encoded)").symbols == ["A", "B"])
    }

    @Test func `what is special in a regular expression is not part of a symbol`() throws {
        #expect(try series(#"symbols=(BRK\.B|BTC\/USD)"#).symbols == ["BRK.B", "BTC/USD"])
        // Of one value Grafana writes no parentheses.
        #expect(try series(#"symbols=BRK\.B"#).symbols == ["BRK.B"])
        #expect(try series(#"symbol=KRAKEN:XMR\/USD"#).symbols == ["KRAKEN:XMR/USD"])
        // What is escaped, or could not stand between values, is part of one.
        #expect(try series(#"symbols=A\|B"#).symbols == ["A|B"])
        #expect(try series("symbols={A|B,C}").symbols == ["A|B", "C"])
        #expect(try series("symbols='A|B'").symbols == ["A|B"])
        #expect(try series(#"symbols=["A|B"]"#).symbols == ["A|B"])
        #expect(try series("symbols=['A']").symbols == ["A"])
        #expect(try series("symbol=$__all").symbols == nil)
        #expect(try series("symbols=A,$__all").symbols == nil)
        #expect(try series("symbols=$__all,A").symbols == nil)
        #expect(try series("symbol=$SPX").symbols == ["$SPX"])
    }

    @Test(arguments: [
        "interval=$__interval", "intervalMs=${__interval_ms}", "from=${__from}&to=${__to:date:iso}",
        "maxDataPoints=$__x",
    ])
    func `macros that nobody replaced are as if they were not there`(_ text: String) throws {
        let request = try series("symbol=A&\(text)")
        #expect(request.range == TimeRange() && request.interval.name == "1m" && request.points == 1000)
    }

    @Test func `a variable that nobody replaced is named`() {
        let refused = refusal { try series("symbol=${symbol}") }
        #expect(refused?.code == "unreplaced_variable" && refused?.message.contains("${symbol}") == true)
        #expect(refusal { try panel(.table, "name=trades&symbol=$ticker") }?.code == "unreplaced_variable")
    }

    @Test func `sums have wider steps, and lines have more to choose from`() throws {
        let day = "symbol=A&from=now-1d&to=now&maxDataPoints=100"
        #expect(try series("\(day)&field=volume").interval.name == "15m")
        #expect(try series("\(day)&field=close").interval.name == "2m")
        #expect(try series("\(day)&field=price").interval.name == "30m")
        #expect(try series("\(day)&field=rsi_14").interval.name == "15m")
        #expect(try series("\(day)&field=mean_sentiment").interval.name == "5m")
        // A range that cuts a step at both ends has one more of them.
        #expect(try series("symbol=A&from=now-601s&to=now-1s&maxDataPoints=10&field=volume").interval.name == "2m")
        #expect(try series("symbol=A&from=now-10m&to=now&maxDataPoints=10&field=volume").interval.name == "1m")
        // As many as the values of a reply allow.
        #expect(try series("symbol=A&fields=volume,close&from=now-1d&to=now&maxDataPoints=50000").interval.name == "5s")
        let many = (0..<100).map { "S\($0)" }.joined(separator: ",")
        #expect(
            try series("symbols=\(many)&fields=volume,close&from=now-1d&to=now&maxDataPoints=50000").interval.name
                == "1m")
        // A week of seconds would be read for a hundred points.
        #expect(try series("symbol=A&from=now-7d&interval=1s&maxDataPoints=100").interval.name == "15s")
        #expect(try series("symbol=A&from=now-1h&interval=1s&maxDataPoints=100").interval.name == "1s")
    }

    @Test func `means are of whole minutes`() throws {
        let day = "symbol=A&field=mean_close&from=now-1d&to=now"
        #expect(try series("\(day)&interval=30m").interval.name == "30m")
        #expect(try series("\(day)&interval=1s").interval.name == "1m")
        #expect(try series("\(day)&interval=90s").interval.name == "2m")
        #expect(try series("\(day)&interval=1M").interval.name == "1M")
        // Numbers are minutes where they can be, else the milliseconds that Grafana computes.
        for (text, name) in [
            ("15", "15m"), ("30", "30m"), ("60", "1h"), ("240", "4h"), ("1440", "1d"), ("10080", "7d"), ("50", "1m"),
            ("500", "1m"),
            ("120000", "2m"), ("3600000", "1h"), ("86400000", "1d"),
        ] {
            #expect(try series("\(day)&interval=\(text)").interval.name == name, "\(text)")
        }
        #expect(try series("\(day)&maxDataPoints=100000").interval.name == "1m")
        #expect(try series("symbol=A&field=mean_close&interval=1s").interval.name == "1m")
        // No more steps than may be read.
        #expect(try series("symbol=A&field=mean_close&from=now-400d&interval=1m").interval.name == "10m")
        #expect(try series("\(day)&interval=1d&maxDataPoints=10").rows == 14_400)
    }

    @Test func `what is stored in few widths takes the next wider of them`() throws {
        for (asked, indicator, opinion) in [
            ("interval=30s", "1m", "1m"), ("interval=30m", "1h", "1h"), ("interval=2h", "1d", "1d"),
            ("interval=5s", "5s", "1m"),
            ("interval=1w", "1d", "1d"), ("intervalMs=30000", "1m", "1m"), ("interval=7200000", "1d", "1d"),
        ] {
            let range = "symbol=A&from=now-1h&to=now&\(asked)"
            #expect(try series("\(range)&field=sma_20").interval.name == indicator, "\(asked)")
            #expect(try series("\(range)&field=mean_sentiment").interval.name == opinion, "\(asked)")
        }
        // Lines stay what was asked for over any range, only sums come in steps that fit.
        let year = "symbol=A&from=now-365d&to=now"
        #expect(try series("\(year)&interval=1m&field=sma_20").interval.name == "1m")
        #expect(try series("symbol=A&from=0&to=now&interval=1h&field=mean_sentiment").interval.name == "1h")
        #expect(try series("\(year)&interval=1m&field=post_count").interval.name == "1d")
        // However few points are wanted of all that there is, all of it is read.
        #expect(try series("symbol=A&field=rsi_14&interval=1m&maxDataPoints=1").rows == SeriesRequest.readLimit)
    }

    @Test func `a step that fits stays as it is`() throws {
        // 960 steps of 45 minutes, 30,528 of 25.
        let month = "from=now-30d&to=now&interval=45m&maxDataPoints"
        guard case .candles(let fitting) = try panel(.candles, "symbol=A&\(month)=1000"),
            case .candles(let merged) = try panel(.candles, "symbol=A&\(month)=900")
        else {
            Issue.record("no candles")
            return
        }
        #expect(fitting.interval.name == "45m" && merged.interval.name == "1h")
        #expect(try series("symbol=A&field=volume&\(month)=1000").interval.name == "45m")
        #expect(try series("symbol=A&field=volume&\(month)=900").interval.name == "1h")
    }

    @Test func `a range without a beginning has the steps of all that there is`() throws {
        let (first, end) = (Timestamp(microseconds: noon.microseconds - 86_400_000_000), noon)
        for (asked, interval) in [
            ("field=volume&maxDataPoints=100", "15m"), ("field=volume&interval=1m&maxDataPoints=100", "15m"),
            ("field=close&interval=1m&maxDataPoints=100", "1m"), ("field=price&maxDataPoints=100", "30m"),
            ("field=mean_close&interval=1h", "1h"), ("field=rsi_14&maxDataPoints=100", "15m"),
        ] {
            let all = try series("symbol=A&\(asked)").beginning(first, end: end)
            #expect(all.interval.name == interval, "\(asked)")
            if all.source == .prices {
                #expect(all.range.from == first && all.range.to == end)
            } else {
                #expect(all.range.from == all.interval.start(of: first) && all.range.to == nil)
            }
        }
        #expect(try series("symbol=A&field=mean_close").rows == SeriesRequest.readLimit)
    }

    @Test func `a comparison has bars of which the range has enough`() throws {
        for (query, widest) in [
            ("from=now-6h", Timeframe.minute5), ("from=now-30d", .day1), ("from=now-29d", .hour1),
            ("from=now-10s", .second1),
            ("", .day1), ("from=now-6h&timeframe=1m", .minute1), ("from=now-6h&timeframe=1d", .day1),
        ] {
            guard case .table(let table) = try panel(.table, "name=comparison&\(query)") else {
                Issue.record("no table")
                return
            }
            #expect(table.widest == widest, "\(query)")
            var retention = Retention()
            retention.fineBars = noon
            #expect(table.kept(retention).widest == max(widest, .minute1))
        }
    }

    @Test func `fields are of one table and known`() {
        #expect(refusal { try series("symbol=A&field=closs") }?.hint == "Perhaps you meant \"close\".")
        #expect(refusal { try series("symbol=A&fields=close,rsi_14") }?.code == "invalid_parameter")
        #expect(refusal { try series("symbol=A&fields=close,mean_close") }?.code == "invalid_parameter")
        #expect(refusal { try series("field=close") }?.code == "missing_parameter")
        #expect(refusal { try panel(.table, "") }?.code == "missing_parameter")
        #expect(refusal { try panel(.table, "name=mention") }?.hint == "Perhaps you meant \"mentions\".")
        #expect(refusal { try panel(.last, "symbl=A") }?.code == "unknown_parameter")
        for (kind, query) in [(PanelKind.candles, ""), (.table, "name=trades&")] {
            let none = refusal { try panel(kind, query) }
            #expect(none?.message == "parameter \"symbol\" is missing")
            let all = refusal { try panel(kind, "\(query)symbols=.*") }
            #expect(all?.message == "invalid value for parameter \"symbols\": \".*\"")
        }
    }

    @Test(arguments: GrafanaTable.tables + [.last, .symbols, .annotations, .logs])
    func `each table has its columns and its places`(_ table: GrafanaTable) throws {
        for symbols in [nil, ["A", "B"]] as [[String]?] where symbols != nil || !table.needsSymbol {
            let query = symbols == nil || !table.isOfSymbols ? "limit=5" : "limit=5&symbols=A,B"
            let reader = try ParameterReader(
                try QueryParameters(Array(query.utf8)[...]), known: table.parameters)
            let step = try TablePanel(table, reader, now: noon, testConfiguration).step
            let places = step.statement.sql.matches(of: #/\$(\d+)/#).compactMap { Int($0.output.1) }
            #expect(Set(places) == Set(1...step.parameters.count))
            #expect(!step.statement.sql.replacing("'{}'", with: "").contains("{"))
        }
        #expect(Set(table.columns.map(\.name)).count == table.columns.count)
    }

    // MARK: Fewer points

    @Test func `no spike is lost between the lowest and the highest of each span`() {
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0 ... .max, using: &generator)
        var random = SplitMix(seed)
        for count in [3, 4, 10, 101] {
            var time: Int64 = 1_704_110_400_000_000
            var times: [Int64] = []
            var values: [Double] = []
            for _ in 0..<2000 {
                time += Int64(random.next() % 5_000_000)
                times.append(time)
                values.append(Double(random.next() % 1000))
            }
            let places = Downsampling.minmax.places(times, values, count: count)
            #expect(places.count <= count && places == places.sorted(), "seed \(seed)")
            #expect(places.map { values[$0] }.max() == values.max(), "seed \(seed)")
            #expect(places.map { values[$0] }.min() == values.min(), "seed \(seed)")
            let triangles = Downsampling.lttb.places(times, values, count: count)
            #expect(triangles.count == count && triangles == Array(Set(triangles)).sorted(), "seed \(seed)")
            #expect(triangles.first == 0 && triangles.last == 1999, "seed \(seed)")
        }
    }

    @Test(arguments: Downsampling.allCases)
    func `few points stay as they are`(_ method: Downsampling) {
        #expect(method.places([1, 2, 3], [5, 1, 5], count: 3) == [0, 1, 2])
        #expect(method.places([], [], count: 3) == [])
        #expect(method == .none || method.places([1, 2, 3], [5, 1, 5], count: 2) == [1, 2])
    }

    @Test func `a spike is what three buckets keep`() {
        let values = (0..<100).map { $0 == 57 ? 1000.0 : Double($0 % 3) }
        let times = (0..<100).map(Int64.init)
        #expect(Downsampling.lttb.places(times, values, count: 10).contains(57))
        #expect(Downsampling.minmax.places(times, values, count: 10).contains(57))
    }

    @Test func `points without any value do not stay`() {
        var points = SeriesPoints(fields: 2)
        for index in 0..<50 {
            points.add(Int64(index), Array(repeating: index % 2 == 0 ? nil : Double(index), count: 2))
        }
        let fewer = points.fewer(.minmax, 10)
        #expect(fewer.times.count <= 10 && fewer.values[0].allSatisfy { $0 != nil })
        #expect(fewer.times == fewer.values[1].compactMap { $0.map(Int64.init) })
    }

    @Test(arguments: [Downsampling.lttb, .minmax], [1, 2, 3, 5, 20])
    func `points without a value of the first field stay for the others`(_ method: Downsampling, _ count: Int) {
        var (begins, never) = (SeriesPoints(fields: 3), SeriesPoints(fields: 2))
        for index in 0..<100 {
            begins.add(Int64(index), [index < 40 ? nil : 1, index < 20 ? nil : 2, index < 10 ? nil : Double(index)])
            never.add(Int64(index), [nil, Double(index)])
        }
        let fewer = begins.fewer(method, count)
        #expect(!fewer.times.isEmpty && fewer.times.count <= count && fewer.times == Array(Set(fewer.times)).sorted())
        #expect(fewer.times.allSatisfy { $0 >= 10 } && fewer.times == fewer.values[2].compactMap { $0.map(Int64.init) })
        if count == 20 { #expect(fewer.times.contains { $0 < 20 } && fewer.times.contains { (20..<40).contains($0) }) }
        let others = never.fewer(method, count)
        #expect(!others.times.isEmpty && others.values[0].allSatisfy { $0 == nil })
    }

    // MARK: Shapes

    private var frames: [Frame] {
        func frame(_ symbol: String, _ times: [Int64], _ values: [Double?]) -> Frame {
            Frame(
                symbol,
                [
                    .init(name: "time", values: .times(times)),
                    .init(name: "close", symbol: symbol, values: .numbers(values)),
                ], count: times.count)
        }
        return [frame("B", [1, 3], [0.5, nil]), frame("A", [1, 2], [7, 8])]
    }

    private func text(_ append: (inout [UInt8]) -> Void) -> String {
        var bytes: [UInt8] = []
        append(&bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `rows are long, wide, or frames`() {
        #expect(
            text { $0.appendRows(frames.long()) }
                == #"[{"time":1,"symbol":"B","close":0.5},{"time":1,"symbol":"A","close":7},"#
                + #"{"time":2,"symbol":"A","close":8},{"time":3,"symbol":"B","close":null}]"#)
        #expect(
            text { $0.appendRows(frames.wide()) }
                == #"[{"time":1,"B":0.5,"A":7},{"time":2,"B":null,"A":8},{"time":3,"B":null,"A":null}]"#)
        #expect(
            text { $0.appendFrames([frames[0]], refID: "Q") }
                == #"[{"name":"B","refId":"Q","length":2,"fields":[{"name":"time","type":"time","values":[1,3]},"#
                + #"{"name":"close","type":"number","labels":{"symbol":"B"},"values":[0.5,null]}]}]"#)
        #expect(text { $0.appendRows([Frame]().long()) } == "[]")
    }
}

/// Pseudo-random numbers of a seed that a failure can be repeated with (SplitMix64).
private struct SplitMix {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
