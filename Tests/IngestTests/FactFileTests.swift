// SPDX-License-Identifier: Apache-2.0

import Foundation
@testable import Ingest
import Market
import Records
import Testing

struct FactFileTests {
    private static func posts(_ text: String, defaultTime: Timestamp? = nil) throws -> [Staged<PostFacts>] {
        let path = FileManager.default.temporaryDirectory.appending(path: "facts-\(UUID()).txt").path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try FactFile<PostFormat>(path: path, run: 9, defaultTime: defaultTime)
        var records: [Staged<PostFacts>] = []
        while let record = try file.next() { records.append(record) }
        return records
    }

    @Test func `a field of CSV may hold commas, quotes and lines`() throws {
        let records = try Self.posts(
            ",id,title,num_comments,text,link\r\n0,abc,\"A, \"\"B\"\"\",3,\"line 1\n\nline 2\",https://x\n1,d,T,,,\n",
            defaultTime: Timestamp(microseconds: 5))
        #expect(records.count == 2)
        #expect(records[0].facts.id == "t3_abc" && records[0].facts.kind == "submission")
        #expect(records[0].facts.title == "A, \"B\"" && records[0].facts.body == "line 1\n\nline 2")
        #expect(records[0].facts.numComments == 3 && records[0].facts.url == "https://x")
        #expect(records[0].facts.createdAt == Timestamp(microseconds: 5) && records[0].staging.position == 2)
        #expect(records[1].facts.body == "" && records[1].staging.position == 5 && records[1].staging.run == 9)
    }

    @Test func `comments and submissions are told apart by what they have`() throws {
        let records = try Self.posts(
            """
            {"id":"a","link_id":"t3_x","body":"b","created_utc":1.5}
            {"id":"t1_b","parent_id":"t3_y","body":"b"}
            {"id":"c","selftext":"","title":"t","url":"u","edited":1700000000,"score":-3,"upvote_ratio":0.25}
            {"kind":"t3","data":{"name":"t3_d","title":"t","author":"[deleted]"}}
            {"id":"e","submission_id":"z","kind":"comment","body":"b","created_utc":"yesterday"}
            {"id":"t1_f","body":"b"}
            """)
        #expect(records.map(\.facts.id) == ["t1_a", "t1_b", "t3_c", "t3_d", "t1_e", "t1_f"])
        #expect(records.map(\.facts.kind) == ["comment", "comment", "submission", "submission", "comment", "comment"])
        #expect(records.map(\.facts.submissionId) == ["t3_x", "t3_y", nil, nil, "t3_z", nil])
        #expect(records[0].facts.createdAt == Timestamp(microseconds: 1_500_000) && records[0].facts.editedAt == nil)
        #expect(records[2].facts.editedAt == Timestamp(microseconds: 1_700_000_000_000_000))
        #expect(records[2].facts.score == -3 && records[2].facts.upvoteRatio == 0.25 && records[3].facts.author == nil)
        #expect(records[4].staging.problem == "ts_unreadable" && records[4].staging.original != nil)
    }

    @Test func `what cannot be read is kept with its reason`() throws {
        let records = try Self.posts("id,body\na,b,c\n\"x\"y,z\nok,fine\n")
        #expect(records.map(\.staging.problem) == ["malformed_line", "malformed_line", nil])
        #expect(throws: IngestError.self) { try Self.posts("id,nothing\na,b\n") }
        #expect(try Self.posts("") == [])
        let json = try Self.posts("{\"id\":\"a\",\"body\":\"b\"}\n{broken\n")
        #expect(json.map(\.staging.problem) == [nil, "malformed_line"])
    }

    @Test(arguments: [
        ("ts,symbol,price,size", FileKind.trades), (",parent_id,id,text", .posts),
        ("symbol,name,exchange", .instruments),
        (#"{"s":1}"#, .trades), (#"{"id":"a","body":"b"}"#, .posts),
        (#"{"kind":"t1","data":{"name":"t1_a","body":"b"}}"#, .posts),
        (#"{"symbol":"A","name":"B"}"#, .instruments), (#"{"type":"trade","data":[{"s":"A"}]}"#, .trades),
        (#"{"symbol":"A","price":1,"size":2,"id":3,"text":""}"#, .trades), ("", .trades), ("{", .trades),
    ])
    func `the first line tells what a file holds`(line: String, kind: FileKind) {
        var line = line
        #expect(line.withUTF8 { FileKind.of(line: UnsafeRawBufferPointer($0)) } == kind)
    }
}
