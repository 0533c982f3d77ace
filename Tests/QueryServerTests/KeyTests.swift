// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import Market
import Synchronization
import Testing

@testable import QueryServer

@Suite struct APIKeyTests {
    @Test func `a key is read back as it was made, and no two are alike`() throws {
        let keys = (0..<200).map { _ in APIKey() }
        for key in keys { #expect(APIKey(key.text) == key) }
        #expect(Set(keys.map(\.id)).count == 200 && Set(keys.map(\.text)).count == 200)
        #expect(keys[0].hash.count == 32 && keys[0].hash != keys[1].hash)
    }

    @Test func `what is no key is none`() {
        let text = APIKey().text
        #expect(APIKey(text.dropLast()) == nil)
        #expect(APIKey(text + "a") == nil)
        #expect(APIKey("") == nil)
        #expect(APIKey("tdk_") == nil)
        #expect(APIKey(text.uppercased()) == nil)
        #expect(APIKey("xdk" + text.dropFirst(3)) == nil)
        #expect(APIKey(text.prefix(16) + "-" + text.dropFirst(17)) == nil)
        #expect(APIKey(text.dropLast() + "é") == nil)
        #expect(APIKey(text.dropLast() + "+") == nil)
        #expect(APIKey("tdk_g" + text.dropFirst(5)) == nil)
    }

    @Test func `credentials are found in both schemes`() {
        #expect(Authorization("Bearer abc") == .bearer("abc"))
        #expect(Authorization("bearer  abc") == .bearer("abc"))
        // "me:s:e" and "ü:".
        #expect(Authorization("Basic bWU6czpl") == .basic(user: "me", password: "s:e"))
        #expect(Authorization("BASIC w7w6") == .basic(user: "ü", password: ""))
        #expect(Authorization("Basic bWU=") == .basic(user: "me", password: ""))
        #expect(Authorization("Basic !") == nil)
        #expect(Authorization("Digest x") == nil)
        #expect(Authorization("Bearer") == nil)
        #expect(Authorization("Basic w7w6")?.secret == nil)
    }
}

@Suite struct TokenBucketTests {
    @Test func `it gives its capacity at once and then its rate`() {
        let start = MonotonicTime.now()
        var bucket = TokenBucket(capacity: 3, perSecond: 2, now: start)
        for _ in 0..<3 { #expect(bucket.take(start) == nil) }
        #expect(bucket.take(start) == 0.5)
        #expect(bucket.take(start + .milliseconds(499)) != nil)
        #expect(bucket.take(start + .milliseconds(500)) == nil)
        #expect(bucket.take(start + .milliseconds(500)) == 0.5)
        #expect(!bucket.isFull(start + .milliseconds(1999)))
        #expect(bucket.isFull(start + .milliseconds(2000)))
        for _ in 0..<3 { #expect(bucket.take(start + .seconds(3600)) == nil) }
        #expect(bucket.take(start + .seconds(3600)) != nil)
    }

    @Test func `a clock that stands still or goes back gives nothing`() {
        let start = MonotonicTime.now()
        var bucket = TokenBucket(capacity: 1, perSecond: 1, now: start + .seconds(1))
        #expect(bucket.take(start) == nil)
        #expect(bucket.take(start) == 1)
    }
}

/// What a store says, and how often it was asked.
private final class Store: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: each test uses its own from one task.
    var grants: [String: (hash: [UInt8], grant: KeyGrant)] = [:]
    var asked = 0
    var failure: (any Error)?

    func add(_ grant: KeyGrant) -> APIKey {
        let key = APIKey()
        grants[key.id] = (key.hash, grant)
        return key
    }

    func look(_ id: String, _ hash: [UInt8]) async throws -> KeyGrant? {
        asked += 1
        if let failure { throw failure }
        guard let known = grants[id], known.hash == hash else { return nil }
        return known.grant
    }
}

private func code(_ body: () async throws -> Void) async -> (UInt16, String)? {
    do {
        try await body()
        return nil
    } catch let error as QueryError {
        return (error.status, error.code)
    } catch {
        return (0, "\(error)")
    }
}

/// How often a store was asked by several tasks.
private final class Questions: Sendable {
    let count = Atomic(0)
}

@Suite struct KeyRingTests {
    private let here: SocketAddress
    private let there: SocketAddress
    private let store = Store()

    init() throws {
        here = try SocketAddress("192.0.2.1:1000")
        there = try SocketAddress("192.0.2.2:1000")
    }

    private func admit(
        _ ring: KeyRing, _ secret: String?, _ access: Access = .scope(.sql), from peer: SocketAddress? = nil
    ) async throws -> KeyIdentity? {
        try await ring.admit(
            secret.map { Credentials(secret: $0) }, access, from: peer ?? here, look: store.look)
    }

