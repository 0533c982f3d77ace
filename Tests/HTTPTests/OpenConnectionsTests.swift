// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HTTP

struct OpenConnectionsTests {
    private static let alice = SocketAddress(bytes: [192, 0, 2, 1], port: 1000)!
    private static let bob = SocketAddress(bytes: [192, 0, 2, 2], port: 1000)!

    /// Admits one, and says in a word what came of it.
    private func admit(
        _ client: SocketAddress?, to open: OpenConnections, _ places: inout [OpenConnections.Place]
    ) -> String {
        switch open.admit(client) {
        case .admitted(let place):
            places.append(place)
            return "served"
        case .refused(let place, let why):
            places.append(place)
            return why
        case .full: return "full"
        }
    }

    @Test func `who is served, who is told why not, and who is not even told`() {
        let open = OpenConnections(limit: 3, perAddress: 2)
        var (own, others): ([OpenConnections.Place], [OpenConnections.Place]) = ([], [])
        for _ in 0..<2 { #expect(admit(Self.alice, to: open, &own) == "served") }
        for _ in 0..<OpenConnections.refusalsPerClient {
            #expect(admit(Self.alice, to: open, &own) == "too many connections from this address")
        }
        #expect(admit(Self.alice, to: open, &own) == "full")
        // Neither takes anything away from others, but for the place that there is no more.
        #expect(admit(Self.bob, to: open, &others) == "served")
        #expect(admit(Self.bob, to: open, &others) == "too many connections")
        #expect(open.current == 8)
        for place in own { open.leave(place) }
        #expect(open.current == 2)
        own = []
        for _ in 0..<2 { #expect(admit(Self.alice, to: open, &own) == "served") }
        for place in own + others { open.leave(place) }
        #expect(open.current == 0)
    }

    @Test func `refusals have an end, also of clients that are not known`() {
        let open = OpenConnections(limit: 1, perAddress: 1)
        var places: [OpenConnections.Place] = []
        #expect(admit(nil, to: open, &places) == "served")
        for _ in 0..<16 { #expect(admit(nil, to: open, &places) == "too many connections") }
        #expect(admit(nil, to: open, &places) == "full" && admit(Self.bob, to: open, &places) == "full")
        for place in places { open.leave(place) }
        #expect(open.current == 0)
    }

    @Test func `a client that becomes known later gives the place back that it may not keep`() {
        let open = OpenConnections(limit: 2, perAddress: 1)
        var places: [OpenConnections.Place] = []
        #expect(admit(Self.alice, to: open, &places) == "served")
        for attempt in 0...OpenConnections.refusalsPerClient {
            guard case .admitted(var place) = open.admit(nil) else {
                Issue.record("attempt \(attempt): a place is free")
                return
            }
            switch open.admit(Self.alice, insteadOf: &place) {
            case .admitted: Issue.record("attempt \(attempt)")
            case .refused: #expect(attempt < OpenConnections.refusalsPerClient)
            case .full: #expect(attempt == OpenConnections.refusalsPerClient)
            }
            places.append(place)
        }
        #expect(admit(Self.bob, to: open, &places) == "served")
        for place in places { open.leave(place) }
        #expect(open.current == 0)
    }
}
