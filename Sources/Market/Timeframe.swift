// SPDX-License-Identifier: Apache-2.0

/// The width of a bar. Bars start at multiples of their width since the epoch, UTC.
///
/// Each width divides the next, so a coarser bar is a merge of finer ones (``BarDelta``).
package enum Timeframe: UInt8, CaseIterable, Comparable, Sendable {
    case second1, second5, second15, minute1, minute5, minute15, hour1, day1

    /// The name in SQL, URLs and files: `1s 5s 15s 1m 5m 15m 1h 1d`.
    package var name: String { Self.names[Int(rawValue)] }

    /// The width in microseconds.
    package var microseconds: Int64 { Self.widths[Int(rawValue)] }

    /// The timeframe of that name, or nil.
    package init?(name: String) {
        guard let index = Self.names.firstIndex(of: name) else { return nil }
        self = Self.allCases[index]
    }

    /// The start of the bar that holds `time`.
    @inline(__always)
    package func start(of time: Timestamp) -> Timestamp {
        Timestamp(microseconds: floorDivide(time.microseconds, microseconds) * microseconds)
    }

    package static func < (a: Timeframe, b: Timeframe) -> Bool { a.rawValue < b.rawValue }

    private static let names = ["1s", "5s", "15s", "1m", "5m", "15m", "1h", "1d"]
    private static let widths: [Int64] = [1, 5, 15, 60, 300, 900, 3600, 86_400].map { $0 * 1_000_000 }
}
