// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// A kind of fact that files may hold: how a record is made of named values.
protocol FactFormat {
    associatedtype Facts: RecordFacts

    /// Names of one of which a file of this kind must have a column or member, each group.
    static var required: [[String]] { get }

    /// The facts that named values give, and why they cannot be read in full; `defaultTime` stands in where there is none.
    static func facts(_ values: FactValues, defaultTime: Timestamp?) -> (Facts, RejectionReason?)
}

/// Values of one record by their names in lower case, as text.
struct FactValues {
    private var values: [String: String] = [:]

    subscript(name: String) -> String? {
        get { values[name] }
        set { values[name] = newValue }
    }

    var names: [String] { values.keys.sorted() }

    /// The first of the names that has a value which is not empty.
    func text(_ names: String...) -> String? {
        for name in names { if let value = values[name], !value.isEmpty { return value } }
        return nil
    }

    /// A whole number; a fraction of zero is none.
    func integer(_ name: String) -> Int64? {
        guard let text = text(name), let number = Double(text), number.magnitude < 9e18 else { return nil }
        return Int64(number)
    }

    func number(_ name: String) -> Double? { text(name).flatMap { Double($0) } }
}

/// The records of a file of facts: CSV with a header (RFC 4180, fields may hold line ends), or NDJSON; gzip or not. Reads
/// block: use it on a thread that may.
final class FactFile<Format: FactFormat> {
    /// Bytes of one record.
    static var recordLimit: Int { 4 << 20 }

    private let reader: LineReader
    private let run: Int64
    private let defaultTime: Timestamp?
    private var header: [String]?
    private var isJSON: Bool?

    /// Opens the file at `path`, or standard input for `-`.
    ///
    /// - Parameter defaultTime: the time of records that have none.
    init(path: String, run: Int64, defaultTime: Timestamp? = nil) throws(IngestError) {
        reader = try LineReader(path: path)
        self.run = run
        self.defaultTime = defaultTime
    }

    /// Bytes of the file read so far, and its size where it has one.
    var progress: (read: Int64, total: Int64?) { (reader.bytesRead, reader.byteCount) }

    /// The next record, or nil at the end. What is wrong with one is told in it.
    func next() throws(IngestError) -> Staged<Format.Facts>? {
        while true {
            guard let (record, line) = try nextRecord() else { return nil }
            if record.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            if isJSON == nil {
                let first = record.first { $0 != 0x20 && $0 != 0x09 }
                isJSON = first == UInt8(ascii: "{")
            }
            if isJSON == true { return staged(json: record, line) }
            guard let header else {
                try readHeader(record, line)
                continue
            }
            return staged(csv: record, header, line)
        }
    }

    /// A line; in CSV as many as it takes to close the quotes.
    private func nextRecord() throws(IngestError) -> ([UInt8], Int)? {
        var record: [UInt8] = []
        var first = 0
        var quotes = 0
        while true {
            var isOpen = false
            let more = try reader.nextLine { (line) throws(IngestError) in
                if first == 0 { first = self.reader.lineNumber } else { record.append(0x0A) }
                record.append(contentsOf: line)
                quotes += line.count { $0 == UInt8(ascii: "\"") }
                isOpen = self.isJSON != true && line.first != UInt8(ascii: "{") && quotes % 2 == 1
            }
            if !more {
                if reader.isWaiting { continue }
                return first == 0 ? nil : (record, first)
            }
            if record.count > Self.recordLimit {
                throw IngestError(
                    source: reader.name, line: first, message: "a record of more than \(Self.recordLimit >> 20) MiB",
                    hint: "a quote may be open")
            }
            if !isOpen { return (record, first) }
        }
    }

    private func readHeader(_ record: [UInt8], _ line: Int) throws(IngestError) {
        let names = CSVFields.split(record)?.map { $0.lowercased() }
        let missing = Format.required.filter { group in !group.contains { names?.contains($0) == true } }
        guard let names, missing.isEmpty else {
            let expected = missing.map { $0.joined(separator: "|") }.joined(separator: ", ")
            throw IngestError(
                source: reader.name, line: line,
                message: names == nil ? "the header has an open quote" : "the header lacks \(expected)")
        }
        header = names
    }

    private func staged(csv record: [UInt8], _ header: [String], _ line: Int) -> Staged<Format.Facts> {
        guard let fields = CSVFields.split(record), fields.count == header.count else {
            return refused(record, line)
        }
        var values = FactValues()
        for (name, field) in zip(header, fields) where values[name] == nil { values[name] = field }
        return staged(values, record, line)
    }

    private func staged(json record: [UInt8], _ line: Int) -> Staged<Format.Facts> {
        var values = FactValues()
        let readable = record.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            return Self.take(&scanner, &values, depth: 0) && scanner.isAtEnd()
        }
        return readable ? staged(values, record, line) : refused(record, line)
    }

    /// Takes the members of an object; those of a member `data` (Reddit's envelope of things) as its own.
    private static func take(_ scanner: inout JSONScanner, _ values: inout FactValues, depth: Int) -> Bool {
        scanner.object { scanner, key in
            let name = String(decoding: key, as: UTF8.self).lowercased()
            switch scanner.kind() {
            case .string:
                guard let text = scanner.string() else { return false }
                values[name] = text
                return true
            case .number:
                guard let text = scanner.number() else { return false }
                values[name] = String(decoding: text, as: UTF8.self)
                return true
            case .object where name == "data" && depth == 0: return take(&scanner, &values, depth: 1)
            default: return scanner.skipValue()
            }
        }
    }

    private func staged(_ values: FactValues, _ record: [UInt8], _ line: Int) -> Staged<Format.Facts> {
        let (facts, problem) = Format.facts(values, defaultTime: defaultTime)
        return Staged(
            Staging(
                run: run, source: Tape.fileSource, position: Int64(line), ingestedAt: .epoch,
                problem: problem?.rawValue, original: problem == nil ? nil : Array(record.prefix(4096))), facts)
    }

    private func refused(_ record: [UInt8], _ line: Int) -> Staged<Format.Facts> {
        Staged(
            Staging(
                run: run, source: Tape.fileSource, position: Int64(line), ingestedAt: .epoch,
                problem: RejectionReason.malformedLine.rawValue, original: Array(record.prefix(4096))), Format.Facts())
    }
}

