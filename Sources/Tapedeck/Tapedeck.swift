// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The `tapedeck` command: settings, wiring, subcommands.
@main
struct Tapedeck: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "tapedeck",
        abstract: "Records the market's tape, processes it as it runs, and plays it back over SQL and HTTP.",
        discussion: """
            Settings come from flags, else the environment, else .env in the working folder, else defaults. \
            'tapedeck settings' lists them all.
            """,
        version: version,
        subcommands: [
            UpCommand.self, LoadCommand.self, IngestCommand.self, ProcessCommand.self, ServeCommand.self,
            MigrateCommand.self, TopicsCommand.self, QueryCommand.self, StatusCommand.self, DoctorCommand.self,
            SettingsCommand.self, ForecastCommand.self, SentimentCommand.self, JobsCommand.self, KeysCommand.self,
            SymbolsCommand.self,
        ])

    static func main() async {
        await main(CommandLine.arguments.dropFirst().map { QueryCommand.beginsWithComment($0) ? " " + $0 : $0 })
    }
}
