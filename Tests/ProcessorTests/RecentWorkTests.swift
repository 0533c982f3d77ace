// SPDX-License-Identifier: Apache-2.0

import Market
@testable import Processor
import Testing

struct RecentWorkTests {
    struct Trouble: Error, CustomStringConvertible { let description = "trouble" }

    @Test func `nothing is said before the first transaction`() {
        let summary = RecentWork().summary
        #expect(summary.transactions == 0 && summary.batchMedian == nil && summary.timeLongest == nil)
        #expect(summary.retries == 0 && summary.lastFailure == nil)
    }

    @Test func `the last thousand transactions are looked back at, all are counted`() {
        let work = RecentWork()
        // The first half would spoil each figure if it were still there.
        for _ in 0..<RecentWork.capacity { work.committed(records: 1_000_000, in: .seconds(100)) }
        for number in 1...RecentWork.capacity { work.committed(records: number, in: .milliseconds(number)) }
        let summary = work.summary
        #expect(summary.transactions == 2 * Int64(RecentWork.capacity))
        #expect(summary.records == 1_000_500_500)
        #expect(summary.batchMedian == 500 && summary.batchLargest == 1000)
        #expect(summary.timeMedian == .milliseconds(500) && summary.time99 == .milliseconds(990))
        #expect(summary.timeLongest == .milliseconds(1000))
    }

    @Test func `the last failure is remembered, with its stage and time`() {
        let work = RecentWork()
        work.failed("store", Trouble(), at: Timestamp(microseconds: 5))
        work.failed("facts", Trouble(), at: Timestamp(microseconds: 6))
        let summary = work.summary
        #expect(summary.retries == 2 && summary.lastFailure == "facts: trouble")
        #expect(summary.lastFailureAt == Timestamp(microseconds: 6))
    }

    @Test func `quantiles are those of the nearest rank`() {
        #expect(RecentWork.quantile([Int](), 0.5) == nil)
        #expect(RecentWork.quantile([7], 0.99) == 7)
        #expect(RecentWork.quantile([1, 2, 3, 4], 0.5) == 2)
        #expect(RecentWork.quantile(Array(1...200), 0.99) == 198)
    }
}
