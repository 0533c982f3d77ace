// SPDX-License-Identifier: Apache-2.0
// Fewer points that look the same. Pure.

/// How a line of many points becomes one of few.
enum Downsampling: String, CaseIterable {
    /// Largest Triangle Three Buckets (Sveinn Steinarsson, Downsampling Time Series for Visual Representation,
    /// University of Iceland 2013, section 4.2): the points that keep the line's shape, one of each bucket.
    case lttb
    /// The lowest and the highest point of each bucket of time: no spike is lost, however short.
    case minmax
    /// All points.
    case none

    /// The places of the points that stay, ascending, at most `count` of them.
    ///
    /// - Parameters:
    ///   - times: ascending.
    ///   - values: finite, one for each time.
    ///   - count: at least 3 for a choice to be made; of fewer than that the last ones stay.
    func places(_ times: [Int64], _ values: [Double], count: Int) -> [Int] {
        if self == .none || times.count <= count { return Array(times.indices) }
        if count < 3 { return Array(times.indices.suffix(count)) }
        return self == .lttb
            ? Self.largestTriangles(times, values, count: count) : Self.extremes(times, values, count: count)
    }

    /// The first and the last point, and of each of `count - 2` buckets the one that spans the largest triangle with the
    /// point chosen before it and the mean of the bucket after it.
    private static func largestTriangles(_ times: [Int64], _ values: [Double], count: Int) -> [Int] {
        let total = times.count
        // Differences keep their digits where microseconds since 1970 would not.
        let origin = times[0]
        func x(_ index: Int) -> Double { Double(times[index] - origin) }
        let width = Double(total - 2) / Double(count - 2)
        func start(_ bucket: Int) -> Int { min(total - 1, Int(Double(bucket) * width) + 1) }
        var chosen = [0]
        chosen.reserveCapacity(count)
        for bucket in 0..<(count - 2) {
            let (next, end) = (start(bucket + 1), bucket == count - 3 ? total : start(bucket + 2))
            var (meanX, meanY) = (0.0, 0.0)
            for index in next..<end {
                meanX += x(index)
                meanY += values[index]
            }
            meanX /= Double(end - next)
            meanY /= Double(end - next)
            let last = chosen[chosen.count - 1]
            let (lastX, lastY) = (x(last), values[last])
            var (largest, best) = (-1.0, start(bucket))
            for index in start(bucket)..<next {
                let area = abs((lastX - meanX) * (values[index] - lastY) - (lastX - x(index)) * (meanY - lastY))
                if area > largest { (largest, best) = (area, index) }
            }
            chosen.append(best)
        }
        chosen.append(total - 1)
        return chosen
    }

    /// The first of the lowest and the first of the highest points of each of `count / 2` equal spans of time from the
    /// first point to the last.
    private static func extremes(_ times: [Int64], _ values: [Double], count: Int) -> [Int] {
        let buckets = Int64(count / 2)
        let origin = times[0]
        // Rounded up, so that the last point falls into the last bucket.
        let width = max(1, (times[times.count - 1] - origin) / buckets + 1)
        var chosen: [Int] = []
        chosen.reserveCapacity(count)
        var index = 0
        while index < times.count {
            let end = origin + ((times[index] - origin) / width + 1) * width
            var (low, high) = (index, index)
            while index < times.count && times[index] < end {
                if values[index] < values[low] { low = index }
                if values[index] > values[high] { high = index }
                index += 1
            }
            chosen.append(min(low, high))
            if low != high { chosen.append(max(low, high)) }
        }
        return chosen
    }
}
