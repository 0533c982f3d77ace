// SPDX-License-Identifier: Apache-2.0

import CLinux
import EventLoop
import Glibc

/// Keep-alive HTTP clients on one thread: each sends its request, waits for the whole reply, and sends it again. As
/// cheap as `pgbench` is for PostgreSQL, so that what is measured is the server.
struct HTTPLoad {
    let port: UInt16
    /// The whole requests, head and body; each connection sends one after the other, from a place of its own on.
    let requests: [[UInt8]]
    let connections: Int
    /// Requests a second of each connection; 0 for as many as it can.
    var perSecondOfEach = 0
    /// Whether what counts is a reply's arrival at the socket, as the kernel notes it, and not when this thread has its turn
    /// on a busy machine: a client on a machine of its own would have it at once. Its turn comes soon, too, so that requests
    /// leave when they are due.
    var isPrompt = false
    /// The status that replies are to have.
    var expected = 200

    struct Result {
        /// Times of the replies with the status expected, in microseconds, sorted.
        var latencies: [UInt32] = []
        /// The same up to the client's turn, where ``HTTPLoad/isPrompt``.
        var seen: [UInt32] = []
        /// Replies of another status.
        var refused = 0
        var seconds = 0.0

        var perSecond: Double { Double(latencies.count) / seconds }

        /// Counts another measurement of the same.
        mutating func add(_ other: Result) {
            latencies = (latencies + other.latencies).sorted()
            seen = (seen + other.seen).sorted()
            refused += other.refused
            seconds += other.seconds
        }

        /// The latency below which the part `share` of the replies was, in milliseconds.
        func percentile(_ share: Double) -> Double { Self.percentile(share, of: latencies) }

        static func percentile(_ share: Double, of latencies: [UInt32]) -> Double {
            if latencies.isEmpty { return .nan }
            return Double(latencies[min(latencies.count - 1, Int(Double(latencies.count) * share))]) / 1000
        }
    }

    init(port: UInt16, get target: String, connections: Int) {
        self.init(port: port, get: [target], connections: connections)
    }

    init(port: UInt16, get targets: [String], connections: Int) {
        self.init(
            port: port, targets.map { "GET \($0) HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" }, connections: connections)
    }

    init(port: UInt16, _ requests: [String], connections: Int) {
        self.port = port
        self.requests = requests.map { Array($0.utf8) }
        self.connections = connections
    }

    private struct Connection {
        let descriptor: CInt
        /// Which request is next.
        var next: Int
        var received: [UInt8] = []
        var sent = MonotonicTime.now()
        /// The same, in nanoseconds of the wall clock.
        var sentAt: UInt64 = 0
        /// When the next request is due; nil while one is under way.
        var due: MonotonicTime?
    }

