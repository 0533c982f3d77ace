// SPDX-License-Identifier: Apache-2.0

import CForecast
@testable import Forecast
import Testing
import TestSupport

struct PhiloxTests {
    /// The eight blocks of the counters (first + lane, second), four words each.
    private static func blocks(
        _ instructions: InstructionSet, _ first: UInt64, _ second: UInt64, _ key: UInt64
    ) -> [[UInt32]] {
        var low = [UInt64](repeating: 0, count: 8)
        var high = low
        tapedeck_philox(instructions.vectors, first, second, key, &low, &high)
        return zip(low, high).map { low, high in
            [low, low >> 32, high, high >> 32].map { UInt32(truncatingIfNeeded: $0) }
        }
    }

    /// Known answers of Random123 (`kat_vectors`, philox4x32 10): counter, key, block.
    @Test(arguments: [
        ((UInt64(0), UInt64(0)), UInt64(0), [UInt32(0x6627_e8d5), 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ((.max, .max), .max, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            (0x85a3_08d3_243f_6a88, 0x0370_7344_1319_8a2e), 0x299f_31d0_a409_3822,
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        ),
    ])
    func `a block is what the authors say`(counter: (UInt64, UInt64), key: UInt64, answer: [UInt32]) {
        for instructions in InstructionSet.available {
            #expect(Self.blocks(instructions, counter.0, counter.1, key)[0] == answer, "\(instructions)")
            // In any lane.
            for lane in UInt64(1)..<8 {
                #expect(Self.blocks(instructions, counter.0 &- lane, counter.1, key)[Int(lane)] == answer)
            }
        }
    }
}
