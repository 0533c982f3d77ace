// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import TLS

extension Setting {
    static let tlsCert = Setting(
        name: "tls-cert", environment: "TAPEDECK_TLS_CERT", kind: .list(of: "FILE", { !$0.isEmpty }), default: nil,
        summary:
            "Certificates with their chains (PEM): with one or more the server speaks TLS; the client's name for it chooses, else the first."
    )
    static let tlsKey = Setting(
        name: "tls-key", environment: "TAPEDECK_TLS_KEY", kind: .list(of: "FILE", { !$0.isEmpty }), default: nil,
        summary: "The private keys, one for each certificate; without them each is in its certificate's file.")
    static let tlsMinVersion = Setting(
        name: "tls-min-version", environment: "TAPEDECK_TLS_MIN_VERSION",
        kind: .choice(TLSVersion.allCases.map(\.rawValue)), default: TLSVersion.tls12.rawValue,
        summary: "The lowest TLS version that the server speaks.")
    static let tlsClientCA = Setting(
        name: "tls-client-ca", environment: "TAPEDECK_TLS_CLIENT_CA", kind: .file, default: nil,
        summary: "Authorities (PEM) that may sign clients' certificates.")
    static let tlsClientAuth = Setting(
        name: "tls-client-auth", environment: "TAPEDECK_TLS_CLIENT_AUTH",
        kind: .choice(TLSServer.ClientCertificates.allCases.map(\.rawValue)), default: nil,
        summary: "Whether clients show a certificate; required if authorities are named, else none.")
    static let tlsCA = Setting(
        name: "tls-ca", environment: "TAPEDECK_TLS_CA", kind: .file, default: nil,
        summary:
            "Authorities (PEM) that may sign the certificates of servers that this program calls; without it the system's."
    )
    static let hstsMaxAge = Setting(
        name: "hsts-max-age", environment: "TAPEDECK_HSTS_MAX_AGE", kind: .duration(.zero...(.seconds(86_400 * 3650))),
        default: nil,
        summary:
            "How long browsers that have been here ask this host over https only (HSTS); 0s has them forget it. Not said unless given; needs certificates."
    )

    /// The settings above.
    static let tls = [tlsCert, tlsKey, tlsMinVersion, tlsClientCA, tlsClientAuth, tlsCA, hstsMaxAge]
}

/// The flags of ``Setting/tls``.
struct TLSSettingFlags: ParsableArguments {
    @Option(name: .customLong(Setting.tlsCert.name), help: Setting.tlsCert.help) var tlsCert: String?
    @Option(name: .customLong(Setting.tlsKey.name), help: Setting.tlsKey.help) var tlsKey: String?
    @Option(name: .customLong(Setting.tlsMinVersion.name), help: Setting.tlsMinVersion.help) var tlsMinVersion: String?
    @Option(name: .customLong(Setting.tlsClientCA.name), help: Setting.tlsClientCA.help) var tlsClientCA: String?
    @Option(name: .customLong(Setting.tlsClientAuth.name), help: Setting.tlsClientAuth.help) var tlsClientAuth: String?
    @Option(name: .customLong(Setting.tlsCA.name), help: Setting.tlsCA.help) var tlsCA: String?
    @Option(name: .customLong(Setting.hstsMaxAge.name), help: Setting.hstsMaxAge.help) var hstsMaxAge: String?

    var given: [(Setting, String?)] {
        [
            (.tlsCert, tlsCert), (.tlsKey, tlsKey), (.tlsMinVersion, tlsMinVersion), (.tlsClientCA, tlsClientCA),
            (.tlsClientAuth, tlsClientAuth), (.tlsCA, tlsCA), (.hstsMaxAge, hstsMaxAge),
        ]
    }
}

/// What the settings say about TLS.
enum TLSSettings {
    /// The server's side; nil if no certificate is named.
    static func server(_ settings: Settings) throws -> TLSServer? {
        guard let configuration = try configuration(settings) else { return nil }
        do throws(TLSError) {
            return try TLSServer(configuration)
        } catch {
            throw SettingsError(message: "TLS cannot be set up: \(error)")
        }
    }

    /// The settings as values; complaints name the setting.
    static func configuration(_ settings: Settings) throws(SettingsError) -> TLSServer.Settings? {
        let certificates = settings.list(.tlsCert)
        let keys = settings.list(.tlsKey)
        let authorities = settings.text(.tlsClientCA)
        let clients = settings.text(.tlsClientAuth).flatMap { TLSServer.ClientCertificates(rawValue: $0) }
        if certificates.isEmpty {
            for setting in [Setting.tlsKey, .tlsClientCA, .tlsClientAuth, .hstsMaxAge]
            where settings.text(setting) != nil {
                throw SettingsError(
                    message: "\(setting.environment) (--\(setting.name)) is set, and no certificate: set "
                        + "\(Setting.tlsCert.environment) (--\(Setting.tlsCert.name)) too")
            }
            return nil
        }
        if !keys.isEmpty && keys.count != certificates.count {
            throw SettingsError(
                message: "\(Setting.tlsKey.environment) (--\(Setting.tlsKey.name)) names \(keys.count) files for "
                    + "\(certificates.count) certificates; name one for each, or none if the certificates' files hold them"
            )
        }
        if clients != nil && clients != TLSServer.ClientCertificates.none && authorities == nil {
            throw SettingsError(
                message: "\(Setting.tlsClientAuth.environment) (--\(Setting.tlsClientAuth.name)) needs "
                    + "\(Setting.tlsClientCA.environment) (--\(Setting.tlsClientCA.name))")
        }
        var server = TLSServer.Settings(
            pairs: zip(certificates, keys.isEmpty ? certificates : keys).map { .init(certificate: $0, key: $1) })
        server.minimumVersion = TLSVersion(rawValue: settings.string(.tlsMinVersion)) ?? .tls12
        server.clientAuthorities = authorities
        server.clientCertificates = clients ?? (authorities == nil ? .none : .required)
        return server
    }
}
