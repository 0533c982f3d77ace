// SPDX-License-Identifier: Apache-2.0
// Sockets that listen, and what accept may say.

import CLinux
import EventLoop
import Glibc

/// A bound, listening, non-blocking socket; closed with the value.
struct ListeningSocket: ~Copyable {
    let descriptor: CInt
    let address: SocketAddress

    /// - Parameter shared: the sockets of several loops listen at one address (SO_REUSEPORT), and the kernel
    ///   divides the connections among them.
    init(_ address: SocketAddress, backlog: Int, shared: Bool, unsentBytes: Int = 0) throws(SystemError) {
        let type = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, type, 0)
        if descriptor < 0 { throw SystemError(call: "socket") }
        do throws(SystemError) {
            try Self.set(descriptor, SOL_SOCKET, SO_REUSEADDR)
            if shared { try Self.set(descriptor, SOL_SOCKET, SO_REUSEPORT) }
            // Accepted sockets inherit these: some system calls less for each connection.
            try Self.set(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY)
            try Self.set(descriptor, SOL_SOCKET, SO_KEEPALIVE)
            if unsentBytes > 0 { try Self.set(descriptor, CInt(IPPROTO_TCP), TCP_NOTSENT_LOWAT, CInt(unsentBytes)) }
            if address.withSockaddr({ bind(descriptor, $0, $1) }) != 0 {
                throw SystemError(call: "bind(\(address))")
            }
            if listen(descriptor, CInt(backlog)) != 0 { throw SystemError(call: "listen(\(address))") }
            self.address = try .local(of: descriptor)
        } catch {
            _ = close(descriptor)
            throw error
        }
        self.descriptor = descriptor
    }

    deinit { _ = close(descriptor) }

    /// One socket for each of `count` loops, all at the same address.
    static func make(
        _ count: Int, at address: SocketAddress, backlog: Int, unsentBytes: Int
    ) throws(SystemError) -> [CInt] {
        var address = address
        if count > 1 {
            // SO_REUSEPORT would let a second server of the same user share the port in silence: try without it.
            let probe = try ListeningSocket(address, backlog: 1, shared: false)
            address = probe.address
        }
        var descriptors: [CInt] = []
        do throws(SystemError) {
            for _ in 0..<count {
                let socket = try ListeningSocket(
                    address, backlog: backlog, shared: count > 1, unsentBytes: unsentBytes)
                address = socket.address
                descriptors.append(socket.release())
            }
        } catch {
            for descriptor in descriptors { _ = close(descriptor) }
            throw error
        }
        return descriptors
    }

    /// Gives up the descriptor, which is then the caller's to close.
    consuming func release() -> CInt {
        let descriptor = descriptor
        discard self
        return descriptor
    }

    private static func set(
        _ descriptor: CInt, _ level: CInt, _ option: CInt, _ value: CInt = 1
    ) throws(SystemError) {
        var value = value
        if setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) != 0 {
            throw SystemError(call: "setsockopt(\(level), \(option))")
        }
    }
}

/// What one accept came to.
enum Accepted {
    case connection(CInt, peer: SocketAddress)
    /// Nobody waits any more.
    case none
    /// This one is lost, the next may do.
    case skipped
    /// The process or the system is out of descriptors or memory: to be tried again later.
    case exhausted(SystemError)

    /// Accepts one connection from `listening`, without blocking.
    static func one(from listening: CInt) -> Accepted {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { storage in
            let flags = CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            let descriptor = storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                accept4(listening, __SOCKADDR_ARG(__sockaddr__: $0), &length, flags)
            }
            if descriptor < 0 { return failed(errno) }
            guard let peer = SocketAddress(storage, family: CInt(storage.pointee.ss_family)) else {
                _ = close(descriptor)
                return .skipped
            }
            return .connection(descriptor, peer: peer)
        }
    }

    private static func failed(_ code: CInt) -> Accepted {
        switch code {
        case EAGAIN: .none
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: .exhausted(SystemError(code: code, call: "accept4"))
        case EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP:
            preconditionFailure("accept4: \(SystemError.message(of: code))")
        // ECONNABORTED, EINTR, and the network errors that accept(2) passes on from the new socket.
        default: .skipped
        }
    }
}
