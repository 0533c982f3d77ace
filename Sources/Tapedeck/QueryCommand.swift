// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CCurl
import Glibc

/// `tapedeck query "SQL"`: one statement through the query server.
struct QueryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query", abstract: "Run one SQL statement through the query server and print its rows.",
        discussion: "Where the server asks for a key, it is taken from \(Settings.apiKeyName).")

    enum Format: String, ExpressibleByArgument, CaseIterable { case table, csv, json, ndjson }

    @OptionGroup var flags: SettingFlags
    @Option(help: "How to print the rows.") var format = Format.table
    @Option(
        help:
            "The server's URL, http:// or https://; else the one that runs on the data folder, else TAPEDECK_LISTEN.")
    var server: String?
    @Argument(
        help: ArgumentHelp("The statement; without it a prompt, or statements from standard input.", valueName: "sql"))
    var sql: String?

    func run() async throws {
        let settings = try flags.resolve()
        let client = try QueryClient(
            base: try server ?? Self.address(settings, listen: flags.listen), authorities: settings.text(.tlsCA),
            key: settings.apiKey)
        guard let sql else {
            let isTyped = isatty(0) != 0 && isatty(1) != 0
            if !Prompt(client, format: format, isInteractive: isTyped).run() { throw ExitCode(1) }
            return
        }
        if format == .table {
            let text = TextTable(csv: try client.collect(sql, format: "csv")).text + "\n"
            if !writeAll(text.utf8, to: 1) {
                throw QueryFailure(
                    description: "standard output cannot be written: \(String(cString: strerror(errno)))")
            }
        } else {
            try client.stream(sql, format: format.rawValue) { writeAll($0, to: 1) }
        }
    }

    /// Whether an argument is a statement whose first line is a comment, and not an option: no option has a blank behind its
    /// dashes, or an end of line before its `=`.
    static func beginsWithComment(_ argument: String) -> Bool {
        guard argument.hasPrefix("--"), let first = argument.utf8.dropFirst(2).first(where: { $0 < 0x20 || $0 == 0x3D })
        else { return argument.hasPrefix("-- ") }
        return argument.hasPrefix("-- ") || first != 0x3D
    }

    private static func address(_ settings: Settings, listen: String?) throws -> String {
        let scheme = settings.text(.tlsCert) == nil ? "http" : "https"
        let file = settings.string(.dataDir) + "/connection.env"
        if access(file, R_OK) == 0, listen == nil,
            let listen = try Settings.parseDotEnv(try TextFile.read(file))["TAPEDECK_LISTEN"]
        {
            return "\(scheme)://\(listen)"
        }
        return "\(scheme)://\(settings.string(.listen))"
    }
}

/// Sends statements to a query server, by libcurl.
struct QueryClient {
    /// The server's URL.
    let base: String
    /// The file of the authorities whose word is taken for the server's certificate; nil for the system's.
    let authorities: String?
    /// What it shows to be let in.
    let key: String?

    init(base: String, authorities: String?, key: String?) throws {
        if let authorities, access(authorities, R_OK) != 0 {
            throw ValidationError("\(authorities) cannot be read: \(String(cString: strerror(errno)))")
        }
        // As browsers show it, with a slash at its end.
        self.base = base.hasSuffix("/") ? String(base.dropLast()) : base
        self.authorities = authorities
        if let key, !key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
            throw ValidationError("\(Settings.apiKeyName) holds what no key does")
        }
        self.key = key
    }

    private func request(_ sql: String, format: String) throws -> HTTPRequest {
        try HTTPRequest("\(base)/api/v1/sql?format=\(format)", body: sql, authorities: authorities, key: key)
    }

    /// Most bytes of a reply that is held whole.
    private static let collectLimit = 256 * 1024 * 1024

    /// The whole reply. `progress` is told now and then how far a long query is, and in the end an empty text.
    func collect(_ sql: String, format: String, progress: ((String) -> Void)? = nil) throws -> String {
        let request = try request(sql, format: format)
        return String(
            decoding: try request.perform(progress: progress, limit: Self.collectLimit, sink: nil), as: UTF8.self)
    }

    /// Hands the reply on as it comes, until `sink` says false.
    func stream(
        _ sql: String, format: String, progress: ((String) -> Void)? = nil,
        to sink: @escaping (UnsafeRawBufferPointer) -> Bool
    ) throws {
        let request = try request(sql, format: format)
        _ = try request.perform(progress: progress, limit: .max, sink: sink)
    }
}

