// SPDX-License-Identifier: Apache-2.0
// What a certificate says, as values.

import COpenSSL

/// A certificate as its reader needs it: whose it is, who signed it, and how to recognise it.
package struct Certificate: Sendable, Equatable {
    /// The subject, as RFC 2253 writes it: `CN=alice,O=Example`.
    package let subject: String
    /// The issuer, written so too.
    package let issuer: String
    /// SHA-256 of the certificate (DER), in lower-case hexadecimal.
    package let fingerprint: String
    /// The DNS names it is for, in lower case; the common name if it has no list of names.
    package let names: [String]
    /// The end of its time, as OpenSSL prints it: `Nov 25 01:23:45 2026 GMT`.
    package let notAfter: String
    /// Whether its time is over now.
    package let hasExpired: Bool

    /// Reads `certificate`, which stays the caller's.
    init(_ certificate: OpaquePointer) {
        subject = Self.text(X509_get_subject_name(certificate))
        issuer = Self.text(X509_get_issuer_name(certificate))
        fingerprint = Self.digest(certificate)
        names = Self.names(certificate)
        let end = X509_get0_notAfter(certificate)
        notAfter = Self.printed { ASN1_TIME_print($0, end) > 0 }
        hasExpired = X509_cmp_time(end, nil) < 0
    }

    private static func text(_ name: OpaquePointer?) -> String {
        printed { tapedeck_print_name($0, name) >= 0 }
    }

    private static func printed(_ write: (OpaquePointer?) -> Bool) -> String {
        guard let bio = BIO_new(BIO_s_mem()) else { return "" }
        defer { BIO_free(bio) }
        guard write(bio) else { return "" }
        // Distinguished names of peers come from outside: no more of them than a person would read.
        return withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            let count = BIO_read(bio, buffer.baseAddress, CInt(buffer.count))
            return count > 0 ? String(decoding: buffer[..<Int(count)], as: UTF8.self) : ""
        }
    }

    private static func digest(_ certificate: OpaquePointer) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(EVP_MAX_MD_SIZE)) { buffer in
            var count: CUnsignedInt = 0
            guard X509_digest(certificate, EVP_sha256(), buffer.baseAddress, &count) == 1 else { return "" }
            return buffer[..<Int(count)].map { byte in
                let digits = String(byte, radix: 16)
                return byte < 16 ? "0" + digits : digits
            }.joined()
        }
    }

    private static func names(_ certificate: OpaquePointer) -> [String] {
        var found: [String] = []
        if let list = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) {
            let names = OpaquePointer(list)
            defer { GENERAL_NAMES_free(names) }
            for index in 0..<tapedeck_names_count(names) {
                var length: CInt = 0
                if let bytes = tapedeck_dns_name(names, index, &length) {
                    found.append(
                        String(decoding: UnsafeBufferPointer(start: bytes, count: Int(length)), as: UTF8.self)
                            .lowercased())
                }
            }
            return found
        }
        // RFC 6125 §6.4.4: the common name counts only where there is no list.
        let subject = X509_get_subject_name(certificate)
        let index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
        if index >= 0, let entry = X509_NAME_get_entry(subject, index), let value = X509_NAME_ENTRY_get_data(entry) {
            let bytes = UnsafeBufferPointer(start: ASN1_STRING_get0_data(value), count: Int(ASN1_STRING_length(value)))
            found.append(String(decoding: bytes, as: UTF8.self).lowercased())
        }
        return found
    }
}
