// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import TrinoSQL

@testable import QueryServer

private let failure = TrinoFailure(.userCanceled, "Query was canceled")

/// A mailbox in a class, so that expectations may change it.
private final class Box {
    var mailbox = TrinoMailbox()

    static func described() -> Box {
        let box = Box()
        box.mailbox.start()
        box.mailbox.describe(columns: Array("[]".utf8))
        return box
    }

    var waitingBytes: Int { mailbox.waitingBytes }
    var isDelivered: Bool { mailbox.isDelivered }

    func put(_ chunk: [UInt8], rows: Int) { mailbox.put(chunk, rows: rows) }
    func end(_ ending: TrinoMailbox.Ending) -> Bool { mailbox.end(ending) }
    func abandon(_ failure: TrinoFailure) -> Bool { mailbox.abandon(failure) }
    func hasRoom(for count: Int, within limit: Int) -> Bool { mailbox.hasRoom(for: count, within: limit) }

    func take(_ token: Int, target: Int = 100, mayWait: Bool = true) -> TrinoMailbox.Taken {
        mailbox.take(token, target: target, mayWait: mayWait, elapsed: .zero, queued: .zero)
    }

    func page(_ token: Int, target: Int = 100, mayWait: Bool = true) -> TrinoMailbox.Page? {
        if case .page(let page) = take(token, target: target, mayWait: mayWait) { return page }
        return nil
    }
}

private func chunk(_ count: Int) -> [UInt8] { Array(repeating: 0x31, count: count) }

@Suite struct TrinoMailboxTests {
    @Test func `a page is read as often as it is asked for, until the next one is`() {
        let mailbox = Box.described()
        mailbox.put(chunk(60), rows: 1)
        mailbox.put(chunk(60), rows: 1)
        #expect(mailbox.page(1)?.chunks == [chunk(60)])
        #expect(mailbox.page(1)?.chunks == [chunk(60)] && mailbox.waitingBytes == 60)
        #expect(mailbox.page(2)?.chunks == [chunk(60)])
        if case .gone = mailbox.take(1) {} else { Issue.record("an older page is gone") }
        if case .unknown = mailbox.take(4) {} else { Issue.record("a page too far ahead is unknown") }
    }

    @Test func `a page has what fits its size, and at least a chunk`() {
        let mailbox = Box.described()
        for _ in 0..<4 { mailbox.put(chunk(40), rows: 1) }
        #expect(mailbox.page(1, target: 80)?.chunks.count == 2)
        #expect(mailbox.page(2, target: 1)?.chunks.count == 1)
        #expect(mailbox.page(3, target: 1000)?.chunks.count == 1)
    }

    @Test func `who waits is told nothing, who does not has a page without rows`() throws {
        let mailbox = Box()
        if case .nothing = mailbox.take(1) {} else { Issue.record("there is nothing yet") }
        let page = try #require(mailbox.page(1, mayWait: false))
        #expect(page.stage == .queued && page.chunks.isEmpty && !page.isLast && page.columns == nil)
        mailbox.mailbox.start()
        #expect(mailbox.page(1)?.stage == .queued, "the same page again, although the query has begun")
        #expect(mailbox.page(2, mayWait: false)?.stage == .running)
    }

    @Test func `the last page comes with the last rows`() throws {
        let mailbox = Box.described()
        mailbox.put(chunk(60), rows: 3)
        mailbox.put(chunk(60), rows: 4)
        _ = mailbox.end(.finished)
        let first = try #require(mailbox.page(1))
        #expect(!first.isLast && first.stage == .running)
        let last = try #require(mailbox.page(2))
        #expect(last.isLast && last.stage == .finished && last.rows == 7 && mailbox.isDelivered)
        if case .unknown = mailbox.take(3) {} else { Issue.record("nothing follows the last page") }
        #expect(mailbox.page(2)?.isLast == true)
    }

    @Test func `a failure overtakes rows, and the first ending counts`() throws {
        let mailbox = Box.described()
        mailbox.put(chunk(10), rows: 1)
        let isFirst = mailbox.end(.failed(failure))
        let isSecond = mailbox.end(.finished)
        #expect(isFirst && !isSecond && mailbox.waitingBytes == 0)
        let page = try #require(mailbox.page(1))
        #expect(page.failure == failure && page.isLast && page.chunks.isEmpty && page.stage == .failed)
    }

    @Test func `what nobody fetches becomes a failure, what was fetched does not`() {
        let left = Box.described()
        left.put(chunk(10), rows: 1)
        _ = left.end(.finished)
        #expect(left.abandon(failure))
        #expect(left.page(1)?.failure == failure)
        let read = Box.described()
        _ = read.end(.finished)
        _ = read.page(1)
        #expect(!read.abandon(failure) && read.page(1)?.stage == .finished)
    }

    @Test func `room is what the limit leaves`() {
        let mailbox = Box.described()
        #expect(mailbox.hasRoom(for: 1000, within: 100), "anything fits where nothing is")
        mailbox.put(chunk(60), rows: 1)
        #expect(mailbox.hasRoom(for: 40, within: 100))
        #expect(!mailbox.hasRoom(for: 41, within: 100))
    }

    @Test(arguments: [1, 7, 42]) func `every row is delivered once, whatever the sizes and repeats`(_ seed: UInt64)
        throws
    {
        var random = SeededRandom(seed: seed)
        let mailbox = Box.described()
        var sent: [UInt8] = []
        var received: [UInt8] = []
        var token = 1
        for step in 0..<2000 {
            if Bool.random(using: &random) {
                let bytes = (0..<Int.random(in: 1...50, using: &random)).map { _ in
                    UInt8.random(in: .min ... .max, using: &random)
                }
                sent += bytes
                mailbox.put(bytes, rows: 1)
            } else if let page = mailbox.page(token, target: Int.random(in: 0...120, using: &random)) {
                if Bool.random(using: &random) {
                    #expect(mailbox.page(token)?.chunks == page.chunks, "seed \(seed), step \(step)")
                }
                received += page.chunks.flatMap { $0 }
                token += 1
            }
        }
        _ = mailbox.end(.finished)
        while let page = mailbox.page(token) {
            received += page.chunks.flatMap { $0 }
            token += 1
        }
        #expect(received == sent && mailbox.isDelivered, "seed \(seed)")
    }
}
