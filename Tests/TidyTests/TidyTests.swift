// SPDX-License-Identifier: Apache-2.0
//
// The few rules of the house that a compiler does not keep: read from the files of this checkout.

import Foundation
import Testing

/// A file of the checkout.
struct SourceFile: Sendable, CustomTestStringConvertible {
    /// From the checkout's root.
    var path: String
    var lines: [String]

    var testDescription: String { path }
    /// The folder below `Sources` or `Tests`.
    var target: String { String(path.split(separator: "/").dropFirst().first ?? "") }

    /// The lines with their numbers, each up to its first `//`.
    var code: [(number: Int, text: Substring)] {
        lines.enumerated().map { index, line in
            let comment = line.firstRange(of: "//")?.lowerBound ?? line.endIndex
            return (index + 1, line[..<comment])
        }
    }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appending(path: path).path)
    }

    init?(_ path: String) {
        guard let text = try? String(contentsOf: Self.root.appending(path: path), encoding: .utf8) else { return nil }
        self.path = path
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    }

    /// The files of a folder, and of those in it, that have one of the extensions.
    static func all(in folder: String, _ extensions: Set<String>) -> [SourceFile] {
        let paths = FileManager.default.enumerator(atPath: root.appending(path: folder).path)?.compactMap {
            $0 as? String
        }
        return (paths ?? []).filter { extensions.contains(URL(filePath: $0).pathExtension) && !$0.contains(".build") }
            .sorted().compactMap { SourceFile("\(folder)/\($0)") }
    }

    static let sources = all(in: "Sources", ["swift"])
}

/// `pattern` in the code of `file`, as `path:line`.
private func places(_ pattern: Regex<Substring>, in file: SourceFile) -> [String] {
    file.code.filter { $0.text.contains(pattern) }.map { "\(file.path):\($0.number): \($0.text)" }
}

struct ImportTests {
    private static let system: Set = ["Glibc", "Synchronization"]

    /// What each target may import: what stands above it, and no more. `Package.swift` alone lets a target import what
    /// its dependencies depend on.
    static let allowed: [String: Set<String>] = [
        "Market": [],
        "Records": ["Market", "FoundationEssentials"],
        "Sentiment": [],
        "Forecast": ["Glibc", "Dispatch", "CForecast"],
        "TrinoSQL": ["FoundationEssentials"],
        "EventLoop": system.union(["CLinux"]),
        "Metrics": system,
        "TLS": system.union(["COpenSSL"]),
        "HTTP": system.union(["TLS", "EventLoop", "CLinux", "CZlib", "CZstd"]),
        "WebSocket": system.union(["HTTP", "TLS", "EventLoop", "CLinux", "CZlib"]),
        "Postgres": system.union(["CLibPQ", "EventLoop", "CLinux"]),
        "EventLog": system.union(["GRDB", "CZlib", "Foundation"]),
        "Kafka": system.union(["Metrics", "EventLog", "CKafka", "Dispatch", "FoundationEssentials", "Logging"]),
        "Store": system.union(["Postgres", "EventLoop", "Schema", "CLinux", "Logging"]),
        "Analytics": ["Glibc", "Market", "Forecast", "EventLoop", "Postgres", "Logging"],
        "Ingest": system.union([
            "Market", "Metrics", "Records", "EventLoop", "TLS", "WebSocket", "EventLog", "CZlib", "CCurl", "Dispatch",
            "Logging",
        ]),
        "Processor": system.union([
            "Sentiment", "Market", "Metrics", "Records", "EventLog", "EventLoop", "Postgres", "Logging",
        ]),
        "QueryServer": system.union([
            "Market", "Forecast", "Analytics", "Metrics", "TrinoSQL", "TLS", "HTTP", "WebSocket", "EventLoop",
            "Postgres",
            "FoundationEssentials", "Logging",
        ]),
        "Tapedeck": system.union([
            "Market", "Sentiment", "Forecast", "Analytics", "Metrics", "EventLoop", "TLS", "HTTP", "Postgres",
            "EventLog", "Kafka", "Store", "Ingest",
            "Processor",
            "QueryServer", "OpenAPI", "CCurl", "CEdit",
            "CLinux", "ArgumentParser", "Logging",
        ]),
    ]

    /// C modules that several targets may import: they hand out numbers and no objects that would need an owner.
    /// CLinux is constants and system calls; of CZlib the log takes a checksum, ingest a decoder, HTTP an encoder. CCurl's
    /// handles have an owner each: sources of ingest, and the one request of `tapedeck query`.
    private static let sharedCModules: Set = ["CLinux", "CZlib", "CCurl"]

