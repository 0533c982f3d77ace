// SPDX-License-Identifier: Apache-2.0
// Whether a request may come in, and as whom.

import EventLoop
import HTTP
import Market
import Synchronization

/// Somebody whose key was good a moment ago.
final class KeyIdentity: Sendable {
    let id: String
    let grant: KeyGrant
    /// SHA-256 of the key.
    fileprivate let hash: [UInt8]
    /// Until when the store need not be asked again.
    fileprivate let freshUntil: MonotonicTime
    fileprivate let rate: Rate?

    /// The requests of one key, of all loops.
    fileprivate final class Rate: Sendable {
        let perSecond: Double
        let bucket: Mutex<TokenBucket>

        init(perSecond: Double, now: MonotonicTime) {
            self.perSecond = perSecond
            // A second's worth at once; a client asks for several things when a page opens.
            bucket = Mutex(TokenBucket(capacity: max(1, perSecond), perSecond: perSecond, now: now))
        }
    }

    fileprivate init(_ key: APIKey, _ grant: KeyGrant, hash: [UInt8], freshUntil: MonotonicTime, rate: Rate?) {
        id = key.id
        self.grant = grant
        self.hash = hash
        self.freshUntil = freshUntil
        self.rate = rate
    }

    var isAdmin: Bool { grant.scopes.contains(.admin) }
}

/// What a resource asks of its client.
enum Access: Sendable, Equatable {
    /// Nothing: it says nothing that anybody could not know.
    case open
    /// A key, where keys are required, whatever it opens.
    case anyKey
    /// A key that opens this.
    case scope(KeyScope)
}

/// The keys that this process has seen, shared by all loops.
///
/// A key is looked up in the store once in ``lifetime``, however many ask at that moment, so that a revocation counts everywhere within that time and a
/// request costs one hash and one lock. Where keys are not required, one that is shown is checked all the same, since its
/// sender wants its rights and limits; other credentials are ignored then.
final class KeyRing: Sendable {
    /// Whether a request needs a key.
    let isRequired: Bool

    /// How long what the store said counts.
    static let lifetime = Duration.seconds(5)
    /// Keys remembered; beyond it each request asks the store.
    static let knownLimit = 10_000
    /// Addresses whose wrong keys are counted each for itself; those beyond it share one count.
    static let addressLimit = 10_000

    private struct State {
        var known = BoundedTable<String, KeyIdentity>(limit: KeyRing.knownLimit)
        var guesses = GuessLimiter(limit: KeyRing.addressLimit)
        /// The hashes that the store is being asked about, and who waits for what it says.
        var asked: [[UInt8]: [Waiter]] = [:]
    }

    private let state = Mutex(State())

    init(isRequired: Bool) { self.isRequired = isRequired }

    /// Who sends the request, or nil for somebody without a key where none is needed.
    ///
    /// - Parameter look: asks the store what the key of an id and a hash may; nil if it is none.
    /// - Throws: ``QueryError``: 401 without a good key, 403 if it does not open this, 429 if its rate or the tries of the
    ///   address are used up; and what `look` throws.
    func admit(
        _ credentials: Credentials?, _ access: Access, from peer: SocketAddress,
        look: (_ id: String, _ hash: [UInt8]) async throws -> KeyGrant?
    ) async throws -> KeyIdentity? {
        if access == .open { return nil }
        guard let credentials else {
            if isRequired { throw QueryError.keyNeeded }
            return nil
        }
        guard let key = APIKey(credentials.secret) else {
            if !isRequired { return nil }
            throw fail(peer)
        }
        let identity = try await identify(key, from: peer, look: look)
        if case .scope(let scope) = access, !identity.isAdmin, !identity.grant.scopes.contains(scope) {
            throw QueryError.scopeNeeded(scope, of: identity)
        }
        if let wait = identity.rate?.bucket.withLock({ $0.take(.now()) }) {
            throw QueryError.tooFast(identity, wait: wait)
        }
        return identity
    }

    /// What there is to do for a request with a key.
    private enum Step {
        case known(KeyIdentity)
        /// Somebody asks already, or others' tries are under way.
        case wait(Waiter)
        /// The store has to be asked; the try that it costs if the key is wrong, for one that was not good before.
        case ask(GuessLimiter.Place?)
        case refused(seconds: Double)
    }

    private func identify(
        _ key: APIKey, from peer: SocketAddress, look: (String, [UInt8]) async throws -> KeyGrant?
    ) async throws -> KeyIdentity {
        let hash = key.hash
        while true {
            switch step(key, hash, peer) {
            case .known(let identity): return identity
            case .wait(let waiter): await withUnsafeContinuation { waiter.arm($0) }
            case .refused(let seconds): throw QueryError.tooManyTries(wait: seconds)
            case .ask(let place): return try await ask(key, hash, place, from: peer, look: look)
            }
        }
    }

