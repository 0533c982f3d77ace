// SPDX-License-Identifier: Apache-2.0
// The server: one listener for each event loop, and their common beginning and end.

package import EventLoop

/// An HTTP/1.1 server on raw sockets.
///
/// Made, it listens: connections queue in the kernel until ``run()``. Each loop accepts, parses, handles and writes
/// on its own thread; the loops must outlive the server.
package final class Server: Sendable {
    /// Where it listens, with the real port.
    package let boundAddress: SocketAddress

    private let listeners: [Listener]
    private let openConnections: OpenConnections

    /// Binds and listens.
    ///
    /// - Parameters:
    ///   - loops: started, or to be started; one listening socket each.
    ///   - observer: hears of each exchange.
    ///   - handler: makes the handler of a loop, so that it can own what belongs to the loop (a database pool).
    /// - Throws: the system call that failed, with the address: in use, not ours, not permitted.
    package init(
        _ configuration: Configuration, loops: [EventLoop], observer: (any ServerObserver)? = nil,
        handler: (EventLoop) -> any Handler
    ) throws(SystemError) {
        precondition(!loops.isEmpty, "a server needs a loop")
        configuration.validate()
        let open = OpenConnections(
            limit: configuration.connectionLimit, perAddress: configuration.connectionLimitPerAddress)
        let descriptors = try ListeningSocket.make(
            loops.count, at: configuration.address, backlog: configuration.backlog,
            unsentBytes: configuration.unsentBytesLimit)
        var listeners: [Listener] = []
        for (index, (loop, descriptor)) in zip(loops, descriptors).enumerated() {
            listeners.append(
                Listener(
                    loop: loop, descriptor: descriptor, configuration: configuration, handler: handler(loop),
                    observer: observer, openConnections: open, index: index, of: loops.count))
        }
        self.listeners = listeners
        openConnections = open
        boundAddress = try .local(of: descriptors[0])
    }

    /// Serves until ``shutdown(deadline:)``, or until the task is cancelled, which cuts everything off at once.
    /// Returns when all connections are gone. To be called once, from any task.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for listener in listeners {
                group.addTask(executorPreference: listener.loop) { await listener.serve() }
            }
        }
    }

    /// Stops accepting and closes idle connections at once; lets requests under way finish for `deadline` at most,
    /// then cuts them off (their tasks are cancelled, and ``Request/onClientGone(_:)`` is called). Returns when all
    /// connection tasks are gone.
    package func shutdown(deadline: Duration) async {
        let cutAt = MonotonicTime.now() + deadline
        await withDiscardingTaskGroup { group in
            for listener in listeners {
                group.addTask(executorPreference: listener.loop) { await listener.drain(until: cutAt) }
            }
        }
    }

    /// Connections open now, over all loops.
    package var connectionCount: Int { openConnections.current }
}