    private static func imports(_ file: SourceFile) -> [(number: Int, module: String)] {
        let pattern =
            /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:package|public|internal|private|fileprivate)\s+)?import\s+(?:(?:struct|class|enum|protocol|typealias|func|let|var)\s+)?(\w+)/
        return file.code.compactMap { line in line.text.firstMatch(of: pattern).map { (line.number, String($0.1)) } }
    }

    @Test func `every folder of Sources is a target that the table knows`() {
        let swift = Set(SourceFile.sources.map(\.target))
        #expect(swift == Set(Self.allowed.keys))
    }

    @Test func `a target imports only what stands above it`() {
        var count = 0
        for file in SourceFile.sources {
            for (number, module) in Self.imports(file) {
                count += 1
                if Self.allowed[file.target]?.contains(module) != true {
                    Issue.record("\(file.path):\(number): \(file.target) must not import \(module)")
                }
            }
        }
        #expect(count > 100, "the imports are not found")
    }

    @Test func `the embedded SQL imports nothing`() {
        let files = SourceFile.all(in: "sql", ["swift"])
        #expect(!files.isEmpty && files.allSatisfy { Self.imports($0).isEmpty })
    }

    @Test func `a C module has one importer`() throws {
        let folders = try FileManager.default.contentsOfDirectory(
            atPath: SourceFile.root.appending(path: "Sources").path)
        let modules = folders.filter { SourceFile.exists("Sources/\($0)/module.modulemap") }
        #expect(!modules.isEmpty)
        for module in modules {
            let importers = Set(
                SourceFile.sources.filter { Self.imports($0).contains { $0.module == module } }.map(\.target))
            #expect(!importers.isEmpty, "nobody imports \(module)")
            if !Self.sharedCModules.contains(module) {
                #expect(importers.count == 1, "\(module): \(importers.sorted())")
            }
        }
    }
}

struct BannedTextTests {
    private struct Ban: Sendable {
        var pattern: @Sendable () -> Regex<Substring>
        var instead: String
        /// The folders of `Sources` in which it stands; nil for all.
        var targets: Set<String>?
        var except: Set<String> = []
    }

