// SPDX-License-Identifier: Apache-2.0
// Internet addresses: text, sockaddr, and back.

import CLinux
package import EventLoop
import Glibc

/// An IPv4 or IPv6 address with a port, as a value.
package struct SocketAddress: Sendable, Hashable, CustomStringConvertible {
    /// The address in network order: 4 bytes or 16.
    private enum Host: Hashable {
        case v4(UInt32)
        case v6(UInt64, UInt64, scope: UInt32)
    }

    private var host: Host
    /// The port, in host order.
    package var port: UInt16

    /// Takes `HOST:PORT`: `127.0.0.1:8080`, `[::1]:8080`, `localhost:0`, `*:8080` (every IPv4 interface). A name is
    /// looked up by the system, which blocks: for start-up only.
    package init(_ text: String) throws(SystemError) {
        let invalid = SystemError(code: EINVAL, call: "address \(text), which is not HOST:PORT")
        let bytes = Array(text.utf8)
        guard let colon = bytes.lastIndex(of: Byte.colon) else { throw invalid }
        let digits = bytes[(colon + 1)...]
        guard !digits.isEmpty, digits.allSatisfy(Byte.isDigit),
            let port = UInt16(String(decoding: digits, as: UTF8.self))
        else { throw invalid }
        var name = bytes[..<colon]
        let bracketed = name.first == UInt8(ascii: "[") && name.last == UInt8(ascii: "]")
        if bracketed { name = name.dropFirst().dropLast() }
        // An IPv6 address without brackets could not be told from its port.
        guard !name.isEmpty, bracketed == name.contains(Byte.colon) else { throw invalid }
        try self.init(host: String(decoding: name, as: UTF8.self), port: port)
    }

    /// Takes a numeric address, `*`, or a name.
    package init(host: String, port: UInt16) throws(SystemError) {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host == "*" ? "0.0.0.0" : host, nil, &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0, let first = list?.pointee, let address = first.ai_addr,
            let found = SocketAddress(UnsafeRawPointer(address), family: first.ai_family)
        else {
            let why = code == EAI_SYSTEM ? errno : EADDRNOTAVAIL
            throw SystemError(code: why, call: "getaddrinfo(\(host)): \(String(cString: gai_strerror(code)))")
        }
        self = found
        self.port = port
    }

    /// Takes a numeric address and nothing else, IPv6 without brackets; port 0.
    init?(numeric text: [UInt8]) {
        guard !text.isEmpty, text.count < Int(INET6_ADDRSTRLEN), !text.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        let isIPv6 = text.contains(Byte.colon)
        let valid = text.withUnsafeBytes { text in
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: text.count + 1) { string in
                for (index, byte) in text.enumerated() { string[index] = CChar(bitPattern: byte) }
                string[text.count] = 0
                return inet_pton(isIPv6 ? AF_INET6 : AF_INET, string.baseAddress!, &bytes) == 1
            }
        }
        guard valid else { return nil }
        self.init(bytes: bytes[..<(isIPv6 ? 16 : 4)], port: 0)
    }

    /// Takes an address in network order, 4 bytes or 16; nil for other counts. A mapped IPv4 address becomes IPv4.
    init?(bytes: ArraySlice<UInt8>, port: UInt16) {
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: host = .v4(UInt32(truncatingIfNeeded: word(bytes)).bigEndian)
        case 16 where bytes.starts(with: mapped):
            host = .v4(UInt32(truncatingIfNeeded: word(bytes.suffix(4))).bigEndian)
        case 16: host = .v6(word(bytes.prefix(8)).bigEndian, word(bytes.suffix(8)).bigEndian, scope: 0)
        default: return nil
        }
        self.port = port
    }

    /// The address in network order: 4 bytes, also of a mapped IPv4 address, or 16.
    var bytes: [UInt8] {
        func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
        switch host {
        case .v4(let bits): return bytes(bits)
        case .v6(0, let low, _) where low.bigEndian >> 32 == 0xffff: return Array(bytes(low)[4...])
        case .v6(let high, let low, _): return bytes(high) + bytes(low)
        }
    }

    /// What stands for one client when connections are counted: the address, or the /64 of an IPv6 address, which is
    /// what a single customer has.
    package var client: SocketAddress {
        var client = self
        client.port = 0
        if case .v6(let high, let low, let scope) = host, low.bigEndian >> 32 != 0xffff || high != 0 {
            client.host = .v6(high, 0, scope: scope)
        }
        return client
    }

    /// What a system call has written; nil for other families.
    init?(_ address: UnsafeRawPointer, family: CInt) {
        switch family {
        case AF_INET:
            let address = address.loadUnaligned(as: sockaddr_in.self)
            host = .v4(address.sin_addr.s_addr)
            port = UInt16(bigEndian: address.sin_port)
        case AF_INET6:
            let address = address.loadUnaligned(as: sockaddr_in6.self)
            let halves = withUnsafeBytes(of: address.sin6_addr) {
                ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            }
            host = .v6(halves.0, halves.1, scope: address.sin6_scope_id)
            port = UInt16(bigEndian: address.sin6_port)
        default: return nil
        }
    }

    /// The address that the other side of a socket, or a listening one, is bound to.
    static func local(of descriptor: CInt) throws(SystemError) -> SocketAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let address = withUnsafeMutablePointer(to: &storage) { storage -> SocketAddress? in
            let result = storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &length)
            }
            return result == 0 ? SocketAddress(storage, family: CInt(storage.pointee.ss_family)) : nil
        }
        guard let address else { throw SystemError(call: "getsockname") }
        return address
    }

    /// `AF_INET` or `AF_INET6`.
    var family: CInt {
        if case .v4 = host { AF_INET } else { AF_INET6 }
    }

    /// Calls `body` with the address as system calls take it.
    func withSockaddr<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
        switch host {
        case .v4(let bits):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = bits
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .v6(let high, let low, let scope):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &address.sin6_addr) {
                $0.storeBytes(of: high, as: UInt64.self)
                $0.storeBytes(of: low, toByteOffset: 8, as: UInt64.self)
            }
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
    }

    /// Whether only this machine can reach the address: 127/8, `::1`, or 127/8 mapped into IPv6.
    package var isLoopback: Bool {
        switch host {
        case .v4(let bits): UInt32(bigEndian: bits) >> 24 == 127
        case .v6(0, let low, _): low.bigEndian == 1 || low.bigEndian >> 24 == 0xffff_7f
        case .v6: false
        }
    }

    /// The address without the port.
    package var hostDescription: String {
        withSockaddr { address, _ in
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
                let raw = UnsafeRawPointer(address)
                let offset =
                    family == AF_INET
                    ? MemoryLayout<sockaddr_in>.offset(of: \.sin_addr)!
                    : MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)!
                guard let text = inet_ntop(family, raw + offset, buffer.baseAddress!, socklen_t(buffer.count)) else {
                    return "?"
                }
                return String(cString: text)
            }
        }
    }

    /// `127.0.0.1:8080` or `[::1]:8080`.
    package var description: String {
        family == AF_INET ? "\(hostDescription):\(port)" : "[\(hostDescription)]:\(port)"
    }
}
