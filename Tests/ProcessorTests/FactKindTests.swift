// SPDX-License-Identifier: Apache-2.0

import EventLog
import Market
import Records
import TestSupport
import Testing

@testable import Processor

struct FactKindTests {
    private let quotes = QuoteKind(longestLead: .seconds(60))
    private let instruments = InstrumentKind(longestLead: .seconds(60))
    private let posts = PostKind(longestLead: .seconds(60))

    private static let quote: QuoteFacts = {
        var quote = QuoteFacts()
        quote.symbol = "AAPL"
        quote.ts = noon
        quote.price = 1.5
        return quote
    }()

    @Test func `a quote is refused for what is wrong with it`() {
        let cases: [(RejectionReason?, (inout QuoteFacts) -> Void)] = [
            (nil, { _ in }), (nil, { $0.volume = 0 }), (.symbolMissing, { $0.symbol = nil }),
            (.symbolMissing, { $0.symbol = "" }), (.symbolSyntax, { $0.symbol = " A" }), (.tsMissing, { $0.ts = nil }),
            (.tsBeforeEpoch, { $0.ts = Timestamp(microseconds: -1) }),
            (nil, { $0.ts = Timestamp(microseconds: noon.microseconds + 60_000_000) }),
            (.tsInFuture, { $0.ts = Timestamp(microseconds: noon.microseconds + 60_000_001) }),
            (.priceMissing, { $0.price = nil }), (.priceNotFinite, { $0.price = .nan }),
            (.priceNotPositive, { $0.price = 0 }), (.priceOutOfRange, { $0.price = 1e-300 }),
            (.factNotFinite, { $0.high = .infinity }),
            (.factNegative, { $0.volume = -1 }), (.textSyntax, { $0.currency = "U\0D" }),
        ]
        for (reason, change) in cases {
            var quote = Self.quote
            change(&quote)
            #expect(quotes.reason(toReject: quote, now: noon) == reason)
        }
    }

    @Test func `a bar of a source is refused for what is wrong with it`() {
        var good = SourceBarFacts()
        good.symbol = "AAPL"
        good.timeframe = "2m"
        good.ts = noon
        (good.open, good.high, good.low, good.close) = (2, 4, 1, 3)
        let cases: [(RejectionReason?, (inout SourceBarFacts) -> Void)] = [
            (nil, { _ in }), (nil, { $0.volume = 0 }), (nil, { $0.low = 4 }), (.symbolMissing, { $0.symbol = nil }),
            (.tsMissing, { $0.ts = nil }), (.timeframeSyntax, { $0.timeframe = nil }),
            (.timeframeSyntax, { $0.timeframe = "2 minutes" }), (.priceMissing, { $0.close = nil }),
            (.priceNotFinite, { $0.open = .nan }), (.priceNotPositive, { $0.low = 0 }),
            (.priceOutOfRange, { $0.high = 1e101 }), (.barRange, { $0.low = 4.5 }),
            (.factNegative, { $0.volume = -1 }), (.factNotFinite, { $0.volume = .infinity }),
            (.textSyntax, { $0.currency = "U\0D" }),
        ]
        for (reason, change) in cases {
            var bar = good
            change(&bar)
            #expect(SourceBarKind(longestLead: .seconds(60)).reason(toReject: bar, now: noon) == reason)
        }
    }

    @Test func `an instrument needs a fact, a post an id, a kind and a time`() {
        var instrument = InstrumentFacts()
        instrument.symbol = "AAPL"
        instrument.updatedAt = noon
        #expect(instruments.reason(toReject: instrument, now: noon) == .factsMissing)
        instrument.marketCap = .nan
        #expect(instruments.reason(toReject: instrument, now: noon) == .factNotFinite)
        instrument.marketCap = 1
        #expect(instruments.reason(toReject: instrument, now: noon) == nil)

        var post = PostFacts()
        #expect(posts.reason(toReject: post, now: noon) == .postIDMissing)
        post.id = "a\u{1}"
        #expect(posts.reason(toReject: post, now: noon) == .postIDSyntax)
        post.id = "t1_x"
        post.kind = "story"
        #expect(posts.reason(toReject: post, now: noon) == .postKindUnknown)
        post.kind = "comment"
        #expect(posts.reason(toReject: post, now: noon) == .tsMissing)
        post.createdAt = noon
        #expect(posts.reason(toReject: post, now: noon) == nil)
        post.body = "\0"
        #expect(posts.reason(toReject: post, now: noon) == .textSyntax)
    }

