// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Store

/// `tapedeck doctor`: whether everything that the program needs is there and well.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check every dependency and setting, and say what to do; exit status 1 if anything fails.",
        discussion: """
            It changes nothing. It looks at the settings and the machine, PostgreSQL and its schema, what tapedeck_reader can \
            do beyond reading, a replica's lag, the log and its topics, sources and jobs. The private PostgreSQL is put right \
            at each start; a server of yours needs a superuser once, with what --sql prints.
            """)

    @OptionGroup var flags: SettingFlags
    @Flag(help: "Print the SQL that puts the reader's rights right, for a superuser in the database of Tapedeck.")
    var sql = false
    @Flag(help: "One JSON array, for programs.") var json = false

    func run() async throws {
        if sql { return print(Hardening.superuserScript + ";") }
        var examination = Examination(try flags.resolve())
        await examination.run()
        if json {
            print("[\(examination.diagnoses.map(\.json).joined(separator: ","))]")
        } else {
            for diagnosis in examination.diagnoses { print(diagnosis.text) }
        }
        if examination.diagnoses.contains(where: { $0.verdict == .failure }) { throw ExitCode(1) }
    }
}

extension Diagnosis {
    fileprivate var text: String {
        let line = "\(verdict.rawValue)  \(subject): \(finding)"
        return remedy.map { "\(line)\n    do: \($0)" } ?? line
    }

    fileprivate var json: String {
        "{\"subject\":\(jsonText(subject)),\"verdict\":\"\(verdict.rawValue)\",\"finding\":\(jsonText(finding)),"
            + "\"remedy\":\(remedy.map { jsonText($0) } ?? "null")}"
    }
}
