// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import Postgres
import Store

/// `tapedeck doctor`: whether the walls around the reader stand.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check what tapedeck_reader can do beyond reading; exit status 1 if anything is found.",
        discussion: "The private PostgreSQL is put right at each start. A server of yours needs a superuser once.")

    @OptionGroup var flags: SettingFlags
    @Flag(help: "Print the SQL that puts it right, for a superuser in the database of Tapedeck.") var sql = false

    func run() async throws {
        if sql { return print(Hardening.superuserScript + ";") }
        let settings = try flags.resolve()
        var url = settings.text(.readerURL)
        if url == nil, settings.text(.databaseURL) == nil {
            url = try DataFolder(settings.string(.dataDir)).readConnections()?["TAPEDECK_READER_URL"]
        }
        guard let url else {
            throw ValidationError("no reader to look at: set TAPEDECK_READER_URL, or start 'tapedeck up' on the folder")
        }
        let findings = try await Self.findings(url)
        for finding in findings { print("missing: \(finding.what)\n    \(finding.remedy)") }
        if !findings.isEmpty { throw ExitCode(1) }
        print("the reader can only read")
    }

    private static func findings(_ url: String) async throws -> [Hardening.Finding] {
        let loop = try EventLoop(name: "doctor")
        loop.start()
        let work = Task(executorPreference: loop) {
            let reader = try await PostgresConnection.connect(
                ConnectionSettings(url, applicationName: "tapedeck doctor", sessionParameters: [:]), on: loop)
            defer { reader.close() }
            return try await Hardening.findings(reader)
        }
        return try await work.value
    }
}
