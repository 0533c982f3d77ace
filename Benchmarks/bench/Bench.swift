// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// Benchmarks: each prints what it compares side by side, measured in turn in one run, and the ratio.
@main
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure Tapedeck beside what it is compared with.",
        subcommands: [
            PipelineBench.self, LatencyBench.self, HTTPServerProgram.self, WebSocketLoadProgram.self,
            SmallQueryBench.self, PagesBench.self, AnalyticsBench.self,
        ],
        defaultSubcommand: PipelineBench.self)
}