/// A POST of SQL by libcurl.
private struct HTTPRequest: ~Copyable {
    private let handle: UnsafeMutableRawPointer
    private var headers: UnsafeMutablePointer<curl_slist>?
    /// Where libcurl says what it met, for people; `CURL_ERROR_SIZE` bytes.
    private let complaint: UnsafeMutablePointer<CChar>

    /// Where the reply goes. Errors are collected whatever was asked for.
    private final class Reply {
        let handle: UnsafeMutableRawPointer
        let sink: ((UnsafeRawBufferPointer) -> Bool)?
        let limit: Int
        let progress: ((String) -> Void)?
        let started = ContinuousClock.now
        var lines = 0
        var shown = ContinuousClock.now
        var bytes: [UInt8] = []

        init(
            _ handle: UnsafeMutableRawPointer, progress: ((String) -> Void)?, limit: Int,
            sink: ((UnsafeRawBufferPointer) -> Bool)?
        ) {
            self.handle = handle
            self.progress = progress
            self.limit = limit
            self.sink = sink
        }

        func take(_ chunk: UnsafeRawBufferPointer) -> Bool {
            if progress != nil { lines += chunk.count { $0 == 0x0A } }
            guard let sink, tapedeck_curl_status(handle) == 200 else {
                bytes.append(contentsOf: chunk)
                return bytes.count <= limit
            }
            return sink(chunk)
        }

        /// Whether to go on.
        func report() -> Bool {
            let now = ContinuousClock.now
            if let progress, now - started > .seconds(1), now - shown > .milliseconds(250) {
                shown = now
                progress(
                    "\(grouped(Int64(max(0, lines - 1)))) rows, \((now - started).components.seconds) s; Ctrl-C cancels"
                )
            }
            return !Interrupt.wasPressed
        }
    }

    init(_ url: String, body: String, authorities: String?, key: String?) throws {
        guard let handle = curl_easy_init() else { throw ValidationError("libcurl cannot be started") }
        self.handle = handle
        headers = curl_slist_append(nil, "Content-Type: application/sql")
        if let key { headers = curl_slist_append(headers, "Authorization: Bearer \(key)") }
        complaint = .allocate(capacity: Int(CURL_ERROR_SIZE))
        complaint.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        _ = tapedeck_curl_set_complaint(handle, complaint)
        _ = tapedeck_curl_set_text(handle, CURLOPT_URL, url)
        // Certificates and their names are checked by default; this says by whose word.
        if let authorities { _ = tapedeck_curl_set_text(handle, CURLOPT_CAINFO, authorities) }
        _ = tapedeck_curl_set_list(handle, CURLOPT_HTTPHEADER, headers)
        _ = tapedeck_curl_set_long(handle, CURLOPT_CONNECTTIMEOUT, 10)
        _ = tapedeck_curl_set_long(handle, CURLOPT_NOSIGNAL, 1)
        _ = tapedeck_curl_set_body(handle, body, body.utf8.count)
    }

    deinit {
        curl_slist_free_all(headers)
        curl_easy_cleanup(handle)
        complaint.deallocate()
    }