    @Test func `an event of a source needs a number, a kind and a time, and a gap its bounds`() {
        let kind = SourceEventKind(longestLead: .seconds(60))
        let gap = SourceEventFacts(.gap, sequence: 1, ts: noon, symbols: ["A"], from: noon, to: noon)
        let cases: [(RejectionReason?, (inout SourceEventFacts) -> Void)] = [
            (nil, { _ in }), (nil, { $0.symbols = nil }), (.eventSequenceMissing, { $0.sequence = nil }),
            (.eventKindUnknown, { $0.kind = nil }), (.eventKindUnknown, { $0.kind = "tired" }),
            (.tsMissing, { $0.ts = nil }), (.symbolSyntax, { $0.symbols = ["A", "B,C"] }),
            (.eventPeriod, { $0.from = nil }), (.eventPeriod, { $0.to = nil }),
            (.eventPeriod, { $0.from = Timestamp(microseconds: noon.microseconds + 1) }),
            (.tsInFuture, { $0.to = Timestamp(microseconds: noon.microseconds + 60_000_001) }),
            (.tsBeforeEpoch, { $0.from = Timestamp(microseconds: -1) }), (.textSyntax, { $0.message = "\0" }),
            (
                nil,
                {
                    $0.kind = "connected"
                    $0.from = nil
                }
            ),
        ]
        for (reason, change) in cases {
            var event = gap
            change(&event)
            #expect(kind.reason(toReject: event, now: noon) == reason)
        }
    }

    @Test func `events of a source are keyed by it`() throws {
        var batch = RecordBatch()
        for kind in SourceEventFacts.Kind.allCases {
            let facts = SourceEventFacts(
                kind, sequence: 3, ts: noon, symbols: ["A", "B"], from: noon, to: noon, message: "é")
            let record = Staged(Staging(run: 7, source: "venue", position: 3, ingestedAt: noon), facts)
            batch.append(key: "anything") { record.encode(into: &$0) }
        }
        var append = Append()
        let fetched = FetchedBatch(partition: TopicPartition("source_events.staging", 0), baseOffset: 0, records: batch)
        let validator = RecordValidator(
            SourceEventKind(longestLead: .zero), validPartitions: 16, rejectedPartitions: 1)
        #expect(validator.sort(fetched, into: &append, now: noon).valid == SourceEventFacts.Kind.allCases.count)
        #expect(append.batches.count == 1)
        var kinds: [String] = []
        for (_, records) in append.batches {
            records.forEach { _, key, value in
                #expect(String(decoding: key, as: UTF8.self) == "venue")
                guard let event = Valid<SourceEventFacts>(decoding: value) else { return }
                #expect(event.source == "venue" && event.facts.symbols == ["A", "B"] && event.facts.message == "é")
                #expect(event.facts.from == noon && event.facts.to == noon && event.facts.sequence == 3)
                kinds.append(event.facts.kind ?? "")
            }
        }
        #expect(kinds == SourceEventFacts.Kind.allCases.map(\.rawValue))
    }

    @Test func `staged records of a kind are sorted as trades are`() throws {
        let staging = Staging(run: 7, source: "yahoo", position: 1, ingestedAt: noon)
        var bad = Self.quote
        bad.price = -1
        var unread = staging
        unread.problem = "price_unreadable"
        unread.original = [1, 2]
        var batch = RecordBatch()
        for record in [
            Staged(staging, Self.quote), Staged(staging, bad), Staged(unread, Self.quote),
        ] {
            batch.append(key: "AAPL") { record.encode(into: &$0) }
        }
        batch.append(key: "AAPL") { $0 += [0xFF] }
        batch.append(key: "AAPL") { $0 += [0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 9] }
        let validator = RecordValidator(quotes, validPartitions: 4, rejectedPartitions: 1)
        var append = Append()
        let fetched = FetchedBatch(partition: TopicPartition("quotes.staging", 0), baseOffset: 10, records: batch)
        let counts = validator.sort(fetched, into: &append, now: noon)
        #expect(counts.valid == 1 && counts.rejected == 4)
        var quotesFound: [Valid<QuoteFacts>] = []
        var refused: [RejectedRecord] = []
        for (partition, records) in append.batches {
            records.forEach { _, key, value in
                #expect(String(decoding: key, as: UTF8.self) == "AAPL")
                if partition.topic == "quotes" {
                    Valid<QuoteFacts>(decoding: value).map { quotesFound.append($0) }
                } else {
                    RejectedRecord(decoding: value).map { refused.append($0) }
                }
            }
        }
        #expect(quotesFound.map(\.facts) == [Self.quote] && quotesFound[0].run == 7)
        #expect(
            refused.map(\.reason) == ["price_not_positive", "price_unreadable", "undecodable", "unknown_schema"])
        #expect(refused.map(\.offset) == [11, 12, 13, 14] && refused[1].original == [1, 2])
        #expect(refused.allSatisfy { $0.topic == "quotes.staging" })
    }

    @Test func `a rejection carries as much of the original as a broker takes`() throws {
        for (size, kept) in [(768 << 10, 768 << 10), ((768 << 10) + 1, 768 << 10), (10, 10)] {
            var batch = RecordBatch()
            batch.append(key: "x") { $0 += Array(repeating: 7, count: size) }
            var append = Append()
            let validator = RecordValidator(quotes, validPartitions: 1, rejectedPartitions: 1)
            _ = validator.sort(
                FetchedBatch(partition: TopicPartition("quotes.staging", 0), baseOffset: 0, records: batch),
                into: &append, now: noon)
            append.batches[TopicPartition("quotes.rejected", 0)]?.forEach { _, _, value in
                #expect(RejectedRecord(decoding: value)?.original.count == kept)
            }
            #expect(append.batches.count == 1)
        }
    }
}
