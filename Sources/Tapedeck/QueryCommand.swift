// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CCurl
import Glibc

/// `tapedeck query "SQL"`: one statement through the query server.
struct QueryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query", abstract: "Run one SQL statement through the query server and print its rows.")

    enum Format: String, ExpressibleByArgument, CaseIterable { case table, csv, json, ndjson }

    @OptionGroup var flags: SettingFlags
    @Option(help: "How to print the rows.") var format = Format.table
    @Option(
        help:
            "The server's URL, http:// or https://; else the one that runs on the data folder, else TAPEDECK_LISTEN.")
    var server: String?
    @Argument(help: ArgumentHelp("The statement.", valueName: "sql")) var sql: String

    func run() async throws {
        let settings = try flags.resolve()
        let base = try server ?? Self.address(settings, listen: flags.listen)
        let wire = format == .table ? "csv" : format.rawValue
        var request = try HTTPRequest(
            "\(base)/api/v1/sql?format=\(wire)", body: sql, authorities: settings.text(.tlsCA))
        if format == .table {
            let text = try request.collect()
            print(TextTable(csv: text).text)
        } else {
            try request.stream()
        }
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

/// A POST of SQL by libcurl, whose reply is collected or streamed to standard output.
private struct HTTPRequest: ~Copyable {
    private let handle: UnsafeMutableRawPointer
    private let headers: UnsafeMutablePointer<curl_slist>?
    /// Where libcurl says what it met, for people; `CURL_ERROR_SIZE` bytes.
    private let complaint: UnsafeMutablePointer<CChar>

    /// Where the reply goes. Errors are collected whatever was asked for.
    private final class Reply {
        let handle: UnsafeMutableRawPointer
        let streams: Bool
        var bytes: [UInt8] = []

        init(_ handle: UnsafeMutableRawPointer, streams: Bool) {
            self.handle = handle
            self.streams = streams
        }

        func take(_ chunk: UnsafeRawBufferPointer) -> Bool {
            guard streams, tapedeck_curl_status(handle) == 200 else {
                bytes.append(contentsOf: chunk)
                return true
            }
            return writeAll(chunk, to: 1)
        }
    }

    init(_ url: String, body: String, authorities: String?) throws {
        if let authorities, access(authorities, R_OK) != 0 {
            throw ValidationError("\(authorities) cannot be read: \(String(cString: strerror(errno)))")
        }
        guard let handle = curl_easy_init() else { throw ValidationError("libcurl cannot be started") }
        self.handle = handle
        headers = curl_slist_append(nil, "Content-Type: application/sql")
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

    mutating func collect() throws -> String { String(decoding: try perform(streams: false), as: UTF8.self) }

    mutating func stream() throws { _ = try perform(streams: true) }

    private func perform(streams: Bool) throws -> [UInt8] {
        let reply = Reply(handle, streams: streams)
        _ = tapedeck_curl_set_writer(
            handle,
            { bytes, size, count, context in
                let reply = Unmanaged<Reply>.fromOpaque(context!).takeUnretainedValue()
                return reply.take(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
            }, Unmanaged.passUnretained(reply).toOpaque())
        let code = withExtendedLifetime(reply) { curl_easy_perform(handle) }
        if code != CURLE_OK {
            let why = complaint[0] == 0 ? String(cString: curl_easy_strerror(code)) : String(cString: complaint)
            // OpenSSL's words for an authority that is not known; a name or a time that is wrong speaks for itself.
            let isUnknown = why.contains("self-signed") || why.contains("self signed") || why.contains("issuer")
            throw QueryFailure(
                description: why
                    + (isUnknown ? "\nhint: If you trust the server's authority, name its file with --tls-ca." : ""))
        }
        if tapedeck_curl_status(handle) != 200 {
            throw QueryFailure(errorBody: String(decoding: reply.bytes, as: UTF8.self))
        }
        return reply.bytes
    }
}

/// What the server said was wrong.
private struct QueryFailure: Error, CustomStringConvertible {
    var description: String

    init(description: String) { self.description = description }

    /// Shows message and hint of the server's error object; anything else as it is.
    init(errorBody: String) {
        let message = Self.member("message", of: errorBody) ?? errorBody
        let hint = Self.member("hint", of: errorBody).map { "\nhint: \($0)" } ?? ""
        let position = Self.member("position", of: errorBody).map { " at character \($0)" } ?? ""
        description = message + position + hint
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
        let rows = Self.parse(csv)
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

    /// RFC 4180, embedded line ends included.
    private static func parse(_ csv: String) -> [[String]] {
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