    /// Returns what `sink` was not given: everything without one, and the bodies of errors.
    func perform(
        progress: ((String) -> Void)?, limit: Int, sink: ((UnsafeRawBufferPointer) -> Bool)?
    ) throws -> [UInt8] {
        let reply = Reply(handle, progress: progress, limit: limit, sink: sink)
        let context = Unmanaged.passUnretained(reply).toOpaque()
        _ = tapedeck_curl_set_writer(
            handle,
            { bytes, size, count, context in
                let reply = Unmanaged<Reply>.fromOpaque(context!).takeUnretainedValue()
                return reply.take(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
            }, context)
        _ = tapedeck_curl_set_progress(
            handle,
            { context, _, _, _, _ in Unmanaged<Reply>.fromOpaque(context!).takeUnretainedValue().report() ? 0 : 1 },
            context)
        let code = withExtendedLifetime(reply) { curl_easy_perform(handle) }
        progress?("")
        if code == CURLE_ABORTED_BY_CALLBACK {
            // The server cancels the query of a client that hangs up.
            throw QueryFailure(description: "cancelled")
        }
        if code == CURLE_WRITE_ERROR && reply.bytes.count > limit {
            throw QueryFailure(
                description: "the result is larger than \(limit / 1_048_576) MiB\n"
                    + "hint: Send it to a file: \\format csv, \\o FILE; or name a limit.")
        }
        if code == CURLE_PARTIAL_FILE && tapedeck_curl_status(handle) == 200 {
            throw QueryFailure(
                description:
                    "the server broke the result off: the query failed, or its time was up, behind its first rows\n"
                    + "hint: The server's log says why; so does an aggregate of the same query, which gives no rows before its end."
            )
        }
        if code != CURLE_OK {
            let why = complaint[0] == 0 ? String(cString: curl_easy_strerror(code)) : String(cString: complaint)
            // OpenSSL's words for an authority that is not known; a name or a time that is wrong speaks for itself.
            let isUnknown = why.contains("self-signed") || why.contains("self signed") || why.contains("issuer")
            throw QueryFailure(
                description: why
                    + (isUnknown ? "\nhint: If you trust the server's authority, name its file with --tls-ca." : ""))
        }
        if tapedeck_curl_status(handle) != 200 {
            // The server speaks of header fields.
            let isLockedOut = tapedeck_curl_status(handle) == 401
            throw QueryFailure(
                errorBody: String(decoding: reply.bytes, as: UTF8.self),
                hint: isLockedOut ? "Set \(Settings.apiKeyName) to a key; `tapedeck keys create` makes one." : nil)
        }
        return reply.bytes
    }
}

/// What the server said was wrong.
struct QueryFailure: Error, CustomStringConvertible {
    var description: String
    /// The server's message, hint, and the place in the statement, in characters from 1.
    private var parts: (message: String, hint: String?, position: Int?)?

    init(description: String) { self.description = description }

    /// Shows message and hint of the server's error object; anything else as it is.
    ///
    /// - Parameter hint: what helps here better than the server's.
    init(errorBody: String, hint: String? = nil) {
        let message = Self.member("message", of: errorBody) ?? errorBody
        let hint = hint ?? Self.member("hint", of: errorBody)
        let position = Self.member("position", of: errorBody)
        description =
            message + (position.map { " at character \($0)" } ?? "") + (hint.map { "\nhint: \($0)" } ?? "")
        parts = (message, hint, position.flatMap { Int($0) })
    }

    /// The message alone, for a statement that the user has not typed.
    var message: String { parts?.message ?? description }

    /// The failure with the line of the statement that it is about, and a caret under the place.
    func shown(in sql: String) -> String {
        guard let parts else { return description }
        var text = "ERROR: \(parts.message)"
        let scalars = Array(sql.unicodeScalars)
        if let position = parts.position, position >= 1, position <= scalars.count + 1 {
            let before = scalars[..<(position - 1)]
            let start = before.lastIndex(of: "\n").map { $0 + 1 } ?? 0
            let end = scalars[start...].firstIndex(of: "\n") ?? scalars.count
            let label = "LINE \(before.count { $0 == "\n" } + 1): "
            var line = String.UnicodeScalarView()
            line.append(contentsOf: scalars[start..<end].map { $0 == "\t" ? " " : $0 })
            text += "\n" + label + String(line)
            text += "\n" + String(repeating: " ", count: label.count + position - 1 - start) + "^"
        }
        if let hint = parts.hint { text += "\nHINT: \(hint)" }
        return text
    }