/// One record of CSV (RFC 4180) cut into fields.
enum CSVFields {
    /// Nil for an open quote, or something between a quote and the next comma.
    static func split(_ record: [UInt8]) -> [String]? {
        let quote = UInt8(ascii: "\"")
        var fields: [String] = []
        var index = 0
        while true {
            var field: [UInt8] = []
            if index < record.count && record[index] == quote {
                index += 1
                while true {
                    guard index < record.count else { return nil }
                    if record[index] != quote {
                        field.append(record[index])
                        index += 1
                    } else if index + 1 < record.count && record[index + 1] == quote {
                        field.append(quote)
                        index += 2
                    } else {
                        index += 1
                        break
                    }
                }
                if index < record.count && record[index] == 0x0D { index += 1 }
            } else {
                while index < record.count && record[index] != UInt8(ascii: ",") {
                    field.append(record[index])
                    index += 1
                }
                if index == record.count && field.last == 0x0D { field.removeLast() }
            }
            fields.append(String(decoding: field, as: UTF8.self))
            if index >= record.count { return fields }
            if record[index] != UInt8(ascii: ",") { return nil }
            index += 1
        }
    }
}

/// Posts as Reddit's API has them (https://www.reddit.com/dev/api, things t1 and t3), or tables made of them.
enum PostFormat: FactFormat {
    static let required = [["id", "name"], ["body", "text", "selftext", "title"]]

    static func facts(_ values: FactValues, defaultTime: Timestamp?) -> (PostFacts, RejectionReason?) {
        var post = PostFacts()
        let isComment = isComment(values)
        post.kind = isComment ? "comment" : "submission"
        post.id = fullName(
            values.text("name").flatMap { isFullName($0) ? $0 : nil } ?? values.text("id"), isComment ? "t1" : "t3")
        post.subreddit = values.text("subreddit")
        post.author = values.text("author").flatMap { $0 == "[deleted]" ? nil : $0 }
        post.title = values.text("title", "link_title", "submission_title", "submissiontitle")
        // Empty is what a submission that is a link says.
        post.body = values["body"] ?? values["selftext"] ?? values["text"]
        post.url = values.text("url", "link", "permalink")
        post.score = values.integer("score")
        post.numComments = isComment ? nil : values.integer("num_comments")
        post.upvoteRatio = values.number("upvote_ratio")
        if isComment {
            post.submissionId = fullName(values.text("link_id", "submission_id", "submissionid"), "t3")
            // Where only a parent is known, it is the submission for comments of the first level.
            if post.submissionId == nil, let parent = values.text("parent_id"), parent.hasPrefix("t3_") {
                post.submissionId = parent
            }
        }
        var problem: RejectionReason?
        if let text = values.text("created_utc", "created_at", "created", "ts", "timestamp") {
            post.createdAt = Timestamp(parsing: text)
            if post.createdAt == nil { problem = .tsUnreadable }
        } else {
            post.createdAt = defaultTime
        }
        // False for what was never edited.
        if let text = values.text("edited", "edited_at") { post.editedAt = Timestamp(parsing: text) }
        return (post, problem)
    }

    private static func isComment(_ values: FactValues) -> Bool {
        switch values.text("kind") {
        case "comment", "t1": return true
        case "submission", "t3": return false
        default: break
        }
        for name in [values.text("name"), values.text("id")] {
            if let name, isFullName(name) { return name.hasPrefix("t1_") }
        }
        return values.text("link_id", "parent_id", "submission_id", "submissionid") != nil
    }

    private static func isFullName(_ text: String) -> Bool { text.hasPrefix("t1_") || text.hasPrefix("t3_") }

    private static func fullName(_ id: String?, _ prefix: String) -> String? {
        id.map { isFullName($0) ? $0 : "\(prefix)_\($0)" }
    }
}

/// Facts of instruments, with the names of market.instruments.
enum InstrumentFormat: FactFormat {
    static let required = [["symbol"], ["name"]]

    static func facts(_ values: FactValues, defaultTime: Timestamp?) -> (InstrumentFacts, RejectionReason?) {
        var instrument = InstrumentFacts()
        instrument.symbol = values.text("symbol")
        instrument.name = values.text("name")
        instrument.exchange = values.text("exchange")
        instrument.type = values.text("type")
        instrument.currency = values.text("currency")
        instrument.country = values.text("country")
        instrument.sector = values.text("sector")
        instrument.industry = values.text("industry")
        instrument.marketCap = values.number("market_cap")
        instrument.forwardPe = values.number("forward_pe")
        instrument.trailingPe = values.number("trailing_pe")
        instrument.fiftyTwoWeekHigh = values.number("fifty_two_week_high")
        instrument.fiftyTwoWeekLow = values.number("fifty_two_week_low")
        instrument.fiftyDayAverage = values.number("fifty_day_average")
        instrument.shortRatio = values.number("short_ratio")
        var problem: RejectionReason?
        if let text = values.text("updated_at") {
            instrument.updatedAt = Timestamp(parsing: text)
            if instrument.updatedAt == nil { problem = .tsUnreadable }
        } else {
            instrument.updatedAt = defaultTime
        }
        return (instrument, problem)
    }
}
