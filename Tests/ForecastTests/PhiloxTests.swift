// SPDX-License-Identifier: Apache-2.0

@testable import Forecast
import Testing
import TestSupport

struct PhiloxTests {
    /// Known answers of Random123 (`kat_vectors`, philox4x32 10).
    @Test(arguments: [
        (
            SIMD4<UInt32>(0, 0, 0, 0), SIMD2<UInt32>(0, 0),
            SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)
        ),
        (
            SIMD4(repeating: UInt32.max), SIMD2(repeating: UInt32.max),
            SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
        ),
        (
            SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), SIMD2(0xa409_3822, 0x299f_31d0),
            SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
        ),
    ])
    func `a block is what the authors say`(counter: SIMD4<UInt32>, key: SIMD2<UInt32>, answer: SIMD4<UInt32>) {
        #expect(Philox.block(counter: counter, key: key) == answer)
    }

    @Test func `eight blocks at once are eight blocks`() {
        var random = SeededRandom()
        for _ in 0..<200 {
            let (first, second, key) = (random.next() >> 4, random.next(), random.next())
            let (low, high) = Philox.eightBlocks(first: first, second: second, key: key)
            for lane in 0..<8 {
                let index = first + UInt64(lane)
                let block = Philox.block(
                    counter: [
                        UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32),
                        UInt32(truncatingIfNeeded: second), UInt32(truncatingIfNeeded: second >> 32),
                    ], key: [UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)])
                #expect(low[lane] == UInt64(block[0]) | UInt64(block[1]) << 32, "seed \(random.seed)")
                #expect(high[lane] == UInt64(block[2]) | UInt64(block[3]) << 32, "seed \(random.seed)")
            }
        }
    }
}
