// SPDX-License-Identifier: Apache-2.0

/// The digits of a decimal: in all, and after the point (Trino docs, "Decimal functions and operators").
package struct DecimalDigits: Sendable, Equatable {
    package var precision: Int
    package var scale: Int

    static let precisionMax = 38

    /// Nil for a scale that no decimal can have.
    package init?(_ precision: Int, _ scale: Int) {
        guard (0...Self.precisionMax).contains(scale) else { return nil }
        self.precision = min(Self.precisionMax, max(precision, scale, 1))
        self.scale = scale
    }

    /// Digits before the point.
    var whole: Int { precision - scale }

    static func + (x: Self, y: Self) -> Self? {
        let scale = max(x.scale, y.scale)
        return Self(1 + scale + max(x.whole, y.whole), scale)
    }

    static func * (x: Self, y: Self) -> Self? { Self(x.precision + y.precision, x.scale + y.scale) }

    static func / (x: Self, y: Self) -> Self? {
        Self(x.precision + y.scale + max(0, y.scale - x.scale), max(x.scale, y.scale))
    }

    static func % (x: Self, y: Self) -> Self? {
        let scale = max(x.scale, y.scale)
        return Self(min(x.whole, y.whole) + scale, scale)
    }

    /// What holds the values of both.
    func union(_ other: Self) -> Self? {
        let scale = max(scale, other.scale)
        return Self(max(whole, other.whole) + scale, scale)
    }

    /// Of a sum of such values.
    var sum: Self? { Self(Self.precisionMax, scale) }
    /// Rounded to a whole number, which may have a digit more.
    var rounded: Self? { Self(whole + min(1, scale), 0) }
    /// Rounded to digits after the point, of which as many are written as before.
    var roundedInPlace: Self? { Self(precision + 1, scale) }
}

/// The type of a number, where it may become part of a decimal.
package enum NumberType: Sendable, Equatable {
    /// A whole number of at most so many digits: 5, 10 or 19.
    case integer(digits: Int)
    case decimal(DecimalDigits)

    var digits: DecimalDigits? {
        switch self {
        case .integer(let digits): DecimalDigits(digits, 0)
        case .decimal(let digits): digits
        }
    }
}