    /// A member of a flat JSON object of ours, string or number; nil if null or absent.
    private static func member(_ name: String, of body: String) -> String? {
        guard let key = body.range(of: "\"\(name)\":") else { return nil }
        var rest = body[key.upperBound...]
        while rest.first == " " { rest.removeFirst() }
        guard rest.first == "\"" else {
            let number = rest.prefix { $0.isNumber }
            return number.isEmpty ? nil : String(number)
        }
        var text = ""
        var escaped = false
        for character in rest.dropFirst() {
            if escaped {
                text.append(character == "n" ? "\n" : character)
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else if character == "\"" {
                return text
            } else {
                text.append(character)
            }
        }
        return nil
    }
}

extension String {
    fileprivate func range(of text: String) -> Range<Index>? { firstRange(of: text) }
}

/// CSV as an aligned table, numbers to the right.
struct TextTable {
    let text: String

    init(csv: String) {
        let rows = Self.cells(csv)
        guard let header = rows.first else {
            text = ""
            return
        }
        let body = rows.dropFirst()
        let widths = header.indices.map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        let isNumber = header.indices.map { column in
            !body.isEmpty && body.allSatisfy { column >= $0.count || $0[column].isEmpty || Double($0[column]) != nil }
        }
        func line(_ row: [String]) -> String {
            row.prefix(header.count).enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return isNumber[column] ? padding + cell : cell + padding
            }.joined(separator: " | ")
        }
        var lines = [line(header), widths.map { String(repeating: "-", count: $0) }.joined(separator: "-+-")]
        lines += body.map(line)
        lines.append("(\(body.count) row\(body.count == 1 ? "" : "s"))")
        text = lines.joined(separator: "\n")
    }

    /// A line for each value, for rows that are wider than the screen.
    static func expanded(csv: String) -> String {
        let rows = cells(csv)
        guard let header = rows.first else { return "" }
        let width = header.map(\.count).max() ?? 0
        var lines: [String] = []
        for (number, row) in rows.dropFirst().enumerated() {
            lines.append("-[ \(number + 1) ]" + String(repeating: "-", count: max(2, width)))
            for (name, value) in zip(header, row) {
                lines.append(name + String(repeating: " ", count: width - name.count) + " | " + value)
            }
        }
        lines.append("(\(rows.count - 1) row\(rows.count == 2 ? "" : "s"))")
        return lines.joined(separator: "\n")
    }

    /// The values as they can be shown: texts of strangers hold what a terminal would obey, and ends of lines.
    private static func cells(_ csv: String) -> [[String]] { parse(csv).map { $0.map(printable) } }

    private static func printable(_ cell: String) -> String {
        func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.generalCategory == .control }
        guard cell.unicodeScalars.contains(where: isControl) else { return cell }
        var shown = ""
        for scalar in cell.unicodeScalars {
            switch scalar {
            case "\n": shown += "\\n"
            case "\r": shown += "\\r"
            case "\t": shown += "\\t"
            case _ where isControl(scalar):
                let hex = String(scalar.value, radix: 16, uppercase: true)
                shown += "\\x" + (hex.utf8.count == 1 ? "0" : "") + hex
            default: shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    /// RFC 4180, embedded line ends included.
    static func parse(_ csv: String) -> [[String]] {
        var rows: [[String]] = []
        var row: [String] = []
        var cell = ""
        var quoted = false
        var scalars = csv.unicodeScalars.makeIterator()
        var pending = scalars.next()
        while let scalar = pending {
            pending = scalars.next()
            if quoted {
                if scalar != "\"" {
                    cell.unicodeScalars.append(scalar)
                } else if pending == "\"" {
                    cell += "\""
                    pending = scalars.next()
                } else {
                    quoted = false
                }
                continue
            }
            switch scalar {
            case "\"": quoted = true
            case ",":
                row.append(cell)
                cell = ""
            case "\r": break
            case "\n":
                row.append(cell)
                rows.append(row)
                row = []
                cell = ""
            default: cell.unicodeScalars.append(scalar)
            }
        }
        if !cell.isEmpty || !row.isEmpty { rows.append(row + [cell]) }
        return rows
    }
}