    private func step(_ key: APIKey, _ hash: [UInt8], _ peer: SocketAddress) -> Step {
        let now = MonotonicTime.now()
        return state.withLock { state in
            let known = state.known[key.id].flatMap { Self.isSame($0.hash, hash) ? $0 : nil }
            if let known, now < known.freshUntil { return .known(known) }
            if state.asked[hash] != nil {
                let waiter = Waiter()
                state.asked[hash]?.append(waiter)
                return .wait(waiter)
            }
            var place: GuessLimiter.Place?
            // One that was good is no guess, whoever else behind the address guesses.
            if known == nil {
                switch state.guesses.begin(peer.client, now) {
                case .may(let own): place = own
                case .wait(let waiter): return .wait(waiter)
                case .refused(let seconds): return .refused(seconds: seconds)
                }
            }
            state.asked[hash] = []
            return .ask(place)
        }
    }

    /// Asks the store, and remembers what it says.
    private func ask(
        _ key: APIKey, _ hash: [UInt8], _ place: GuessLimiter.Place?, from peer: SocketAddress,
        look: (String, [UInt8]) async throws -> KeyGrant?
    ) async throws -> KeyIdentity {
        let asked = MonotonicTime.now()
        var isWrong = false
        defer {
            let now = MonotonicTime.now()
            let waiting = state.withLock { state in
                let others = place.map { state.guesses.end($0, isWrong: isWrong, now) } ?? []
                return (state.asked.removeValue(forKey: hash) ?? []) + others
            }
            for waiter in waiting { waiter.resume() }
        }
        if let grant = try await look(key.id, hash) { return remember(key, hash, grant, asked) }
        isWrong = true
        state.withLock { state in
            if let known = state.known[key.id], Self.isSame(known.hash, hash) { state.known.remove(key.id) }
            if place == nil { _ = state.guesses.fail(peer.client, asked) }
        }
        throw QueryError.keyWrong
    }

    private func remember(_ key: APIKey, _ hash: [UInt8], _ grant: KeyGrant, _ asked: MonotonicTime) -> KeyIdentity {
        var freshUntil = asked + Self.lifetime
        if let expiresAt = grant.expiresAt {
            let left = max(0, expiresAt - QueryHandler.now().microseconds)
            freshUntil = min(freshUntil, asked + .microseconds(left))
        }
        return state.withLock { state in
            let known = state.known[key.id]
            // What it has used up stays used up.
            let rate = grant.requestsPerSecond.map { perSecond in
                known?.rate.flatMap { $0.perSecond == perSecond ? $0 : nil } ?? .init(perSecond: perSecond, now: asked)
            }
            let identity = KeyIdentity(key, grant, hash: hash, freshUntil: freshUntil, rate: rate)
            state.known.set(identity, for: key.id) { $0.freshUntil <= asked }
            return identity
        }
    }

    /// Compares in a time that does not depend on where the two differ.
    private static func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        a.count == b.count && zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    // MARK: Wrong keys

    /// Counts what is no key at all against the address; returns the refusal.
    private func fail(_ peer: SocketAddress) -> QueryError {
        let now = MonotonicTime.now()
        let wait = state.withLock { $0.guesses.fail(peer.client, now) }
        return wait.map { .tooManyTries(wait: $0) } ?? .keyWrong
    }
}

extension QueryError {
    static let keyNeeded = QueryError(
        401, "key_required", "an API key is required",
        hint:
            "Send it as Authorization: Bearer KEY, as X-API-Key, or as the password of Basic. 'tapedeck keys create' makes one."
    )

    /// One answer for a key that never was, has expired or was revoked.
    static let keyWrong = QueryError(
        401, "key_invalid", "the API key is not valid",
        hint: "It may have expired, or was revoked: 'tapedeck keys list'.")

    static func scopeNeeded(_ scope: KeyScope, of identity: KeyIdentity) -> QueryError {
        let has = identity.grant.scopes.map(\.rawValue).sorted().joined(separator: ", ")
        return QueryError(
            403, "scope_missing", "the API key does not open this",
            details: "It has the scopes \(has); this needs \(scope.rawValue).",
            hint: "'tapedeck keys create --scope \(scope.rawValue)' makes one that does.")
    }

    static func tooFast(_ identity: KeyIdentity, wait: Double) -> QueryError {
        QueryError(
            429, "rate_limited", "too many requests with this API key",
            details: "It may send \(identity.grant.requestsPerSecond ?? 0) requests a second.",
            retryAfterSeconds: max(1, Int(wait.rounded(.up))))
    }

    static func tooManyTries(wait: Double) -> QueryError {
        QueryError(
            429, "too_many_tries", "too many API keys of this address were wrong",
            hint: "Keys that were good within the last \(Int(KeyRing.lifetime.inSeconds)) seconds still are.",
            retryAfterSeconds: max(1, Int(wait.rounded(.up))))
    }
}
