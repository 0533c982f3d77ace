// SPDX-License-Identifier: Apache-2.0
// The one error type of this module, and how OpenSSL's words become ours.

import COpenSSL
import Glibc

/// Why TLS could not be set up, or a connection not be secured: what failed, in words, and what to do.
///
/// No key material and no path of a peer's is in it; paths are those of our own settings.
package struct TLSError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure it is; stable, for programs.
    package enum Code: String, Sendable {
        /// A file is missing, unreadable, or not what it should be.
        case file = "tls_file"
        /// The private key does not belong to the certificate.
        case keyMismatch = "tls_key_mismatch"
        /// The certificate's time is over.
        case expired = "tls_certificate_expired"
        /// The certificate's time has not begun.
        case notYetValid = "tls_certificate_not_yet_valid"
        /// The certificate is for other names.
        case wrongHost = "tls_wrong_host"
        /// The certificate vouches for itself, and nobody else does.
        case selfSigned = "tls_self_signed"
        /// No authority that we trust has signed the certificate.
        case unknownAuthority = "tls_unknown_authority"
        /// The certificate cannot be accepted for another reason.
        case badCertificate = "tls_bad_certificate"
        /// The peer showed no certificate where one is required.
        case noCertificate = "tls_no_certificate"
        /// The peer spoke plain HTTP.
        case plainHTTP = "tls_plain_http"
        /// The peer spoke something that is not TLS, or no version, cipher or protocol is common to both.
        case incompatible = "tls_incompatible"
        /// The peer ended the handshake with an alert.
        case alert = "tls_alert"
        /// The connection ended in the middle.
        case closed = "tls_closed"
        /// Anything else that OpenSSL reports.
        case failed = "tls_failed"
    }

    package var code: Code
    /// Short, lower case.
    package var message: String
    /// What to do about it, in a sentence.
    package var hint: String?

    package init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    package var description: String { hint.map { "\(message) (\($0))" } ?? message }
}

/// OpenSSL's queue of errors, of which every thread has one.
enum ErrorQueue {
    /// To be called before each call whose failure will be looked at: what an earlier one left would be taken for it.
    static func clear() { ERR_clear_error() }

    /// The first error, which is the cause, as library and reason; nil if there is none. Empties the queue.
    static func take() -> (library: CInt, reason: CInt, text: String)? {
        let code = ERR_get_error()
        ERR_clear_error()
        if code == 0 { return nil }
        let text = ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)"
        return (tapedeck_err_lib(code), tapedeck_err_reason(code), text)
    }
}

extension TLSError {
    /// What `ERR_LIB_SSL` says about a handshake or a connection.
    static func ofConnection(_ error: (library: CInt, reason: CInt, text: String)?) -> TLSError {
        guard let error else { return TLSError(.closed, "the connection was broken") }
        guard error.library == ERR_LIB_SSL else { return TLSError(.failed, error.text) }
        switch error.reason {
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: return TLSError(.closed, "the peer closed the connection")
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
            return TLSError(.plainHTTP, "a plain HTTP request came where TLS is spoken", hint: "Use https://.")
        case SSL_R_WRONG_VERSION_NUMBER, SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_RECORD_LENGTH_MISMATCH:
            return TLSError(.incompatible, "the peer does not speak TLS here", hint: "Check the port and the scheme.")
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, SSL_R_VERSION_TOO_LOW:
            return TLSError(.incompatible, "no TLS version is common to both sides", hint: "TLS 1.2 or 1.3 is needed.")
        case SSL_R_NO_SHARED_CIPHER, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
            return TLSError(.incompatible, "no cipher or key type is common to both sides")
        case SSL_R_NO_APPLICATION_PROTOCOL, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
            return TLSError(.incompatible, "no application protocol is common to both sides", hint: "Offer http/1.1.")
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return TLSError(.noCertificate, "the client showed no certificate")
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
            return TLSError(
                .noCertificate, "the server requires a client certificate", hint: "Name one for this connection.")
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
            return TLSError(.alert, "the peer does not know the authority that signed our certificate")
        case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
            return TLSError(.alert, "the peer finds our certificate expired", hint: "Renew it.")
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
            return TLSError(.alert, "the peer does not accept our certificate")
        // SSL_AD_REASON_OFFSET: reasons from 1000 up are alerts of the peer.
        case 1000...: return TLSError(.alert, "the peer ended with an alert: \(error.text)")
        default: return TLSError(.failed, error.text)
        }
    }

    /// Why the certificate of `host` was refused, by OpenSSL's verify result; nil if it was not.
    static func ofVerification(_ result: Int, host: String?) -> TLSError? {
        let whose = host.map { "the certificate of \($0)" } ?? "the peer's certificate"
        switch CInt(truncatingIfNeeded: result) {
        case X509_V_OK: return nil
        case X509_V_ERR_CERT_HAS_EXPIRED:
            return TLSError(.expired, "\(whose) has expired", hint: "The server's owner has to renew it.")
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return TLSError(.notYetValid, "\(whose) is not valid yet", hint: "Check this machine's clock.")
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            return TLSError(
                .wrongHost, "\(whose) is for another name",
                hint: "Use a name that the certificate holds.")
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
            return TLSError(
                .selfSigned, "\(whose) is self-signed, or its authority is not trusted here",
                hint: "Name the authority's file (--tls-ca) if you trust it.")
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED:
            return TLSError(
                .unknownAuthority, "\(whose) was signed by an authority that is not known here",
                hint: "Name the authority's file (--tls-ca), or have the server send its whole chain.")
        default:
            let text = String(cString: X509_verify_cert_error_string(result))
            return TLSError(.badCertificate, "\(whose) cannot be accepted: \(text)")
        }
    }
}