    @Test func `where keys are required, what is not open needs a good one`() async throws {
        let ring = KeyRing(isRequired: true)
        let key = store.add(KeyGrant(name: "a", scopes: [.sql]))
        #expect(try await admit(ring, nil, .open) == nil)
        #expect(try await admit(ring, "whatever", .open) == nil)
        #expect(await code { _ = try await admit(ring, nil) }! == (401, "key_required"))
        #expect(await code { _ = try await admit(ring, nil, .anyKey) }! == (401, "key_required"))
        #expect(await code { _ = try await admit(ring, "whatever") }! == (401, "key_invalid"))
        #expect(await code { _ = try await admit(ring, APIKey().text) }! == (401, "key_invalid"))
        // The right id with another secret.
        let forged = key.text.prefix(17) + APIKey().text.suffix(43)
        #expect(await code { _ = try await admit(ring, String(forged)) }! == (401, "key_invalid"))
        #expect(try await admit(ring, key.text)?.id == key.id)
        #expect(await code { _ = try await admit(ring, String(forged)) }! == (401, "key_invalid"))
        #expect(try await admit(ring, key.text)?.id == key.id)
    }

    @Test func `where they are not, others' credentials are ignored and keys are checked`() async throws {
        let ring = KeyRing(isRequired: false)
        let key = store.add(KeyGrant(name: "a", scopes: [.sql], rows: 7))
        #expect(try await admit(ring, nil) == nil)
        #expect(try await admit(ring, "password of another program") == nil)
        #expect(try await admit(ring, key.text)?.grant.limits.rows == 7)
        #expect(await code { _ = try await admit(ring, APIKey().text) }! == (401, "key_invalid"))
    }

