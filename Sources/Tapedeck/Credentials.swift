// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A file of keys and passwords in sections, as in `[FINNHUB]` and `FINNHUB_TOKEN = …`.
struct Credentials {
    private var values: [String: String] = [:]

    /// Reads the file that the settings name; without one, `credentials.ini` in the working folder, if it is there.
    static func read(_ settings: Settings) throws -> Credentials? {
        if let path = settings.text(.credentials) { return try Credentials(TextFile.read(path), name: path) }
        let path = "credentials.ini"
        return access(path, R_OK) == 0 ? try Credentials(TextFile.read(path), name: path) : nil
    }

    /// - Parameter name: of the file, for messages, which never repeat a line.
    init(_ text: String, name: String) throws(SettingsError) {
        var section = ""
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = Self.trimmed(line)
            if line.isEmpty || line.hasPrefix("#") || line.hasPrefix(";") { continue }
            if line.hasPrefix("[") && line.hasSuffix("]") {
                section = Self.trimmed(line.dropFirst().dropLast()).lowercased()
                continue
            }
            guard let equals = line.firstIndex(where: { $0 == "=" || $0 == ":" }), equals != line.startIndex else {
                throw SettingsError(message: "\(name):\(number + 1): not of the form NAME = VALUE")
            }
            let key = Self.trimmed(line[..<equals]).lowercased()
            values["\(section)/\(key)"] = String(Self.trimmed(line[line.index(after: equals)...]))
        }
    }

    /// The value of a key in a section; both in any case.
    subscript(section: String, key: String) -> String? { values["\(section.lowercased())/\(key.lowercased())"] }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0.isWhitespace || $0 == "\u{FEFF}" }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
