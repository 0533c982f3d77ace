// SPDX-License-Identifier: Apache-2.0

import CForecast

/// What the inner loops are compiled for; each gives the same bits.
enum InstructionSet: UInt32, CaseIterable, Sendable {
    /// What every processor of the architecture has.
    case baseline
    case avx2
    case avx512

    /// The best that this processor has.
    static let best = InstructionSet(rawValue: tapedeck_best_vectors().rawValue) ?? .baseline

    /// Those that this processor has.
    static var available: [InstructionSet] { allCases.filter { $0.rawValue <= best.rawValue } }

    var vectors: TapedeckVectors { TapedeckVectors(rawValue: rawValue) }
}
