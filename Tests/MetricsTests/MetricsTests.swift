// SPDX-License-Identifier: Apache-2.0

@testable import Metrics
import Synchronization
import Testing

private func text(_ registry: MetricsRegistry) async -> String {
    String(decoding: await registry.scrape(), as: UTF8.self)
}

struct ExpositionTests {
    @Test func `a scrape is families by name, each with its help, its type and its series in order`() async {
        let registry = MetricsRegistry()
        registry.gauge("b_bytes", "How much.").set(1.5)
        let requests = registry.counters("a_total", "How many.", labels: ["route", "status"])
        requests["/b", "200"].add(2)
        requests["/a", "404"].add()
        requests["/b", "200"].add()
        #expect(
            await text(registry) == """
                # HELP a_total How many.
                # TYPE a_total counter
                a_total{route="/a",status="404"} 1
                a_total{route="/b",status="200"} 3
                # HELP b_bytes How much.
                # TYPE b_bytes gauge
                b_bytes 1.5

                """)
    }

    @Test func `backslashes, line feeds and quotes are escaped`() async {
        let registry = MetricsRegistry()
        registry.counters("a_total", "back\\slash\n\"quoted\"", labels: ["x"])["a\\b\n\"c\" é"].add()
        let lines = await text(registry).split(separator: "\n")
        #expect(lines[0] == #"# HELP a_total back\\slash\n"quoted""#)
        #expect(lines[2] == #"a_total{x="a\\b\n\"c\" é"} 1"#)
    }

    @Test(
        arguments: [
            (.nan, "NaN"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (0, "0.0"), (1e-5, "1e-05"), (-2.5, "-2.5"),
        ] as [(Double, String)])
    func `numbers are written as Go reads them`(value: Double, expected: String) async {
        let registry = MetricsRegistry()
        registry.gauge("a", "A.").set(value)
        #expect(await text(registry).hasSuffix("\na \(expected)\n"))
    }

    @Test func `collectors run before each scrape`() async {
        let registry = MetricsRegistry()
        let gauge = registry.gauge("a", "A.")
        registry.beforeScrape { gauge.set(gauge.value + 1) }
        _ = await registry.scrape()
        #expect(await text(registry).hasSuffix("\na 2.0\n"))
    }
}

struct HistogramTests {
    @Test func `a value at a bound belongs to its bucket, and one above the last bound to the bucket without one`()
        async
    {
        let registry = MetricsRegistry()
        let histogram = registry.histogram("h_seconds", "H.", .durations(from: .milliseconds(1), to: .milliseconds(5)))
        for microseconds in [999, 1000, 1001, 2500, 5000, 5001, 1_000_000] {
            histogram.observe(.microseconds(microseconds))
        }
        #expect(
            await text(registry) == """
                # HELP h_seconds H.
                # TYPE h_seconds histogram
                h_seconds_bucket{le="0.001"} 2
                h_seconds_bucket{le="0.0025"} 4
                h_seconds_bucket{le="0.005"} 5
                h_seconds_bucket{le="+Inf"} 7
                h_seconds_sum 1.015501
                h_seconds_count 7

                """)
    }

    @Test func `sizes go in powers of four, beside other labels`() async {
        let registry = MetricsRegistry()
        let histograms = registry.histograms("h", "H.", .sizes(to: 16), labels: ["x"])
        histograms["a"].observe(3)
        let lines = await text(registry).split(separator: "\n").dropFirst(2)
        #expect(
            lines == [
                #"h_bucket{x="a",le="1.0"} 0"#, #"h_bucket{x="a",le="4.0"} 1"#, #"h_bucket{x="a",le="16.0"} 1"#,
                #"h_bucket{x="a",le="+Inf"} 1"#, #"h_sum{x="a"} 3.0"#, #"h_count{x="a"} 1"#,
            ])
    }

    @Test func `no observation is lost between threads`() async {
        let registry = MetricsRegistry()
        let histogram = registry.histogram("h", "H.", .sizes(to: 4))
        let counter = registry.counter("c_total", "C.")
        await withDiscardingTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for value in 0..<10_000 {
                        histogram.observe(value & 7)
                        counter.add()
                    }
                }
            }
        }
        #expect(histogram.count == 80_000)
        #expect(counter.value == 80_000)
    }
}

struct FamilyTests {
    @Test func `beyond its limit a family counts in one series called other`() async {
        let registry = MetricsRegistry()
        let family = registry.counters("a_total", "A.", labels: ["x", "y"], limit: 2)
        for (x, y) in [("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"), ("1", "1")] { family[x, y].add() }
        let lines = await text(registry).split(separator: "\n").dropFirst(2)
        #expect(lines == [#"a_total{x="1",y="1"} 2"#, #"a_total{x="2",y="2"} 1"#, #"a_total{x="other",y="other"} 2"#])
        family.removeAll()
        #expect(await text(registry).split(separator: "\n").count == 2)
    }

    @Test func `the same name again is the same metric`() {
        let registry = MetricsRegistry()
        registry.counter("a_total", "A.").add()
        #expect(registry.counter("a_total", "A.").value == 1)
        #expect(registry.gauges("g", "G.", labels: ["x"])["1"] === registry.gauges("g", "G.", labels: ["x"])["1"])
    }

    @Test func `a process tells of itself`() async {
        let registry = MetricsRegistry()
        registry.addProcessMetrics(version: "1.2.3")
        let text = await text(registry)
        #expect(text.contains("tapedeck_build_info{version=\"1.2.3\"} 1.0"))
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
            let value = line?.split(separator: " ").last.flatMap { Double($0) }
            #expect(value ?? 0 > 0, "\(name)")
        }
    }
}
