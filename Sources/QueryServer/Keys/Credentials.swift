// SPDX-License-Identifier: Apache-2.0
// Where clients put their keys.

import HTTP

/// What a request shows to prove who sends it, in whichever of the places that clients know.
struct Credentials: Equatable {
    /// The secret as it came; it may be no key at all.
    let secret: String

    init(secret: String) { self.secret = secret }

    /// The first that is there of: `Authorization: Bearer KEY`, `X-API-Key: KEY`, the password of
    /// `Authorization: Basic` (RFC 7617; whatever the user: Superset, Trino's clients, Grafana and browsers send these),
    /// and where clients of Finnhub, Alpaca and Binance put theirs. Nil if there is none, or it is empty.
    init?(_ head: RequestHead) {
        let authorization = head["authorization"].flatMap(Authorization.init)
        let found =
            authorization?.secret ?? head["x-api-key"] ?? head["x-finnhub-token"] ?? head["apca-api-secret-key"]
            ?? head["x-mbx-apikey"]
        guard let found, !found.isEmpty else { return nil }
        secret = found
    }
}

/// The `Authorization` field of a request (RFC 9110 §11.6.2), of the two schemes that are understood.
enum Authorization: Equatable {
    case bearer(String)
    case basic(user: String, password: String)

    /// Nil for another scheme, and for what cannot be read.
    init?(_ field: String) {
        let parts = field.split(separator: " ", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        let value = parts[1].drop { $0 == " " }
        switch parts[0].lowercased() {
        case "bearer": self = .bearer(String(value))
        case "basic":
            let url = value.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }.filter { $0 != "=" && $0 != " " }
            guard let bytes = Base64URL.decode(String(url)) else { return nil }
            let user = bytes.prefix { $0 != UInt8(ascii: ":") }
            self = .basic(
                user: String(decoding: user, as: UTF8.self),
                password: String(decoding: bytes.dropFirst(user.count + 1), as: UTF8.self))
        default: return nil
        }
    }

    /// Nil for an empty password: a user that only says its name.
    var secret: String? {
        switch self {
        case .bearer(let token): token
        case .basic(_, let password): password.isEmpty ? nil : password
        }
    }
}
