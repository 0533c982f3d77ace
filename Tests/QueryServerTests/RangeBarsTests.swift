// SPDX-License-Identifier: Apache-2.0

import Market
import Testing

@testable import QueryServer

private func time(_ seconds: Double) -> Timestamp { Timestamp(microseconds: Int64(seconds * 1_000_000)) }

private func seconds(_ from: Double, _ to: Double) -> Range<Int64> { time(from).microseconds..<time(to).microseconds }

struct RangeBarsTests {
    private let minute = BarInterval(.minute1)

    @Test func `a range is cut where steps begin`() {
        func cut(_ from: Double?, _ to: Double?) -> RangeCut {
            RangeCut(TimeRange(from: from.map(time), to: to.map(time)), minute)
        }
        #expect(cut(60, 180).whole == TimeRange(from: time(60), to: time(180)))
        #expect(cut(60, 180).head == nil && cut(60, 180).tail == nil)
        #expect(cut(59.5, 180.5).head == seconds(59.5, 60) && cut(59.5, 180.5).tail == seconds(180, 180.5))
        #expect(cut(59.5, 180.5).whole == TimeRange(from: time(60), to: time(180)))
        // Within one step, and over the end of one without a whole one.
        #expect(cut(61, 62).head == seconds(61, 62) && cut(61, 62).whole == nil && cut(61, 62).tail == nil)
        #expect(cut(59, 62).head == seconds(59, 60) && cut(59, 62).whole == nil && cut(59, 62).tail == seconds(60, 62))
        #expect(cut(60, 62).head == nil && cut(60, 62).whole == nil && cut(60, 62).tail == seconds(60, 62))
        #expect(cut(61, 61) == cut(60, 60) && cut(61, 61).head == nil && cut(60, 60).whole == nil)
        // Open ones.
        #expect(cut(nil, 62).head == nil && cut(nil, 62).whole == TimeRange(to: time(60)))
        #expect(cut(61, nil).tail == nil && cut(61, nil).whole == TimeRange(from: time(120)))
        #expect(cut(nil, nil).whole == TimeRange())
    }

    @Test func `a part of a step is few bars, and trades for less than a second`() {
        let pieces = RangePiece.cover(seconds(3598.25, 97_261.5), widest: .hour1)
        #expect(
            pieces == [
                RangePiece(timeframe: nil, range: seconds(3598.25, 3599)),
                RangePiece(timeframe: .second1, range: seconds(3599, 3600)),
                RangePiece(timeframe: .hour1, range: seconds(3600, 97_200)),
                RangePiece(timeframe: .minute1, range: seconds(97_200, 97_260)),
                RangePiece(timeframe: .second1, range: seconds(97_260, 97_261)),
                RangePiece(timeframe: nil, range: seconds(97_261, 97_261.5)),
            ])
        #expect(
            RangePiece.cover(seconds(0.5, 0.75), widest: .day1) == [
                RangePiece(timeframe: nil, range: seconds(0.5, 0.75))
            ])
        #expect(RangePiece.cover(seconds(1, 1), widest: .day1).isEmpty)
        #expect(
            RangePiece.cover(seconds(-60, 0), widest: .day1) == [
                RangePiece(timeframe: .minute1, range: seconds(-60, 0))
            ])
    }

    @Test func `pieces follow each other without a gap, and none is wide where a wider one would do`() {
        for _ in 0..<2000 {
            let from = Int64.random(in: -200_000_000_000...200_000_000_000)
            let range = from..<(from + Int64.random(in: 0...200_000_000_000))
            let widest = Timeframe.allCases.randomElement() ?? .day1
            let pieces = RangePiece.cover(range, widest: widest)
            var place = range.lowerBound
            for piece in pieces {
                #expect(piece.range.lowerBound == place && !piece.range.isEmpty, "\(range)")
                place = piece.range.upperBound
                guard let timeframe = piece.timeframe else {
                    #expect(piece.range.count < 2_000_000)
                    continue
                }
                #expect(timeframe <= widest && piece.range.lowerBound % timeframe.microseconds == 0)
                #expect(Int64(piece.range.count) % timeframe.microseconds == 0)
            }
            #expect(place == range.upperBound && pieces.count <= 17)
        }
    }

    @Test func `where trades are kept no more, the bars around the ends count as a whole`() {
        let range = TimeRange(from: time(61.5), to: time(125.5))
        #expect(Retention().cuttable(range) == range)
        #expect(Retention(trades: time(100)).cuttable(range) == TimeRange(from: time(61), to: time(125.5)))
        #expect(Retention(trades: time(200)).cuttable(range) == TimeRange(from: time(61), to: time(126)))
        #expect(
            Retention(trades: time(200), fineBars: time(200)).cuttable(range)
                == TimeRange(from: time(60), to: time(180)))
        let whole = TimeRange(from: time(60), to: time(120))
        #expect(Retention(trades: time(200), fineBars: time(200)).cuttable(whole) == whole)
        #expect(Retention(trades: time(200)).cuttable(TimeRange()) == TimeRange())
    }
}
