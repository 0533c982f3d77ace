// SPDX-License-Identifier: Apache-2.0
// The server's side: certificates by name, sessions that resume, certificates of clients, and all of it again on request.

import COpenSSL
import Glibc
import Synchronization

/// What a server needs to speak TLS. Shared by all loops; the files are read when it is made and with ``reload()``.
package final class TLSServer: Sendable {
    /// A certificate with its chain, and its key.
    package struct KeyPair: Sendable, Equatable {
        /// A PEM file: the certificate first, then those that lead to the authority.
        package var certificate: String
        /// A PEM file with the private key, unencrypted; may be the same.
        package var key: String

        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// What is asked of clients.
    package enum ClientCertificates: String, Sendable, CaseIterable {
        /// No certificate is asked for.
        case none
        /// One that is shown must be good.
        case optional
        /// One must be shown.
        case required
    }

    package struct Settings: Sendable {
        /// The first one serves clients that ask for no name, or for one that no certificate has. Pairs for the same
        /// names with keys of different types are offered together.
        package var pairs: [KeyPair]
        package var minimumVersion = TLSVersion.tls12
        package var clientCertificates = ClientCertificates.none
        /// A PEM file with the authorities that may sign clients' certificates.
        package var clientAuthorities: String?
        /// Sessions of TLS 1.2 clients without tickets that are remembered; others keep theirs themselves.
        package var sessionCacheSize = 10_000
        /// How long a session may be resumed.
        package var sessionLifetime = Duration.seconds(3600)

        package init(pairs: [KeyPair]) { self.pairs = pairs }
    }

    private let settings: Settings
    private let contexts: Mutex<ServerContexts>

    /// Reads the files.
    ///
    /// - Throws: which file is wrong, and how.
    package init(_ settings: Settings) throws(TLSError) {
        self.settings = settings
        contexts = Mutex(try ServerContexts(settings))
    }

    /// Reads the files again, for connections to come; those that are open keep what they have. Sessions from before
    /// are not resumed: what they were granted by may no longer hold. If a file is wrong, everything stays as it is.
    package func reload() throws(TLSError) {
        let fresh = try ServerContexts(settings)
        contexts.withLock { $0 = fresh }
    }

    /// The certificates in use, the default first.
    package var certificates: [Certificate] { contexts.withLock(\.certificates) }

    /// TLS on an accepted socket, before its handshake.
    package func session(on descriptor: CInt) throws(TLSError) -> TLSSession {
        let contexts = contexts.withLock { $0 }
        return try TLSSession(contexts.primary.pointer, context: contexts, descriptor: descriptor, host: nil)
    }
}

/// The contexts of one reading of the files: one for each set of names.
private final class ServerContexts: Sendable {
    private struct Entry {
        var names: [String]
        var keyTypes: Set<CInt>
        var handle: ContextHandle
    }

    let primary: ContextHandle
    let certificates: [Certificate]
    /// By exact name; by the parent's name for `*.parent`.
    private let exact: [String: ContextHandle]
    private let wildcard: [String: ContextHandle]

    init(_ settings: TLSServer.Settings) throws(TLSError) {
        precondition(!settings.pairs.isEmpty, "a TLS server needs a certificate")
        var entries: [Entry] = []
        var certificates: [Certificate] = []
        for pair in settings.pairs {
            let handle = try ContextHandle(TLS_server_method(), minimum: settings.minimumVersion)
            let (certificate, keyType) = try Self.load(pair, into: handle)
            certificates.append(certificate)
            let twin = entries.firstIndex { $0.names == certificate.names.sorted() && !$0.keyTypes.contains(keyType) }
            if let twin {
                _ = try Self.load(pair, into: entries[twin].handle)
                entries[twin].keyTypes.insert(keyType)
            } else {
                try Self.configure(handle, settings)
                entries.append(Entry(names: certificate.names.sorted(), keyTypes: [keyType], handle: handle))
            }
        }
        var exact: [String: ContextHandle] = [:]
        var wildcard: [String: ContextHandle] = [:]
        for entry in entries {
            for name in entry.names {
                // The first certificate for a name wins.
                if name.hasPrefix("*.") {
                    let parent = String(name.dropFirst(2))
                    if wildcard[parent] == nil { wildcard[parent] = entry.handle }
                } else if exact[name] == nil {
                    exact[name] = entry.handle
                }
            }
        }
        primary = entries[0].handle
        self.certificates = certificates
        self.exact = exact
        self.wildcard = wildcard
        // The session holds this object for as long as the callback may come.
        tapedeck_ctx_set_name_callback(
            primary.pointer, { ssl, _, contexts in ServerContexts.choose(ssl, contexts) },
            Unmanaged.passUnretained(self).toOpaque())
    }

    // MARK: Choosing by name (RFC 6066 §3)

    private static func choose(_ ssl: OpaquePointer?, _ contexts: UnsafeMutableRawPointer?) -> CInt {
        guard let contexts, let name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else {
            return SSL_TLSEXT_ERR_NOACK
        }
        let choice = Unmanaged<ServerContexts>.fromOpaque(contexts).takeUnretainedValue()
            .context(for: String(cString: name).lowercased())
        // A name that nobody has gets the default: the client judges the certificate.
        if let choice { SSL_set_SSL_CTX(ssl, choice.pointer) }
        return choice == nil ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK
    }

    private func context(for name: String) -> ContextHandle? {
        if let handle = exact[name] { return handle }
        guard let dot = name.firstIndex(of: ".") else { return nil }
        return wildcard[String(name[name.index(after: dot)...])]
    }

    // MARK: Files

    private static func load(
        _ pair: TLSServer.KeyPair, into handle: ContextHandle
    ) throws(TLSError) -> (Certificate, CInt) {
        let context = handle.pointer
        try ContextHandle.checkReadable(
            pair.certificate, "the server's certificate, and those that lead to its authority")
        try ContextHandle.checkReadable(pair.key, "the private key of \(pair.certificate)")
        ErrorQueue.clear()
        guard SSL_CTX_use_certificate_chain_file(context, pair.certificate) == 1,
            let certificate = SSL_CTX_get0_certificate(context)
        else {
            let why = ErrorQueue.take()?.text ?? "no certificate"
            throw TLSError(
                .file, "\(pair.certificate) holds no usable certificate: \(why)", hint: "It has to be a PEM file.")
        }
        // Without this, OpenSSL would ask the terminal for a passphrase.
        SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in -1 }
        guard SSL_CTX_use_PrivateKey_file(context, pair.key, SSL_FILETYPE_PEM) == 1 else {
            throw keyError(pair)
        }
        guard SSL_CTX_check_private_key(context) == 1, let key = SSL_CTX_get0_privatekey(context) else {
            _ = ErrorQueue.take()
            throw TLSError(
                .keyMismatch, "the key in \(pair.key) does not belong to the certificate in \(pair.certificate)")
        }
        return (Certificate(certificate), EVP_PKEY_get_base_id(key))
    }

    private static func keyError(_ pair: TLSServer.KeyPair) -> TLSError {
        let error = ErrorQueue.take()
        if error?.library == ERR_LIB_X509,
            error?.reason == X509_R_KEY_VALUES_MISMATCH || error?.reason == X509_R_KEY_TYPE_MISMATCH
        {
            return TLSError(
                .keyMismatch, "the key in \(pair.key) does not belong to the certificate in \(pair.certificate)")
        }
        return TLSError(
            .file, "\(pair.key) holds no usable private key",
            hint: "It has to be a PEM file, and the key must not be encrypted.")
    }

    // MARK: Settings

    private static func configure(_ handle: ContextHandle, _ settings: TLSServer.Settings) throws(TLSError) {
        let context = handle.pointer
        SSL_CTX_set_alpn_select_cb(
            context,
            { _, out, outCount, offered, count, _ in
                ServerContexts.selectProtocol(out, outCount, offered, count)
            }, nil)
        // OpenSSL makes random ticket keys for each context: tickets end with it.
        tapedeck_ctx_set_session_cache(context, Int(SSL_SESS_CACHE_SERVER), settings.sessionCacheSize)
        SSL_CTX_set_timeout(context, Int(settings.sessionLifetime.components.seconds))
        let id = Array("tapedeck".utf8)
        SSL_CTX_set_session_id_context(context, id, CUnsignedInt(id.count))
        guard settings.clientCertificates != .none else { return }
        guard let authorities = settings.clientAuthorities else {
            throw TLSError(
                .file, "client certificates are asked for, and no authority is named",
                hint: "Name the file of the authorities that may sign them.")
        }
        try handle.trust(authorities, setting: "clients")
        ErrorQueue.clear()
        // What the server tells clients about which certificate to show.
        guard let names = SSL_load_client_CA_file(authorities) else {
            _ = ErrorQueue.take()
            throw TLSError(.file, "\(authorities) holds no certificate", hint: "It has to be a PEM file.")
        }
        SSL_CTX_set_client_CA_list(context, names)
        let required = settings.clientCertificates == .required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nil)
    }

    /// `http/1.1` if the client offers it; a client that offers only others is told so (RFC 7301 §3.2).
    private static func selectProtocol(
        _ out: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ outCount: UnsafeMutablePointer<UInt8>?,
        _ offered: UnsafePointer<UInt8>?, _ count: CUnsignedInt
    ) -> CInt {
        let list = UnsafeBufferPointer(start: offered, count: Int(count))
        var index = 0
        while index < list.count {
            let name = (index + 1)..<min(index + 1 + Int(list[index]), list.count)
            if list[name].elementsEqual("http/1.1".utf8), let base = list.baseAddress {
                out?.pointee = base + name.lowerBound
                outCount?.pointee = UInt8(name.count)
                return SSL_TLSEXT_ERR_OK
            }
            index = name.upperBound
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }
}
