// SPDX-License-Identifier: Apache-2.0

/// A schema that a value was written with, known by its fingerprint.
///
/// Every value in the log is in Avro's single-object encoding: the marker `C3 01`, the 8-byte little-endian
/// CRC-64-AVRO fingerprint of the writer's schema in Parsing Canonical Form, then the datum. A reader from outside can
/// therefore tell which schema of `schemas/` to decode with. Source: Apache Avro 1.11 specification, "Single-object
/// encoding" and "Schema fingerprints".
package struct AvroSchema: Sendable {
    /// The schema in Parsing Canonical Form; a test holds it against `schemas/*.avsc`.
    package let canonicalForm: String
    /// CRC-64-AVRO of the canonical form.
    package let fingerprint: UInt64
    /// Marker and fingerprint: the ten bytes before each datum.
    package let header: [UInt8]

    /// Older versions of the schema, in Parsing Canonical Form, that records in a log may still have.
    private let previous: [AvroSchemaVersion]

    /// - Parameters:
    ///   - previous: the canonical forms of the versions that were published before.
    ///   - defaults: the encoded defaults of the fields that an older version lacks, by name.
    package init(canonicalForm: String, previous: [String] = [], defaults: [String: [UInt8]] = [:]) {
        self.previous = previous.map { older in
            guard let writer = AvroType(json: older), let reader = AvroType(json: canonicalForm),
                let resolution = SchemaResolution(writer: writer, reader: reader, defaults: defaults)
            else { preconditionFailure("a published schema cannot be read any more: \(older)") }
            return AvroSchemaVersion(fingerprint: Self.rabinFingerprint(older.utf8), resolution: resolution)
        }
        self.canonicalForm = canonicalForm
        fingerprint = Self.rabinFingerprint(canonicalForm.utf8)
        header = [0xC3, 0x01] + (0..<8).map { [fingerprint] in UInt8(truncatingIfNeeded: fingerprint >> (8 * $0)) }
    }

    /// The datum inside a single-object encoded value of this schema; nil if the value is not one.
    @inline(__always)
    func datum(of value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard value.count >= 10, value[0] == 0xC3, value[1] == 0x01,
            UInt64(littleEndian: value.loadUnaligned(fromByteOffset: 2, as: UInt64.self)) == fingerprint
        else { return nil }
        return UnsafeRawBufferPointer(rebasing: value[10...])
    }

    /// The single-object encoding in this schema of a value that an older version of it wrote; nil if the value is not
    /// one. The slow path, for values of which ``datum(of:)`` is nil.
    package func upgraded(_ value: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let written = Self.fingerprint(of: value),
            let version = previous.first(where: { $0.fingerprint == written }),
            let datum = version.resolution.convert(UnsafeRawBufferPointer(rebasing: value[10...]))
        else { return nil }
        return header + datum
    }

    /// Whether `value` is a single-object encoding of some schema that this program does not know.
    package func isOfAnother(_ value: UnsafeRawBufferPointer) -> Bool {
        guard let written = Self.fingerprint(of: value) else { return false }
        return written != fingerprint && !previous.contains { $0.fingerprint == written }
    }

    private static func fingerprint(of value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count >= 10, value[0] == 0xC3, value[1] == 0x01 else { return nil }
        return UInt64(littleEndian: value.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
    }

    /// CRC-64-AVRO (the specification's Java sample, in Swift).
    static func rabinFingerprint(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var fingerprint = emptyFingerprint
        for byte in bytes {
            fingerprint = (fingerprint >> 8) ^ table[Int(truncatingIfNeeded: (fingerprint ^ UInt64(byte)) & 0xFF)]
        }
        return fingerprint
    }

    private static let emptyFingerprint: UInt64 = 0xC15D_213A_A4D7_A795

    private static let table: [UInt64] = (0..<256).map { index in
        var value = UInt64(index)
        for _ in 0..<8 { value = (value >> 1) ^ (emptyFingerprint & (0 &- (value & 1))) }
        return value
    }
}

/// An older version of a schema, and the way from it to the current one.
private struct AvroSchemaVersion: Sendable {
    var fingerprint: UInt64
    var resolution: SchemaResolution
}