    @Test func `scopes open what they say, and admin everything`() async throws {
        let ring = KeyRing(isRequired: true)
        let sql = store.add(KeyGrant(name: "sql", scopes: [.sql]))
        let both = store.add(KeyGrant(name: "both", scopes: [.sql, .rest]))
        let admin = store.add(KeyGrant(name: "admin", scopes: [.admin]))
        #expect(await code { _ = try await admit(ring, sql.text, .scope(.rest)) }! == (403, "scope_missing"))
        #expect(await code { _ = try await admit(ring, both.text, .scope(.admin)) }! == (403, "scope_missing"))
        #expect(try await admit(ring, sql.text, .anyKey) != nil)
        for scope in KeyScope.allCases { #expect(try await admit(ring, admin.text, .scope(scope)) != nil) }
    }

    @Test func `the store is asked once in a while, and a failure of it is passed on`() async throws {
        let ring = KeyRing(isRequired: true)
        let key = store.add(KeyGrant(name: "a", scopes: [.sql]))
        for _ in 0..<100 { _ = try await admit(ring, key.text) }
        #expect(store.asked == 1)
        store.failure = QueryError(503, "not_ready", "down")
        #expect(try await admit(ring, key.text) != nil)
        #expect(await code { _ = try await admit(ring, APIKey().text) }! == (503, "not_ready"))
    }

    @Test func `a key that expires is asked for again at its end`() async throws {
        let ring = KeyRing(isRequired: true)
        let key = store.add(
            KeyGrant(name: "a", scopes: [.sql], expiresAt: QueryHandler.now().microseconds - 1))
        // The store's clock said it was still good.
        _ = try await admit(ring, key.text)
        store.grants = [:]
        #expect(await code { _ = try await admit(ring, key.text) }! == (401, "key_invalid"))
    }

    @Test func `a rate is kept over all requests`() async throws {
        let ring = KeyRing(isRequired: true)
        let key = store.add(KeyGrant(name: "a", scopes: [.sql], requestsPerSecond: 0.001))
        _ = try await admit(ring, key.text)
        #expect(await code { _ = try await admit(ring, key.text) }! == (429, "rate_limited"))
    }

    @Test func `an address that guesses has to wait, and good keys do not`() async throws {
        let ring = KeyRing(isRequired: true)
        let key = store.add(KeyGrant(name: "a", scopes: [.sql]))
        let late = store.add(KeyGrant(name: "b", scopes: [.sql]))
        _ = try await admit(ring, key.text)
        for _ in 0..<Int(GuessLimiter.attempts.burst) {
            #expect(await code { _ = try await admit(ring, APIKey().text) }! == (401, "key_invalid"))
        }
        let asked = store.asked
        #expect(await code { _ = try await admit(ring, APIKey().text) }! == (429, "too_many_tries"))
        #expect(await code { _ = try await admit(ring, "no key") }! == (429, "too_many_tries"))
        // A good one that the server does not know yet might be a guess.
        #expect(await code { _ = try await admit(ring, late.text) }! == (429, "too_many_tries"))
        #expect(store.asked == asked, "guesses no longer reach the store")
        #expect(try await admit(ring, key.text) != nil)
        #expect(try await admit(ring, late.text, from: there) != nil)
    }

    @Test func `a key that was good is asked for again, whoever guesses at its address`() async throws {
        let ring = KeyRing(isRequired: true)
        // It counts no longer than it is good for, which is over as soon as it is known.
        let key = store.add(KeyGrant(name: "a", scopes: [.sql], expiresAt: QueryHandler.now().microseconds - 1))
        _ = try await admit(ring, key.text)
        for _ in 0...Int(GuessLimiter.attempts.burst) { _ = await code { _ = try await admit(ring, APIKey().text) } }
        #expect(await code { _ = try await admit(ring, "no key") }! == (429, "too_many_tries"))
        let asked = store.asked
        #expect(try await admit(ring, key.text) != nil)
        #expect(store.asked == asked + 1)
    }

    @Test func `many who come with one key at a time make one question`() async throws {
        let ring = KeyRing(isRequired: true)
        let key = store.add(KeyGrant(name: "a", scopes: [.sql], requestsPerSecond: 0.001))
        let questions = Questions()
        let grant = try #require(store.grants[key.id]).grant
        let passed = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 {
                group.addTask { [here, grant] in
                    let identity = try? await ring.admit(
                        Credentials(secret: key.text), .scope(.sql), from: here
                    ) { _, _ in
                        questions.count.add(1, ordering: .relaxed)
                        try await Task.sleep(for: .milliseconds(20))
                        return grant
                    }
                    return identity != nil
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(questions.count.load(ordering: .relaxed) == 1)
        // Its rate is one for all of them, too: there is room for one request.
        #expect(passed == 1)
    }

    @Test func `wrong keys that race have no more tries together than one after the other`() async throws {
        let ring = KeyRing(isRequired: true)
        let questions = Questions()
        let codes = await withTaskGroup(of: String.self) { group in
            for _ in 0..<100 {
                group.addTask { [here] in
                    await code {
                        _ = try await ring.admit(Credentials(secret: APIKey().text), .scope(.sql), from: here) { _, _ in
                            questions.count.add(1, ordering: .relaxed)
                            try await Task.sleep(for: .milliseconds(20))
                            return nil
                        }
                    }!.1
                }
            }
            return await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
        let asked = questions.count.load(ordering: .relaxed)
        // One more comes back in six seconds.
        #expect(asked >= Int(GuessLimiter.attempts.burst) && asked <= Int(GuessLimiter.attempts.burst) + 10)
        #expect(codes["key_invalid"] == asked && codes["too_many_tries"] == 100 - asked)
    }

    @Test func `good keys that come at once from one address are all let in`() async throws {
        let ring = KeyRing(isRequired: true)
        let passed = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 {
                group.addTask { [here] in
                    let identity = try? await ring.admit(
                        Credentials(secret: APIKey().text), .scope(.sql), from: here
                    ) { _, _ in
                        try await Task.sleep(for: .milliseconds(2))
                        return KeyGrant(name: "k", scopes: [.sql])
                    }
                    return identity != nil
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(passed == 100)
    }

    @Test func `tries are counted by the network of an IPv6 address`() async throws {
        let ring = KeyRing(isRequired: true)
        for host in 0..<Int(GuessLimiter.attempts.burst) {
            _ = await code { _ = try await admit(ring, "x", from: try SocketAddress("[2001:db8::\(host + 1)]:1")) }
        }
        let next = await code { _ = try await admit(ring, "x", from: try SocketAddress("[2001:db8::ffff]:1")) }
        #expect(next! == (429, "too_many_tries"))
    }

    @Test func `more addresses than are counted share one count`() async throws {
        let ring = KeyRing(isRequired: true)
        for number in 0..<KeyRing.addressLimit {
            _ = await code {
                _ = try await admit(ring, "x", from: try SocketAddress("10.\(number >> 8).\(number & 255).1:1"))
            }
        }
        var codes: [String] = []
        for number in 0...Int(GuessLimiter.attempts.burst) {
            codes.append(
                await code { _ = try await admit(ring, "x", from: try SocketAddress("11.0.0.\(number):1")) }!.1)
        }
        #expect(codes.dropLast().allSatisfy { $0 == "key_invalid" } && codes.last == "too_many_tries")
    }
}

@Suite struct GuessLimiterTests {
    private let start = MonotonicTime.now()
    private let burst = Int(GuessLimiter.attempts.burst)

    private func address(_ number: Int) throws -> SocketAddress {
        try SocketAddress("10.\(number >> 8 & 255).\(number & 255).1:1").client
    }

    @Test func `tries at the same time count as if they came one after the other`() throws {
        var limiter = GuessLimiter(limit: 10)
        let here = try address(1)
        var places: [GuessLimiter.Place] = []
        for _ in 0..<burst {
            guard case .may(let place) = limiter.begin(here, start) else { throw Unexpected() }
            places.append(place)
        }
        guard case .wait = limiter.begin(here, start) else { throw Unexpected() }
        // A good one gives its try to one who waits; a wrong one gives it to nobody.
        #expect(limiter.end(places.removeLast(), isWrong: false, start).count == 1)
        guard case .may(let place) = limiter.begin(here, start) else { throw Unexpected() }
        places.append(place)
        guard case .wait = limiter.begin(here, start), case .wait = limiter.begin(here, start) else {
            throw Unexpected()
        }
        for place in places.dropLast() { #expect(limiter.end(place, isWrong: true, start).isEmpty) }
        // With the last question nothing is left to wait for.
        #expect(limiter.end(places[burst - 1], isWrong: true, start).count == 2)
        guard case .refused(let seconds) = limiter.begin(here, start) else { throw Unexpected() }
        #expect(seconds > 0)
        guard case .may = limiter.begin(here, start + .seconds(6)) else { throw Unexpected() }
    }

    @Test func `an address whose tries have come back makes room for another`() throws {
        var limiter = GuessLimiter(limit: 4)
        for number in 0..<4 { #expect(limiter.fail(try address(number), start) == nil) }
        // No room: these two share one count.
        for number in 0..<burst { #expect(limiter.fail(try address(100 + number), start) == nil) }
        #expect(limiter.fail(try address(99), start) != nil)
        let later = start + .seconds(7)
        #expect(limiter.fail(try address(98), later) == nil)
        for _ in 1..<burst { #expect(limiter.fail(try address(98), later) == nil) }
        #expect(limiter.fail(try address(98), later) != nil, "counted for itself: ten, and not what the others left")
    }

    private struct Unexpected: Error {}
}

@Suite struct BoundedTableTests {
    @Test func `it holds what was put in, and makes room only by what is idle`() {
        var table = BoundedTable<Int, Int>(limit: 20)
        for key in 0..<20 { #expect(table.set(key, for: key) { _ in false }) }
        #expect(!table.set(1, for: 100) { _ in false } && table.count == 20 && table[100] == nil)
        #expect(table.set(7, for: 3) { _ in false } && table[3] == 7 && table.count == 20)
        #expect(
            table.change(3) {
                $0 += 1; return $0
            } == 8 && table[3] == 8)
        #expect(table.change(100) { $0 += 1 } == nil)
        table.remove(5)
        #expect(table[5] == nil && table.count == 19)
        #expect(table.set(1, for: 100) { _ in false } && table[100] == 1)
        // Whichever is idle is found before long, a few places at a time.
        var asked = 0
        var tries = 0
        while !table.set(
            2, for: 200,
            isIdle: {
                asked += 1; return $0 == 17
            })
        { tries += 1 }
        #expect(tries <= 3 && asked <= 8 * (tries + 1) && table[17] == nil && table[200] == 2 && table.count == 20)
    }
}

@Suite struct CallerKeyTests {
    @Test func `a key is one client wherever it comes from, and sees its own`() async throws {
        let ring = KeyRing(isRequired: true)
        let store = Store()
        let address = try SocketAddress("192.0.2.1:1")
        let other = try SocketAddress("192.0.2.2:2")
        func identity(_ scopes: Set<KeyScope>) async throws -> KeyIdentity {
            let key = store.add(KeyGrant(name: "k", scopes: scopes))
            return try #require(
                try await ring.admit(Credentials(secret: key.text), .anyKey, from: address, look: store.look))
        }
        let (a, b, admin) = (try await identity([.sql]), try await identity([.sql]), try await identity([.admin]))
        let mine = Caller(peer: address, user: "x", key: a)
        #expect(mine == Caller(peer: other, user: "y", key: a))
        #expect(mine.hashValue == Caller(peer: other, user: "y", key: a).hashValue)
        #expect(mine != Caller(peer: address, user: "x", key: b) && mine != Caller(peer: address, user: "x"))
        #expect(mine.maySee(Caller(peer: other, user: nil, key: a)))
        #expect(!mine.maySee(Caller(peer: address, user: "x", key: b)))
        #expect(Caller(peer: other, user: nil, key: admin).maySee(mine))
        #expect(Caller(peer: other, user: nil).maySee(mine), "where no key is needed everybody sees everything")
    }
}
