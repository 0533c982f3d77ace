// SPDX-License-Identifier: Apache-2.0
// Sets of addresses as operators write them. Pure.

/// An address block in CIDR notation (RFC 4632, RFC 4291 §2.3): `10.0.0.0/8`, `fd00::/8`, or one address.
package struct AddressRange: Sendable, Equatable {
    private let network: [UInt8]
    private let prefixLength: Int

    /// Takes `ADDRESS[/BITS]`; nil for anything else. Bits below the prefix are ignored.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = SocketAddress(numeric: Array(parts[0].utf8)) else { return nil }
        network = address.bytes
        guard parts.count == 2 else {
            prefixLength = network.count * 8
            return
        }
        guard !parts[1].isEmpty, parts[1].utf8.count <= 3, parts[1].utf8.allSatisfy(Byte.isDigit),
            let bits = Int(parts[1]), bits <= network.count * 8
        else { return nil }
        prefixLength = bits
    }

    /// Whether the address is in the block. IPv4 addresses mapped into IPv6 (`::ffff:10.1.2.3`) count as IPv4.
    package func contains(_ address: SocketAddress) -> Bool {
        let bytes = address.bytes
        guard bytes.count == network.count else { return false }
        let whole = prefixLength / 8
        if bytes[..<whole] != network[..<whole] { return false }
        let rest = prefixLength % 8
        return rest == 0 || (bytes[whole] ^ network[whole]) >> (8 - UInt8(rest)) == 0
    }
}
