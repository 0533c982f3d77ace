// SPDX-License-Identifier: Apache-2.0
// Connections to servers: name, address, TCP, TLS, each with its failure.

import CLinux
package import EventLoop
import Glibc
package import TLS

/// Why a server could not be reached.
package struct ConnectError: Error, Sendable, CustomStringConvertible {
    package enum Stage: Sendable, Equatable { case lookup, connect, tls, cancelled }

    package var stage: Stage
    /// Short, lower case; names the server.
    package var message: String
    /// What to do about it.
    package var hint: String?

    package var description: String { hint.map { "\(message) (\($0))" } ?? message }
}

extension StreamSocket {
    /// Connects to `host`, trying its addresses in turn, and secures the connection where `tls` is given: the server's
    /// certificate must be good, and good for `host`.
    ///
    /// - Parameter deadline: for all of it; an address that does not answer gets its share of the time that is left.
    package static func connect(
        to host: String, port: UInt16, tls: TLSClient?, on loop: EventLoop, until deadline: MonotonicTime
    ) async throws(ConnectError) -> StreamSocket {
        let addresses = try await lookUp(host, on: loop, until: deadline)
        var failure = ""
        for (index, address) in addresses.enumerated() {
            if Task.isCancelled { break }
            let now = MonotonicTime.now()
            let share = (deadline - now) / (addresses.count - index)
            let socket: StreamSocket
            do throws(SystemError) {
                socket = try await connect(to: SocketAddress(host: address, port: port), on: loop, until: now + share)
            } catch {
                failure = "\(error)"
                continue
            }
            if let tls { try await secure(socket, tls, host, port, until: deadline) }
            return socket
        }
        if Task.isCancelled { throw cancelled }
        throw ConnectError(
            stage: .connect, message: "cannot connect to \(host):\(port): \(failure)",
            hint: "Check that the server runs and can be reached from here.")
    }

    private static let cancelled = ConnectError(stage: .cancelled, message: "connecting was cancelled")

    private static func lookUp(
        _ host: String, on loop: EventLoop, until deadline: MonotonicTime
    ) async throws(ConnectError) -> [String] {
        let why: String
        switch await HostLookup.addresses(of: [host], on: loop, until: deadline) {
        case .found(let addresses) where addresses[0].isEmpty: why = "nobody knows the name"
        case .found(let addresses): return addresses[0]
        case .overloaded: why = "too many name lookups are waiting"
        case .timedOut: why = "the lookup took too long"
        case .cancelled: throw cancelled
        }
        throw ConnectError(
            stage: .lookup, message: "cannot find \(host): \(why)", hint: "Check the spelling and the name server.")
    }

    private static func connect(
        to address: SocketAddress, on loop: EventLoop, until deadline: MonotonicTime
    ) async throws(SystemError) -> StreamSocket {
        let call = "connect(\(address))"
        let type = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(address.family, type, 0)
        if descriptor < 0 { throw SystemError(call: "socket") }
        var on: CInt = 1
        _ = setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        if address.withSockaddr({ Glibc.connect(descriptor, $0, $1) }) != 0 && errno != EINPROGRESS && errno != EINTR {
            let error = SystemError(call: call)
            _ = Glibc.close(descriptor)
            throw error
        }
        // A server may take its time to send; the pace is for what we send.
        let socket = try StreamSocket(
            descriptor: descriptor, loop: loop, pace: Pace(limit: .seconds(30), bytesPerSecond: 1024))
        switch await socket.connected(until: deadline) {
        case 0: return socket
        case let code:
            socket.close()
            throw SystemError(code: code, call: call)
        }
    }

    /// Waits for the end of connect(2); returns its errno, 0 if it has worked.
    private func connected(until deadline: MonotonicTime) async -> CInt {
        switch await registration.writable(until: deadline) {
        case .ready: break
        case .timedOut: return ETIMEDOUT
        case .cancelled: return ECANCELED
        }
        var code: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno
    }

    private static func secure(
        _ socket: StreamSocket, _ tls: TLSClient, _ host: String, _ port: UInt16, until deadline: MonotonicTime
    ) async throws(ConnectError) {
        do throws(TLSError) {
            try await socket.secure(with: tls, host: host, until: deadline)
        } catch {
            socket.close()
            throw ConnectError(
                stage: .tls, message: "cannot secure the connection to \(host):\(port): \(error.message)",
                hint: error.hint)
        }
    }
}