    private static let bans = [
        Ban(pattern: { /\btry!/ }, instead: "throw, or say why it cannot fail with a precondition"),
        Ban(pattern: { /\bas!/ }, instead: "as? and a guard"),
        Ban(pattern: { /\bprint\(/ }, instead: "a logger", except: ["Tapedeck"]),
        Ban(pattern: { /\bString\(format:/ }, instead: "description, or digits written into the buffer"),
        Ban(pattern: { /\b\w*DateFormatter\b/ }, instead: "Timestamp"),
        Ban(
            pattern: { /\bTask\s*(?:\{|\.detached\b|\((?!executorPreference:))/ },
            instead: "a task group, or executorPreference:",
            targets: ["HTTP", "QueryServer"]),
    ]

    @Test func `no source has a call that has a better one`() {
        for file in SourceFile.sources {
            for ban in Self.bans where ban.targets?.contains(file.target) ?? !ban.except.contains(file.target) {
                for place in places(ban.pattern(), in: file) { Issue.record("\(place)\n    instead: \(ban.instead)") }
            }
        }
    }

    @Test func `nothing is left for later in the sources`() {
        let files =
            SourceFile.sources + SourceFile.all(in: "Sources", ["h", "c", "modulemap"])
            + SourceFile.all(in: "sql", ["sql", "swift"])
        for file in files {
            for (number, line) in file.lines.enumerated() where line.contains(/\b(FIXME|TODO|XXX)\b/) {
                Issue.record("\(file.path):\(number + 1): \(line)")
            }
        }
    }

    @Test func `what the compiler is told to trust carries its rule`() {
        var count = 0
        for file in SourceFile.sources {
            for (number, text) in file.code
            where text.contains("@unchecked Sendable") || text.contains("nonisolated(unsafe)") {
                count += 1
                let around = file.lines[max(0, number - 7)..<min(file.lines.count, number + 6)]
                let rule = around.contains { line in
                    line.firstRange(of: "//").map { line[$0.lowerBound...].contains("Rule") } ?? false
                }
                if !rule { Issue.record("\(file.path):\(number): no comment near says what the rule is\n    \(text)") }
            }
        }
        #expect(count > 0, "none is found")
    }

    @Test func `the bans catch what they are for`() {
        let bad = [
            "    try! x()", "x as! Y", "  print(1)", "String(format: \"%d\", 1)", "ISO8601DateFormatter()", "Task { }",
        ]
        let good = [
            "try? x()", "x as? Y", "fingerprint(1)", "String(describing: 1)", "Timestamp()", "group.addTask { }",
            "MyTask { }", "Task(executorPreference: x) { }",
        ]
        for (index, text) in bad.enumerated() { #expect(text.contains(Self.bans[index].pattern()), "\(text)") }
        for text in good { for ban in Self.bans { #expect(!text.contains(ban.pattern()), "\(text)") } }
        #expect(
            "Task.detached {".contains(Self.bans[5].pattern())
                && "Task(priority: .low) {".contains(Self.bans[5].pattern()))
    }
}

struct FileTests {
    static let licence = "SPDX-License-Identifier: Apache-2.0"

    @Test func `every file begins with its licence`() {
        let files =
            SourceFile.all(in: "Sources", ["swift", "h", "c"]) + SourceFile.all(in: "Tests", ["swift"])
            + SourceFile.all(in: "Benchmarks", ["swift"]) + SourceFile.all(in: "sql", ["swift", "sql"])
        #expect(files.count > 100)
        for file in files {
            // A manifest's first line is the version of the tools it is for.
            if file.path.hasSuffix("/Package.swift") { continue }
            let first = file.lines.first ?? ""
            let mark = file.path.hasSuffix(".sql") ? "--" : "//"
            if first != "\(mark) \(Self.licence)" { Issue.record("\(file.path) begins with '\(first)'") }
        }
    }

    @Test func `text ends with one line end, and no line with a blank`() {
        for file in SourceFile.all(in: "Sources", ["swift", "h", "c"]) + SourceFile.all(in: "Tests", ["swift"]) {
            if file.lines.last != "" || file.lines.dropLast().last == "" { Issue.record("\(file.path): its end") }
            for (number, line) in file.lines.enumerated() where line.last?.isWhitespace == true {
                Issue.record("\(file.path):\(number + 1): a blank at the end of the line")
            }
        }
    }

    /// The words of a document's code spans that name a path of this repository, with their lines.
    private static func paths(_ document: SourceFile) -> [(number: Int, path: String)] {
        let folders = ["Sources", "Tests", "Benchmarks", "schemas", "sql", "openapi", "deploy", "samples", "docs"]
        let roots = [
            "Package.swift", "Makefile", "LICENSE", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md",
        ]
        var found: [(Int, String)] = []
        var fenced = false
        for (index, line) in document.lines.enumerated() {
            if line.hasPrefix("```") { fenced.toggle() }
            if fenced { continue }
            for span in line.matches(of: /`([^`]+)`/) {
                for word in span.1.split(whereSeparator: { " ,;()\"'".contains($0) }) {
                    let path = String(word.prefix { $0 != ":" && $0 != "#" })
                    let isPath = folders.contains { path == $0 || path.hasPrefix($0 + "/") }
                    // `sql` and the like are words, too; only with a slash or as a folder that exists do they name a path.
                    if isPath && (path.contains("/") || SourceFile.exists(path)) || roots.contains(path) {
                        found.append((index + 1, path))
                    }
                }
            }
        }
        return found
    }

    private static func isThere(_ path: String) -> Bool {
        guard path.contains("*") || path.contains("{") else { return SourceFile.exists(path) }
        var matches = glob_t()
        defer { globfree(&matches) }
        return glob(SourceFile.root.path + "/" + path, GLOB_BRACE, nil, &matches) == 0
    }

    @Test(arguments: [
        "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/dialect.md", "docs/sources.md",
    ])
    func `every path that a document names is there`(name: String) {
        guard let document = SourceFile(name) else { return }
        for (number, path) in Self.paths(document) where !Self.isThere(path) {
            Issue.record("\(name):\(number): \(path) is not there")
        }
    }

    @Test func `paths are found in documents`() throws {
        // A gate that gates nothing is worse than none.
        var document = try #require(SourceFile("Package.swift"))
        document.path = "test.md"
        document.lines = [
            "see `Sources/Market/No.swift:12` and `sql/*.sql`, `GET /api/v1/sql`, `sql`, `LICENSE`", "```",
            "`Sources/Fenced`", "```",
            "run `tapedeck load samples/trades.csv.gz`",
        ]
        #expect(
            Self.paths(document).map { "\($0.number) \($0.path)" }
                == ["1 Sources/Market/No.swift", "1 sql/*.sql", "1 sql", "1 LICENSE", "5 samples/trades.csv.gz"])
        #expect(!Self.isThere("Sources/Market/No.swift") && Self.isThere("sql/*.sql") && !Self.isThere("sql/*.toml"))
    }
}
