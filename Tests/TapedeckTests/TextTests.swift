// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Testing

@testable import Tapedeck

struct TextTableTests {
    static let tables: [(String, [String])] = [
        ("", [""]),
        ("a\n", ["a", "-", "(0 rows)"]),
        ("a,b\n1,x\n", ["a | b", "--+--", "1 | x", "(1 row)"]),
        ("a,b\r\n1,x\r\n", ["a | b", "--+--", "1 | x", "(1 row)"]),
        ("a,b\n1,x", ["a | b", "--+--", "1 | x", "(1 row)"]),
        (
            // Numbers to the right, text to the left, what is empty is neither.
            "symbol,price,note\nAAPL,1.5,\nB,-1200,yes\nC,,no\n",
            [
                "symbol | price | note", "-------+-------+-----", "AAPL   |   1.5 |     ", "B      | -1200 | yes ",
                "C      |       | no  ", "(3 rows)",
            ]
        ),
        // One text among numbers makes a column text; scientific notation is a number.
        ("n,m\n1,1e9\n10,2\nx,30\n", ["n  |   m", "---+----", "1  | 1e9", "10 |   2", "x  |  30", "(3 rows)"]),
        (
            "a\n\"x,y\"\n\"say \"\"hi\"\"\"\n\"\"\n",
            ["a       ", "--------", "x,y     ", "say \"hi\"", "        ", "(3 rows)"]
        ),
        // What is wide in bytes is not wide in characters.
        ("a,b\né,1\ncafé,2\n", ["a    | b", "-----+--", "é    | 1", "café | 2", "(2 rows)"]),
        ("\"a,b\",c\n1,2\n", ["a,b | c", "----+--", "  1 | 2", "(1 row)"]),
    ]

    @Test(arguments: tables)
    func `CSV is shown as an aligned table`(csv: String, lines: [String]) {
        #expect(TextTable(csv: csv).text == lines.joined(separator: "\n"))
    }

    @Test func `a column of nothing but empty cells is shown`() {
        #expect(TextTable(csv: "x,y\n,1\n,2\n").text == "x | y\n--+--\n  | 1\n  | 2\n(2 rows)")
        #expect(TextTable(csv: "x\n\n\n").text == "x\n-\n \n \n(2 rows)")
    }

    @Test func `a line end inside a cell is kept, and stays one row`() {
        #expect(TextTable(csv: "a,b\n\"x\ny\",1\n").text.hasSuffix("(1 row)"))
    }

    @Test(arguments: ["a,b\n1\n", "a\n1,2\n", "a,b\n1,2,3\n4\n"])
    func `a row that is too long or too short does not end the program`(csv: String) async {
        await #expect(processExitsWith: .success) { [csv] in
            exit(TextTable(csv: csv).text.isEmpty ? 1 : 0)
        }
    }
}

struct TextTests {
    @Test func `text as JSON is read back by another parser`() throws {
        for text in [
            "", "a", "\"", "\\", "a\nb", "\r\t\u{8}\u{C}", "\u{0}\u{1}\u{1F}\u{7F}", "é日😀", "\u{2028}", "</script>",
            "\\u0041",
            String((0..<200).map { Character(Unicode.Scalar(UInt8($0))) }),
        ] {
            let json = jsonText(text)
            let parsed = try JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed)
            #expect(parsed as? String == text, "\(json)")
            #expect(!json.unicodeScalars.contains { $0.value < 0x20 }, "\(json)")
        }
        #expect(jsonText("a\"b\\c\nd\u{1}") == #""a\"b\\c\nd\u0001""#)
    }

    @Test func `digits are grouped by three`() {
        let cases: [(Int64, String)] = [
            (0, "0"), (7, "7"), (999, "999"), (1000, "1,000"), (123_456, "123,456"), (1_234_567, "1,234,567"),
            (-1, "-1"), (-999, "-999"), (-1000, "-1,000"), (.max, "9,223,372,036,854,775,807"),
            (.min, "-9,223,372,036,854,775,808"),
        ]
        for (number, text) in cases { #expect(grouped(number) == text) }
    }

    @Test func `a text file is read whole, and one that is not there is told`() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "tapedeck-text-\(UUID())").path
        let text = String(repeating: "0123456789é\n", count: 20_000)
        try Data(text.utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(try TextFile.read(path) == text)
        let error = #expect(throws: TextFile.Failure.self) { try TextFile.read(path + "/no") }
        #expect(error?.description == "cannot read \(path)/no: Not a directory")
    }
}

struct DataFolderTests {
    private func temporary() -> String {
        FileManager.default.temporaryDirectory.appending(path: "tapedeck-folder-\(UUID())").path
    }

    @Test func `a folder is made with those above it, and opened again`() throws {
        let root = temporary()
        defer { try? FileManager.default.removeItem(atPath: root) }
        let folder = try DataFolder(root + "/a//b/./c/")
        #expect(folder.path.hasSuffix("/a/b/c"))
        var isFolder = ObjCBool(false)
        #expect(FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder) && isFolder.boolValue)
        #expect(try DataFolder(root + "/a/b/../b/c").path == folder.path)
        try Data().write(to: URL(filePath: root + "/file"))
        #expect(throws: DataFolder.Failure.self) { try DataFolder(root + "/file/x") }
    }

    @Test func `one at a time runs on a folder`() throws {
        let root = temporary()
        defer { try? FileManager.default.removeItem(atPath: root) }
        var first: DataFolder? = try DataFolder(root)
        let second = try DataFolder(root)
        #expect(try first?.acquire() == true)
        #expect(try second.acquire() == false)
        #expect(second.owner == String(getpid()))
        first = nil
        #expect(try second.acquire() == true)
    }

    @Test func `the connections are written for the owner alone and read back, whatever is in them`() throws {
        let root = temporary()
        defer { try? FileManager.default.removeItem(atPath: root) }
        let folder = try DataFolder(root)
        #expect(folder.readConnections() == nil)
        let writer = "postgresql://w:p%27w@/d?host=%2Ftmp%2Fx"
        try folder.writeConnections(
            databaseURL: writer, readerURL: "postgresql://r@h/d", eventLog: "sqlite:\(root)/log",
            listen: "127.0.0.1:8080")
        #expect(
            folder.readConnections() == [
                "TAPEDECK_DATABASE_URL": writer, "TAPEDECK_READER_URL": "postgresql://r@h/d",
                "TAPEDECK_EVENT_LOG": "sqlite:\(root)/log", "TAPEDECK_LISTEN": "127.0.0.1:8080",
            ])
        let attributes = try FileManager.default.attributesOfItem(atPath: folder.path + "/connection.env")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        folder.removeConnections()
        #expect(folder.readConnections() == nil)
    }
}

struct JSONLogTests {
    @Test func `a message is one object, whatever it holds`() {
        var handler = JSONLogHandler(label: "tapedeck")
        handler[metadataKey: "role"] = "process"
        let line = handler.line(
            .warning, "a \"quoted\"\nline", ["error": "back\\slash", "role": "ingest"], at: "2026-01-02T03:04:05Z")
        #expect(
            line
                == #"{"ts":"2026-01-02T03:04:05Z","level":"warning","logger":"tapedeck","message":"a \"quoted\"\nline","#
                + #""fields":{"error":"back\\slash","role":"ingest"}}"#)
        #expect(
            JSONLogHandler(label: "x").line(.info, "y", nil, at: "t")
                == #"{"ts":"t","level":"info","logger":"x","message":"y"}"#)
    }
}
