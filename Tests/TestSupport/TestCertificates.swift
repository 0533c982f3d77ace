// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Certificates of a test's own, made by the `openssl` command in a temporary folder that ends with the object.
package final class TestCertificates: Sendable {
    /// The folder's path.
    package let folder: String

    package struct Failure: Error, CustomStringConvertible { package let description: String }

    /// Makes an authority, `ca.pem`.
    package init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-tls-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try authority("ca")
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// The path of a file in the folder.
    package func path(_ file: String) -> String { "\(folder)/\(file)" }

    /// Makes a self-signed authority, `NAME.pem` and `NAME.key`.
    package func authority(_ name: String) throws {
        try openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
            "/CN=Authority \(name)", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "\(name).key",
            "-out", "\(name).pem")
    }

    /// Makes `NAME.pem` and `NAME.key`, signed by `authority`, or self-signed where that is nil.
    ///
    /// - Parameters:
    ///   - names: as OpenSSL's configuration has them: `DNS:localhost`, `IP:127.0.0.1`.
    ///   - days: from its beginning, a year ago, to its end, from now; less than zero for one that has expired.
    ///   - key: `ec` or `rsa`.
    package func leaf(
        _ name: String, names: [String], subject: String? = nil, authority: String? = "ca", days: Int = 30,
        key: String = "ec"
    ) throws {
        let kind = key == "ec" ? ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] : ["rsa:2048"]
        let subject = subject ?? "/CN=\(name)"
        try openssl(
            ["req", "-new", "-newkey"] + kind + [
                "-nodes", "-subj", subject, "-keyout", "\(name).key", "-out", "\(name).csr",
            ])
        let extensions = names.isEmpty ? "" : "subjectAltName=" + names.joined(separator: ",") + "\n"
        try (extensions + "basicConstraints=CA:FALSE\n").write(
            toFile: path("\(name).ext"), atomically: true, encoding: .utf8)
        // `openssl x509 -req` counts days from now; one that has expired needs the dates themselves, which `ca` takes.
        let signer = authority.map { ["-CA", "\($0).pem", "-CAkey", "\($0).key"] } ?? ["-signkey", "\(name).key"]
        if days >= 0 {
            try openssl(
                [
                    "x509", "-req", "-in", "\(name).csr", "-days", "\(days)", "-extfile", "\(name).ext", "-out",
                    "\(name).pem",
                ]
                    + signer)
        } else {
            try signExpired(name, authority: authority ?? "ca")
        }
    }

    private func signExpired(_ name: String, authority: String) throws {
        let configuration = """
            [ca]
            default_ca = a
            [a]
            database = index.txt
            new_certs_dir = .
            rand_serial = yes
            default_md = sha256
            policy = p
            copy_extensions = none
            [p]
            commonName = supplied

            """
        try configuration.write(toFile: path("ca.cnf"), atomically: true, encoding: .utf8)
        try "".write(toFile: path("index.txt"), atomically: true, encoding: .utf8)
        try openssl(
            "ca", "-batch", "-config", "ca.cnf", "-cert", "\(authority).pem", "-keyfile", "\(authority).key", "-in",
            "\(name).csr", "-out", "\(name).pem", "-extfile", "\(name).ext", "-startdate", "20200101000000Z",
            "-enddate",
            "20200201000000Z", "-notext")
    }

    /// Runs `openssl` in the folder; returns what it prints.
    @discardableResult
    package func openssl(_ arguments: String...) throws -> String { try openssl(arguments) }

    @discardableResult
    package func openssl(_ arguments: [String], input: String = "") throws -> String {
        let (status, output) = try ChildProgram.run("/usr/bin/openssl", arguments, folder: folder, input: input)
        if status != 0 { throw Failure(description: "openssl \(arguments.joined(separator: " ")): \(output)") }
        return output
    }
}