    /// Runs for `seconds`; replies under way at the end do not count.
    func run(seconds: Double) throws -> Result {
        if isPrompt { _ = tapedeck_set_slice(0, UInt64(EventLoop.shortSlice.inNanoseconds)) }
        let epoll = epoll_create1(0)
        if epoll < 0 { throw SystemError(call: "epoll_create1") }
        defer { close(epoll) }
        var open = try (0..<connections).map { index in
            Connection(descriptor: try connectLoopback(port), next: index * requests.count / connections)
        }
        defer { for connection in open { close(connection.descriptor) } }
        for index in open.indices {
            var event = epoll_event()
            event.events = EPOLLIN.rawValue
            event.data.u64 = UInt64(index)
            epoll_ctl(epoll, EPOLL_CTL_ADD, open[index].descriptor, &event)
            if isPrompt && tapedeck_note_arrivals(open[index].descriptor) != 0 { throw SystemError(call: "setsockopt") }
        }
        var result = Result()
        let start = MonotonicTime.now()
        let end = start + .microseconds(Int64(seconds * 1_000_000))
        for index in open.indices { try send(&open[index]) }
        var events = [epoll_event](repeating: epoll_event(), count: 256)
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while MonotonicTime.now() < end {
            let count = epoll_wait(epoll, &events, 256, perSecondOfEach > 0 ? 1 : 100)
            for index in open.indices where open[index].due.map({ $0 <= .now() }) == true { try send(&open[index]) }
            for event in events[..<Int(max(0, count))] {
                let index = Int(event.data.u64)
                var arrival: UInt64 = 0
                let length =
                    isPrompt
                    ? tapedeck_receive(open[index].descriptor, &chunk, chunk.count, &arrival)
                    : recv(open[index].descriptor, &chunk, chunk.count, 0)
                if length <= 0 { throw SystemError(call: "recv (the server closed the connection)") }
                open[index].received.append(contentsOf: chunk[..<length])
                guard let status = replyStatus(open[index].received) else { continue }
                let took = UInt32(clamping: (MonotonicTime.now() - open[index].sent).inNanoseconds / 1000)
                if status == expected {
                    if isPrompt {
                        result.seen.append(took)
                        // The kernel begins to stamp a moment after it was asked to (net_enable_timestamp defers it).
                        result.latencies.append(
                            arrival == 0 ? took : UInt32(clamping: (Int64(arrival) - Int64(open[index].sentAt)) / 1000))
                    } else {
                        result.latencies.append(took)
                    }
                } else {
                    result.refused += 1
                }
                open[index].received.removeAll(keepingCapacity: true)
                if perSecondOfEach > 0 {
                    open[index].due = open[index].sent + .microseconds(1_000_000 / perSecondOfEach)
                } else {
                    try send(&open[index])
                }
            }
        }
        result.seconds = Double((MonotonicTime.now() - start).inNanoseconds) / 1e9
        result.latencies.sort()
        result.seen.sort()
        return result
    }

    private func send(_ connection: inout Connection) throws {
        connection.sent = .now()
        if isPrompt {
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            connection.sentAt = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
        }
        connection.due = nil
        let request = requests[connection.next]
        connection.next = (connection.next + 1) % requests.count
        if Glibc.send(connection.descriptor, request, request.count, CInt(MSG_NOSIGNAL)) != request.count {
            throw SystemError(call: "send")
        }
    }

    /// The status of a reply that is there whole, with Content-Length or in chunks; nil if more must come.
    private func replyStatus(_ bytes: [UInt8]) -> Int? {
        bytes.withUnsafeBytes { bytes in
            guard bytes.count > 12, let headEnd = memmem(bytes.baseAddress!, bytes.count, "\r\n\r\n", 4) else {
                return nil
            }
            let head = headEnd - UnsafeMutableRawPointer(mutating: bytes.baseAddress!) + 4
            let status = (9..<12).reduce(0) { $0 * 10 + Int(bytes[$1]) - 0x30 }
            // It has no body (RFC 9110 §15.4.5).
            if status == 304 { return bytes.count == head ? status : nil }
            let name = "Content-Length: "
            if let field = memmem(bytes.baseAddress!, head, name, name.utf8.count) {
                var length = 0
                var digit = field.assumingMemoryBound(to: UInt8.self) + name.utf8.count
                while digit.pointee &- 0x30 < 10 {
                    length = length * 10 + Int(digit.pointee &- 0x30)
                    digit += 1
                }
                return bytes.count >= head + length ? status : nil
            }
            return bytes.suffix(5).elementsEqual("0\r\n\r\n".utf8) ? status : nil
        }
    }
}

/// A blocking TCP connection to a port of 127.0.0.1.
func connectLoopback(_ port: UInt16) throws -> CInt {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    if descriptor < 0 { throw SystemError(call: "socket") }
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = port.bigEndian
    target.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let connected = withUnsafePointer(to: &target) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    if connected != 0 {
        close(descriptor)
        throw SystemError(call: "connect")
    }
    var on: CInt = 1
    setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
    return descriptor
}
