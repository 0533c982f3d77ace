// SPDX-License-Identifier: Apache-2.0

import Ingest
import Market

/// What a `--source` names: `replay:FILE[?speed=1|60|max][&symbol=S][&max_pause=2s]`.
enum SourceSpec: Equatable {
    case replay(Replay.Settings)

    init(_ text: String) throws(SettingsError) {
        guard let colon = text.firstIndex(of: ":"), text[..<colon] == "replay" else {
            throw SettingsError(message: "source '\(text)' is not known; allowed: replay:FILE[?speed=…&symbol=…]")
        }
        let rest = text[text.index(after: colon)...]
        let question = rest.lastIndex(of: "?")
        let path = String(question.map { rest[..<$0] } ?? rest)
        if path.isEmpty { throw SettingsError(message: "source '\(text)' names no file") }
        var settings = Replay.Settings(path: path)
        for pair in (question.map { rest[rest.index(after: $0)...] } ?? "").split(separator: "&") {
            try Self.apply(pair, to: &settings, of: text)
        }
        self = .replay(settings)
    }

    private static func apply(_ pair: Substring, to settings: inout Replay.Settings, of text: String)
        throws(SettingsError)
    {
        let parts = pair.split(separator: "=", maxSplits: 1)
        let value = parts.count == 2 ? String(parts[1]) : ""
        switch parts.first {
        case "speed" where value == "max": settings.speed = nil
        case "speed":
            guard let speed = Double(value), speed > 0, speed.isFinite else {
                throw SettingsError(message: "source '\(text)': speed is '\(value)'; allowed: a number above 0, or max")
            }
            settings.speed = speed
        case "symbol":
            if value.isEmpty { throw SettingsError(message: "source '\(text)': symbol has no value") }
            settings.symbol = value
        case "max_pause":
            guard let pause = Setting.duration(value) else {
                throw SettingsError(message: "source '\(text)': max_pause is '\(value)'; allowed: a time such as 500ms")
            }
            settings.longestPause = pause
        default:
            throw SettingsError(
                message: "source '\(text)': parameter '\(pair)' is not known; allowed: speed, symbol, max_pause")
        }
    }
}
