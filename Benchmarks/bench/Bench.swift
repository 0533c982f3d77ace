// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// Benchmarks: each prints what it compares side by side, measured in turn in one run, and the ratio.
@main
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure Tapedeck beside what it is compared with.",
        subcommands: [
            PipelineBench.self, LatencyBench.self, HTTPServerProgram.self, WebSocketLoadProgram.self,
            SmallQueryBench.self, RowsBench.self, StreamBench.self, PagesBench.self, CrowdBench.self,
            LiveBench.self, MixedBench.self, AnalyticsBench.self, SimulateBench.self, FinnhubBench.self,
            AllBenches.self,
        ],
        defaultSubcommand: PipelineBench.self)
}

/// What `make bench` runs: everything that needs nothing but this package and PostgreSQL.
struct AllBenches: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "all", abstract: "Every benchmark that needs no peer.")

    func run() async throws {
        for bench: any AsyncParsableCommand.Type in [
            PipelineBench.self, LatencyBench.self, SmallQueryBench.self, RowsBench.self, StreamBench.self,
            PagesBench.self,
            CrowdBench.self, MixedBench.self, LiveBench.self, SimulateBench.self, FinnhubBench.self,
        ] {
            print("\n== \(bench.configuration.commandName ?? "")")
            var command = try bench.parse([])
            try await command.run()
        }
    }
}
